/** Which figures an upstream has at an instant. */

import type { EndpointSnapshot, Snapshot } from "@holdfast/http/UpstreamRegistry"
import * as Duration from "effect/Duration"
import { endpointLabels } from "./endpointLabels.ts"
import type { catalogue } from "./catalogue.ts"
import type { Labels } from "./series.ts"

export type ReadName = {
  [N in keyof typeof catalogue]: (typeof catalogue)[N]["source"] extends "upstreams" ? N : never
}[keyof typeof catalogue]

/** One figure of an upstream. */
export interface Reading {
  readonly name: ReadName
  readonly labels: Labels
  readonly value: number
}

const phases = ["Closed", "Open", "HalfOpen", "ForcedOpen", "ForcedClosed"] as const

/** Every figure that an upstream has at one instant; a stage that its policy does not have has none. */
export const upstreamReadings = (snapshot: Snapshot): ReadonlyArray<Reading> => {
  const labels: Labels = {
    "holdfast.upstream": snapshot.name,
    ...(snapshot.version === undefined ? undefined : { "holdfast.upstream.version": snapshot.version })
  }
  const readings: Array<Reading> = []
  const read = (name: ReadName, value: number, more?: Labels): void => {
    readings.push({ name, labels: { ...labels, ...more }, value })
  }
  const stage = (stage: string, admitted: number, refused: number, more?: Labels): void => {
    read("holdfast.stage.admitted", admitted, { ...more, "holdfast.stage": stage })
    read("holdfast.stage.refused", refused, { ...more, "holdfast.stage": stage })
  }
  const { bodies, budget, rateLimit, singleFlight } = snapshot
  if (budget !== undefined) {
    read("holdfast.retry_budget.balance", budget.balance)
    read("holdfast.retry_budget.in_flight", budget.retriesInFlight)
    stage("budget", budget.granted, budget.refused)
  }
  if (rateLimit !== undefined) {
    read("holdfast.rate_limit.limit", rateLimit.limit)
    read("holdfast.rate_limit.remaining", rateLimit.remaining)
    read("holdfast.rate_limit.waiting", rateLimit.waiting)
    stage("rateLimit", rateLimit.admitted, rateLimit.refused)
  }
  if (singleFlight !== undefined) {
    read("holdfast.single_flight.in_flight", singleFlight.inFlight)
    read("holdfast.single_flight.waiting", singleFlight.waiting)
  }
  read("holdfast.body.open", bodies.open)
  read("holdfast.body.unread", bodies.unread)
  read("holdfast.body.forgotten", bodies.found)
  for (const endpoint of snapshot.endpoints) endpointReadings(endpoint, read, stage)
  return readings
}

const endpointReadings = (
  endpoint: EndpointSnapshot,
  read: (name: ReadName, value: number, more?: Labels) => void,
  stage: (stage: string, admitted: number, refused: number, more?: Labels) => void
): void => {
  const { "server.address": address, "server.port": port } = endpointLabels(endpoint.origin)
  const at: Labels = { "server.address": address, "server.port": port }
  const { adaptiveConcurrency, attemptTimeout, breaker, bulkhead, hedge, throttle } = endpoint
  if (breaker !== undefined) {
    for (const phase of phases) {
      const inPhase: Labels = { ...at, "holdfast.circuit.state": phase }
      read("holdfast.circuit.state", breaker.state === phase ? 1 : 0, inPhase)
      read("holdfast.circuit.transitions", breaker.entered[phase], inPhase)
    }
    read("holdfast.circuit.share", breaker.share, at)
    stage("breaker", breaker.admitted, breaker.refused, at)
  }
  if (throttle !== undefined) {
    for (const [criticality, value] of Object.entries(throttle.probability)) {
      read("holdfast.throttle.probability", value, { ...at, "holdfast.criticality": criticality })
    }
    stage("throttle", throttle.admitted, throttle.shed, at)
  }
  if (bulkhead !== undefined) {
    read("holdfast.bulkhead.limit", bulkhead.limit, at)
    read("holdfast.bulkhead.in_flight", bulkhead.inFlight, at)
    read("holdfast.bulkhead.waiting", bulkhead.queued, at)
    stage("bulkhead", bulkhead.admitted, bulkhead.refused, at)
  }
  if (adaptiveConcurrency !== undefined) {
    read("holdfast.adaptive_concurrency.limit", adaptiveConcurrency.limit, at)
    read("holdfast.adaptive_concurrency.in_flight", adaptiveConcurrency.inFlight, at)
    stage("adaptiveConcurrency", adaptiveConcurrency.admitted, adaptiveConcurrency.refused, at)
  }
  if (hedge?.delay !== undefined) read("holdfast.hedge.delay", Duration.toSeconds(hedge.delay), at)
  if (attemptTimeout !== undefined) {
    read("holdfast.attempt_timeout.limit", Duration.toSeconds(attemptTimeout.limit), at)
  }
}
