/** The figures of one stage, whether it belongs to an upstream or stands by itself. */

import type * as PolicyRegistry from "@holdfast/core/PolicyRegistry"
import * as StageOrder from "@holdfast/http/StageOrder"
import * as Duration from "effect/Duration"
import type { catalogue } from "./catalogue.ts"
import type { Labels } from "./series.ts"

/** Those of policies that stand by themselves are read, where a call of an upstream tells them. */
type ReadOfPolicies = "holdfast.hedges" | "holdfast.hedge.wins" | "holdfast.single_flight.joins" | "holdfast.fallbacks"

export type ReadName =
  | ReadOfPolicies
  | {
      [N in keyof typeof catalogue]: (typeof catalogue)[N]["source"] extends "upstreams" ? N : never
    }[keyof typeof catalogue]

/** One figure. */
export interface Reading {
  readonly name: ReadName
  readonly labels: Labels
  readonly value: number
}

/** Collects the figures of whatever has these labels. */
export class Readings {
  readonly all: Array<Reading> = []
  private readonly labels: Labels

  constructor(labels: Labels) {
    this.labels = labels
  }

  read(name: ReadName, value: number, more?: Labels): void {
    this.all.push({ name, labels: { ...this.labels, ...more }, value })
  }

  stage(stage: string, admitted: number, refused: number, more?: Labels): void {
    this.read("holdfast.stage.admitted", admitted, { ...more, "holdfast.stage": stage })
    this.read("holdfast.stage.refused", refused, { ...more, "holdfast.stage": stage })
  }
}

const phases = ["Closed", "Open", "HalfOpen", "ForcedOpen", "ForcedClosed"] as const

/** Reads the stages that there are. */
export const readStages = (
  readings: Readings,
  stages: Omit<PolicyRegistry.Snapshot, "fallback" | "name">,
  at?: Labels
): void => {
  const { adaptiveConcurrency, attemptTimeout, breaker, budget, bulkhead, hedge, rateLimit, singleFlight, throttle } =
    stages
  for (const { counted, name } of StageOrder.all) {
    // the state of a stage is under its name
    const counts = counted((stages as { readonly [name: string]: unknown })[name])
    if (counts !== undefined) readings.stage(name, counts.admitted, counts.refused, at)
  }
  if (budget !== undefined) {
    readings.read("holdfast.retry_budget.balance", budget.balance, at)
    readings.read("holdfast.retry_budget.in_flight", budget.retriesInFlight, at)
  }
  if (rateLimit !== undefined) {
    readings.read("holdfast.rate_limit.limit", rateLimit.limit, at)
    readings.read("holdfast.rate_limit.remaining", rateLimit.remaining, at)
    readings.read("holdfast.rate_limit.waiting", rateLimit.waiting, at)
  }
  if (singleFlight !== undefined) {
    readings.read("holdfast.single_flight.in_flight", singleFlight.inFlight, at)
    readings.read("holdfast.single_flight.waiting", singleFlight.waiting, at)
  }
  if (breaker !== undefined) {
    for (const phase of phases) {
      const inPhase: Labels = { ...at, "holdfast.circuit.state": phase }
      readings.read("holdfast.circuit.state", breaker.state === phase ? 1 : 0, inPhase)
      readings.read("holdfast.circuit.transitions", breaker.entered[phase], inPhase)
    }
    readings.read("holdfast.circuit.share", breaker.share, at)
  }
  if (throttle !== undefined) {
    for (const [criticality, value] of Object.entries(throttle.probability)) {
      readings.read("holdfast.throttle.probability", value, { ...at, "holdfast.criticality": criticality })
    }
  }
  if (bulkhead !== undefined) {
    readings.read("holdfast.bulkhead.limit", bulkhead.limit, at)
    readings.read("holdfast.bulkhead.in_flight", bulkhead.inFlight, at)
    readings.read("holdfast.bulkhead.waiting", bulkhead.queued, at)
  }
  if (adaptiveConcurrency !== undefined) {
    readings.read("holdfast.adaptive_concurrency.limit", adaptiveConcurrency.limit, at)
    readings.read("holdfast.adaptive_concurrency.in_flight", adaptiveConcurrency.inFlight, at)
  }
  if (hedge?.delay !== undefined) readings.read("holdfast.hedge.delay", Duration.toSeconds(hedge.delay), at)
  if (attemptTimeout !== undefined) {
    readings.read("holdfast.attempt_timeout.limit", Duration.toSeconds(attemptTimeout.limit), at)
    readings.read("holdfast.attempt_timeout.timeouts", attemptTimeout.timedOut, at)
  }
}
