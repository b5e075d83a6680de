/** What a reload replaces of an upstream, all at once, and what is seen of it. */

import * as Effect from "effect/Effect"
import type { Endpoints } from "../../Endpoints.ts"
import type { EndpointSnapshot, Snapshot } from "../../UpstreamRegistry.ts"
import type { HttpPolicy } from "../policy/policyModel.ts"
import type { Bodies } from "../streaming/openBody.ts"
import { makePlaces, type Place, placeOf, type Places, reloaded } from "./places.ts"
import { type EndpointStages, endpointStages, type UpstreamStages, upstreamStages } from "./stages.ts"

/** A policy in force, and what its stages remember. A reload makes the next one; a call keeps the one that it began with. */
export interface Live {
  readonly policy: HttpPolicy
  readonly stages: UpstreamStages
  /** Where all attempts go; `undefined` where that is chosen for each of them. */
  readonly place: Place | undefined
  /** Where they may go; `undefined` where there is one place. */
  readonly places: Places | undefined
}

/** An upstream at one place. */
export const startLive = (policy: HttpPolicy, origin: string): Live => {
  return { policy, stages: upstreamStages(policy), place: placeOf(origin, endpointStages(policy)), places: undefined }
}

/** An upstream at places that are chosen from. */
export const startChosen = (policy: HttpPolicy, endpoints: Endpoints): Live => {
  return { policy, stages: upstreamStages(policy), place: undefined, places: makePlaces(policy, endpoints) }
}

export const nextLive = (before: Live, policy: HttpPolicy): Live => {
  const { place, places } = before
  places?.reload(policy)
  return {
    policy,
    stages: upstreamStages(policy, before),
    place: place && reloaded(place, before.policy, policy),
    places
  }
}

/** The places that are remembered. */
export const placesOf = ({ place, places }: Live): ReadonlyArray<Place> => (place ? [place] : (places?.list() ?? []))

const optional = <A>(stage: { readonly snapshot: Effect.Effect<A> } | undefined): Effect.Effect<A | undefined> =>
  stage === undefined ? Effect.succeed(undefined) : stage.snapshot

/** What an endpoint's stages remember; those that are not there are `undefined`. */
const endpointSnapshot = (origin: string, stages: EndpointStages): Effect.Effect<EndpointSnapshot> =>
  Effect.map(
    Effect.all({
      breaker: optional(stages.breaker),
      throttle: optional(stages.throttle),
      bulkhead: optional(stages.bulkhead),
      adaptiveConcurrency: optional(stages.adaptiveConcurrency),
      attemptTimeout: optional(stages.adaptiveTimeout)
    }),
    (snapshots) => ({ origin, ...snapshots })
  )

/** What an upstream is like at this instant, with the places that it has. */
export const upstreamSnapshot = (
  upstream: { readonly name: string; readonly version?: string | undefined; readonly policy: string },
  stages: UpstreamStages,
  bodies: Bodies,
  places: ReadonlyArray<Place>
): Effect.Effect<Snapshot> =>
  Effect.map(
    Effect.all({
      budget: optional(stages.budget),
      rateLimit: optional(stages.rateLimit),
      singleFlight: optional(stages.singleFlight),
      hedge: optional(stages.hedge),
      endpoints: Effect.forEach(places, ({ origin, stages }) => endpointSnapshot(origin, stages))
    }),
    ({ endpoints, ...snapshots }) => ({
      name: upstream.name,
      version: upstream.version,
      policy: upstream.policy,
      ...snapshots,
      bodies: { open: bodies.open, unread: bodies.unread, found: bodies.found },
      endpoints
    })
  )
