/** What a reload keeps of a policy in force. */

import * as Effect from "effect/Effect"
import type { EndpointSnapshot, Snapshot } from "../../UpstreamRegistry.ts"
import type { Bodies } from "../streaming/openBody.ts"
import type { HttpPolicy } from "../policy/policyModel.ts"
import { type EndpointStages, endpointStages, type UpstreamStages, upstreamStages } from "./stages.ts"

/** A policy in force, and what its stages remember. A reload makes the next one; a call keeps the one that it began with. */
export interface Live {
  readonly policy: HttpPolicy
  readonly stages: UpstreamStages
  readonly endpoint: EndpointStages
}

export const startLive = (policy: HttpPolicy): Live => {
  const stages = upstreamStages(policy)
  return { policy, stages, endpoint: endpointStages(policy, stages.budget) }
}

export const nextLive = (before: Live, policy: HttpPolicy): Live => {
  const stages = upstreamStages(policy, before)
  const endpoint = endpointStages(policy, stages.budget, {
    policy: before.policy,
    stages: before.endpoint,
    budget: before.stages.budget
  })
  return { policy, stages, endpoint }
}

const optional = <A>(stage: { readonly snapshot: Effect.Effect<A> } | undefined): Effect.Effect<A | undefined> =>
  stage === undefined ? Effect.succeed(undefined) : stage.snapshot

/** What an endpoint's stages remember; those that are not there are `undefined`. */
const endpointSnapshot = (origin: string, stages: EndpointStages): Effect.Effect<EndpointSnapshot> =>
  Effect.map(
    Effect.all({
      hedge: optional(stages.hedge),
      breaker: optional(stages.breaker),
      throttle: optional(stages.throttle),
      bulkhead: optional(stages.bulkhead),
      adaptiveConcurrency: optional(stages.adaptiveConcurrency),
      attemptTimeout: optional(stages.adaptiveTimeout)
    }),
    (snapshots) => ({ origin, ...snapshots })
  )

/** What an upstream is like at this instant, with the endpoints that it has. */
export const upstreamSnapshot = (
  upstream: { readonly name: string; readonly version?: string | undefined; readonly policy: string },
  stages: UpstreamStages,
  bodies: Bodies,
  endpoints: ReadonlyArray<{ readonly origin: string; readonly stages: EndpointStages }>
): Effect.Effect<Snapshot> =>
  Effect.map(
    Effect.all({
      budget: optional(stages.budget),
      rateLimit: optional(stages.rateLimit),
      singleFlight: optional(stages.singleFlight),
      endpoints: Effect.forEach(endpoints, ({ origin, stages }) => endpointSnapshot(origin, stages))
    }),
    ({ budget, endpoints, rateLimit, singleFlight }) => ({
      name: upstream.name,
      version: upstream.version,
      policy: upstream.policy,
      budget,
      rateLimit,
      singleFlight,
      bodies: { open: bodies.open, unread: bodies.unread, found: bodies.found },
      endpoints
    })
  )
