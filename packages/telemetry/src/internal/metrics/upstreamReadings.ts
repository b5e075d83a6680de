/** Which figures an upstream has at one instant. */

import type { Snapshot } from "@holdfast/http/UpstreamRegistry"
import { endpointLabels } from "./endpointLabels.ts"
import type { Labels } from "./series.ts"
import { type Reading, Readings, readStages } from "./stageReadings.ts"

/** Every figure of an upstream; a stage that its policy does not have has none. */
export const upstreamReadings = (snapshot: Snapshot): ReadonlyArray<Reading> => {
  const labels: Labels = {
    "holdfast.upstream": snapshot.name,
    ...(snapshot.version === undefined ? undefined : { "holdfast.upstream.version": snapshot.version })
  }
  const readings = new Readings(labels)
  const { bodies, endpoints, name: _, policy: _policy, version: _version, ...stages } = snapshot
  readStages(readings, stages)
  readings.read("holdfast.body.open", bodies.open)
  readings.read("holdfast.body.unread", bodies.unread)
  readings.read("holdfast.body.forgotten", bodies.found)
  for (const { origin, ...stages } of endpoints) {
    const { "server.address": address, "server.port": port } = endpointLabels(origin)
    readStages(readings, stages, { "server.address": address, "server.port": port })
  }
  return readings.all
}
