/** Calls whose answer is read whole within the attempt, and decoded if the caller says so. */

import type { CallError } from "@holdfast/core/CallError"
import * as Effect from "effect/Effect"
import type * as CallLayer from "../../CallLayer.ts"
import * as Transport from "../../Transport.ts"
import { answer } from "../response/answer.ts"
import { encodeRequest, type Given } from "../request/encodeRequest.ts"
import { askedOf, type Attempt, Call, type Exchange } from "./engine.ts"
import { send } from "./attemptLayers.ts"
import type { RedirectPolicy } from "../policy/policyModel.ts"
import type { Place } from "./places.ts"
import type { Runtime } from "./runtime.ts"
import * as Spans from "../watch/spans.ts"
import type { WatchedAttempt } from "../watch/watchedAttempt.ts"

/** One call, through its stages: request → call stage → attempts → outcome → answer. */
export const call = (
  runtime: Runtime,
  method: string,
  template: string,
  given: Given
): Effect.Effect<unknown, CallError, unknown> =>
  Effect.withFiber((fiber) => {
    const call = new Call(runtime, fiber, askedOf(method, template, given), whole)
    if (!Spans.isTracing(fiber)) return call.run(undefined)
    return Spans.withCallSpan(
      { upstream: runtime.name, operation: call.operation, requestId: call.requestId },
      (span) => call.run(span)
    )
  })

/** Sends, reads within bounds, and makes of the response what the caller asked for. */
const attempt: Exchange["attempt"] = (call, place, resend, headers, attempt) => {
  const { policy } = call
  if (policy.redirects !== undefined) return attemptOn(call, place, policy.redirects, resend, headers, attempt)
  const request = call.wireRequest(place, resend, headers, policy.limits, attempt)
  return Effect.flatMap(send(call, place, request), (response) =>
    valueOf(call, place, response, attempt, place.endpoint, 0)
  )
}

/** The same, wherever redirects lead. It is apart, so that a call that follows none keeps no request in flight for it. */
const attemptOn = (
  call: Call,
  place: Place,
  policy: RedirectPolicy,
  resend: number,
  headers: { readonly [name: string]: string },
  attempt: WatchedAttempt | undefined
): Attempt => {
  const hop = (request: Transport.Request) => send(call, place, request)
  const request = call.wireRequest(place, resend, headers, call.policy.limits, attempt)
  return hop(request).pipe(
    Effect.flatMap((response) =>
      call.followed(place, policy, { request, response, followed: 0 }, hop, discard, attempt)
    ),
    Effect.flatMap(({ followed, request, response }) =>
      valueOf(call, place, response, attempt, Transport.endpointOf(request.origin), followed)
    )
  )
}

/** A whole response holds nothing. */
const discard = (): Effect.Effect<void> => Effect.void

/** The caller's answer from a whole response. */
export const valueOf = (
  call: Call,
  place: Place,
  response: Transport.Response,
  attempt: WatchedAttempt | undefined,
  endpoint: string,
  followed: number
): Attempt => {
  const { fiber, given, runtime } = call
  attempt?.answered(response.status, response.body.length)
  call.paced(place, endpoint, response)
  const value = answer(runtime, endpoint, fiber, given, response, followed, call.asksForPart())
  // the layers around the call see what it was made of
  return runtime.callLayers === undefined ? value : Effect.map(value, (value) => new Seen(value, response))
}

/** An answer, with the response that it was made of. */
class Seen {
  readonly value: unknown
  readonly response: Transport.Response
  constructor(value: unknown, response: Transport.Response) {
    this.value = value
    this.response = response
  }
}

/** The name of the answering side, where it was not the upstream. */
export const layerOf = ({ upstream }: Call): string => `a layer of ${upstream}`

/** A response of a layer, as a transport would have given it. */
export const asWhole = ({ body, headers, setCookies, status, trailers }: CallLayer.Response): Transport.Response => ({
  status,
  headers,
  setCookies,
  body: body ?? noBytes,
  bodyComplete: true,
  trailers
})

const noBytes = new Uint8Array(0)

/** Sends, reads and decodes within the attempt. */
export const whole: Exchange = {
  isShareable: true,
  isOpen: false,
  encode: (call) => encodeRequest(call, call.given),
  attempt,
  // with layers, `valueOf` gives nothing else
  responseOf: (given) => (given as Seen).response,
  answerOf: (given) => (given as Seen).value,
  made: (call, response) => {
    const { fiber, given, runtime } = call
    return answer(runtime, layerOf(call), fiber, given, asWhole(response), 0, call.asksForPart())
  }
}
