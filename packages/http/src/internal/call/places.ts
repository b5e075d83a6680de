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
  /** Puts another policy in force at all of them. */
  readonly reload: (policy: HttpPolicy) => void
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

export const makePlaces = (policy: HttpPolicy, endpoints: Endpoints): Places => {
  let inForce = policy
  const states = KeyedState.make({
    create: (origin: string) => placeOf(origin, endpointStages(inForce)),
    // an open circuit, and a forced one, is remembered as long as there is the endpoint: it is why nothing goes there
    kept: () => endpoints.list().map(({ origin }) => origin)
  })
  return {
    at: states.get,
    known: (origin) => states.peek(origin)?.stages,
    list: () => states.entries().map(([, place]) => place),
    reload: (policy) => {
      states.replaceAll((place) => reloaded(place, inForce, policy))
      inForce = policy
    }
  }
}
