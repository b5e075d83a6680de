/** How a response is followed to where it leads. */

import type * as Reason from "@holdfast/core/Reason"
import * as Effect from "effect/Effect"
import type * as Transport from "../../Transport.ts"
import type { RedirectPolicy } from "../policy/policyModel.ts"
import { type Hop, isHop, isRedirect, nextHop } from "./redirects.ts"

/** The terms of following redirects. */
export interface Following<R> {
  readonly policy: RedirectPolicy
  /** Whether the body can be sent once more, asked when it would be. */
  readonly replayable: () => boolean
  readonly secretHeaders: ReadonlySet<string>
  readonly send: (request: Transport.Request) => Effect.Effect<R, Reason.Reason>
  /** Releases a response that only says where to ask. */
  readonly discard: (response: R) => Effect.Effect<void>
  readonly onHop: (status: number, hop: Hop) => void
}

/** A response that leads no further, and what it answers. */
export interface Arrived<R> {
  readonly request: Transport.Request
  readonly response: R
  readonly followed: number
}

/** Whether a response is to be followed. A status that the caller expects is his answer. */
const leadsOn = (
  request: Transport.Request,
  response: { readonly status: number; readonly headers: { readonly [name: string]: string } }
): boolean => isRedirect(response.status, response.headers) && !request.expectedStatus.includes(response.status)

/** Follows a response to where it leads, one request after the other, each through the transport. */
export const follow = <R extends { readonly status: number; readonly headers: { readonly [name: string]: string } }>(
  following: Following<R>,
  { followed, request, response }: Arrived<R>
): Effect.Effect<Arrived<R>, Reason.Reason> => {
  if (!leadsOn(request, response)) return Effect.succeed({ request, response, followed })
  const { policy, secretHeaders } = following
  const next = nextHop(
    { request, followed, policy, secretHeaders, replayable: following.replayable() },
    response.status,
    response.headers["location"] ?? ""
  )
  if (!isHop(next)) return Effect.andThen(following.discard(response), Effect.fail(next))
  following.onHop(response.status, next)
  const onward = { ...request, ...next }
  return Effect.flatMap(
    Effect.andThen(
      following.discard(response),
      Effect.suspend(() => following.send(onward))
    ),
    (answer) => follow(following, { request: onward, response: answer, followed: followed + 1 })
  )
}
