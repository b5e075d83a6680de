/** Where attempts go, and what is remembered of the attempts at each place. */

import * as KeyedState from "@holdfast/core/KeyedState"
import type { Endpoints } from "../../Endpoints.ts"
import * as Transport from "../../Transport.ts"
import type { HttpPolicy } from "../policy/policyModel.ts"
import { type EndpointStages, endpointStages } from "./stages.ts"

/** One endpoint, and the stages of the attempts there. */
export interface Place {
  readonly origin: string
  /** Host and port, as errors name them. */
  readonly endpoint: string
  readonly server: Transport.Server
  readonly stages: EndpointStages
}

/** Places that are found when an attempt goes there. Of an endpoint that is no more, they are forgotten after a while. */
export interface Places {
  /** The place at an origin. Asking for it is a use of it. */
  readonly at: (origin: string, nowMillis: number) => Place
  /** The stages of an origin to which attempts went of late. Asking for them is no use of it. */
  readonly known: (origin: string) => EndpointStages | undefined
  /** All that are remembered. */
  readonly list: () => ReadonlyArray<Place>
  /** The same places under another policy. Calls under way keep the ones that they began with. */
  readonly reloaded: (policy: HttpPolicy) => Places
}

export const placeOf = (origin: string, stages: EndpointStages): Place => ({
  origin,
  endpoint: Transport.endpointOf(origin),
  server: Transport.serverOf(origin),
  stages
})

/** The same place under another policy: its stages keep what they remember. */
export const reloaded = (place: Place, before: HttpPolicy, policy: HttpPolicy): Place => ({
  ...place,
  stages: endpointStages(policy, { policy: before, stages: place.stages })
})

export const makePlaces = (upstream: string, policy: HttpPolicy, endpoints: Endpoints): Places =>
  placesFrom(KeyedState.make(optionsOf(upstream, policy, endpoints)), upstream, policy, endpoints)

const optionsOf = (upstream: string, policy: HttpPolicy, endpoints: Endpoints): KeyedState.Options<string, Place> => ({
  create: (origin) => {
    // asked once for each place: the origin stands in errors and metrics, and a redirect is compared with it
    if (!isOrigin(origin)) throw new TypeError(noOrigin(upstream, endpoints))
    return placeOf(origin, endpointStages(policy))
  },
  // an open circuit, and a forced one, is remembered as long as there is the endpoint: it is why nothing goes there
  kept: () => endpoints.list().map(({ origin }) => origin)
})

const placesFrom = (
  states: KeyedState.KeyedState<string, Place>,
  upstream: string,
  policy: HttpPolicy,
  endpoints: Endpoints
): Places => ({
  at: states.get,
  known: (origin) => states.peek(origin)?.stages,
  list: () => states.entries().map(([, place]) => place),
  reloaded: (next) =>
    placesFrom(
      states.copied(optionsOf(upstream, next, endpoints), (place) => reloaded(place, policy, next)),
      upstream,
      next,
      endpoints
    )
})

const isOrigin = (origin: string): boolean => {
  const url = URL.parse(origin)
  return url !== null && (url.protocol === "https:" || url.protocol === "http:") && url.origin === origin
}

/** Without the origin that is none: it may hold a password. */
const noOrigin = (upstream: string, { name }: Endpoints): string =>
  `${upstream}: the endpoints \`${name}\` chose an origin that is none; it must be scheme, host in lower case, and a port that is not the ` +
  "scheme's own, without a path: https://a.payments.internal"
