/** A policy in force with the state of its stages, how a reload replaces both at once, and the view of it in the registry. */

import * as Effect from "effect/Effect"
import type { Endpoints } from "../../Endpoints.ts"
import type { Snapshot } from "../../UpstreamRegistry.ts"
import type { HttpPolicy } from "../policy/policyModel.ts"
import type { Bodies } from "../streaming/openBody.ts"
import { makePlaces, type Place, placeOf, type Places, reloaded } from "./places.ts"
import { partOf, rowsOf } from "./order.ts"
import type { EndpointStageTypes, Snapshots, UpstreamStageTypes } from "../policy/stageTypes.ts"
import { endpointStages, type UpstreamStages, upstreamStages } from "./stages.ts"

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
export const startLive = (policy: HttpPolicy, origin: string): Live => ({
  policy,
  stages: upstreamStages(policy),
  place: placeOf(origin, endpointStages(policy)),
  places: undefined
})

/** An upstream at places that are chosen from. */
export const startChosen = (upstream: string, policy: HttpPolicy, endpoints: Endpoints): Live => ({
  policy,
  stages: upstreamStages(policy),
  place: undefined,
  places: makePlaces(upstream, policy, endpoints)
})

export const nextLive = (before: Live, policy: HttpPolicy): Live => {
  const { place, places } = before
  return {
    policy,
    stages: upstreamStages(policy, before),
    place: place && reloaded(place, before.policy, policy),
    places: places?.reloaded(policy)
  }
}

/** The places that are remembered. */
export const placesOf = ({ place, places }: Live): ReadonlyArray<Place> => (place ? [place] : (places?.list() ?? []))

/** The snapshots of the stages of a level; a stage that is not there is `undefined`. */
const snapshotsOf = <T>(around: "call" | "attempt", stages: object): Effect.Effect<Snapshots<T>> =>
  Effect.map(
    Effect.forEach(rowsOf(around), ([name]) => {
      // each row's state has a snapshot
      const stage = partOf(stages, name) as { readonly snapshot: Effect.Effect<unknown> } | undefined
      return Effect.map(stage?.snapshot ?? Effect.succeed(undefined), (snapshot) => [name, snapshot] as const)
    }),
    (snapshots) => Object.fromEntries(snapshots) as Snapshots<T>
  )

/** The state of an upstream at this instant, with its places. */
export const upstreamSnapshot = (
  upstream: { readonly name: string; readonly version?: string | undefined; readonly policy: string },
  stages: UpstreamStages,
  bodies: Bodies,
  places: ReadonlyArray<Place>
): Effect.Effect<Snapshot> =>
  Effect.map(
    Effect.all({
      own: snapshotsOf<UpstreamStageTypes>("call", stages),
      endpoints: Effect.forEach(places, ({ origin, stages }) =>
        Effect.map(snapshotsOf<EndpointStageTypes>("attempt", stages), (snapshots) => ({ origin, ...snapshots }))
      )
    }),
    ({ endpoints, own }) => ({
      name: upstream.name,
      version: upstream.version,
      policy: upstream.policy,
      ...own,
      bodies: { open: bodies.open, unread: bodies.unread, found: bodies.found },
      endpoints
    })
  )
