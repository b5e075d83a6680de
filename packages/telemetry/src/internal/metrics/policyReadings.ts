/** Which figures policies that stand by themselves have at one instant. */

import type { Snapshot } from "@holdfast/core/PolicyRegistry"
import { type Reading, Readings, readStages } from "./stageReadings.ts"

/** Every figure of the policies of one name; a kind that it does not have has none. */
export const policyReadings = (snapshot: Snapshot): ReadonlyArray<Reading> => {
  const readings = new Readings({ "holdfast.policy": snapshot.name })
  readStages(readings, snapshot)
  const { fallback, hedge, singleFlight } = snapshot
  if (hedge !== undefined) {
    readings.read("holdfast.hedges", hedge.hedges)
    readings.read("holdfast.hedge.wins", hedge.won)
  }
  if (singleFlight !== undefined) {
    readings.read("holdfast.single_flight.joins", singleFlight.joined)
    readings.stage("singleFlight", singleFlight.runs + singleFlight.joined, singleFlight.refused)
  }
  if (fallback !== undefined) {
    const results = { answered: fallback.fellBack, failed: fallback.failed, passed: fallback.passed }
    for (const [result, count] of Object.entries(results)) {
      readings.read("holdfast.fallbacks", count, { "holdfast.fallback.result": result })
    }
  }
  return readings.all
}
