/** Calls whose answer is given when its headers have come, and read by its caller as it comes. */

import type { CallError } from "@holdfast/core/CallError"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type * as CallLayer from "../../CallLayer.ts"
import type { StreamedAnswer } from "../../Request.ts"
import * as Transport from "../../Transport.ts"
import { isAnswer, unwantedPart } from "../response/answer.ts"
import { arrival, callerOf, left, type Step } from "../response/arrival.ts"
import type { Asking } from "./asking.ts"
import { encodeRequest, type Given } from "../request/encodeRequest.ts"
import type { Arrived } from "../request/follow.ts"
import { type Caller, OpenBody, scopeClosed } from "./openBody.ts"
import { type Asked, askedOf, type Attempt, Call, type Exchange } from "../call/engine.ts"
import type { Place } from "../call/places.ts"
import { noHeaders } from "../request/noFields.ts"
import type { Runtime } from "../call/runtime.ts"
import * as Spans from "../watch/spans.ts"
import { statusReason } from "../response/statusReason.ts"
import type { WatchedAttempt } from "../watch/watchedAttempt.ts"
import { layerOf, valueOf, whole } from "../call/wholeExchange.ts"

/** A request whose answer is streamed, its types forgotten. */
export type GivenStreamed = Omit<Given, "decode"> & { readonly maxBytes?: number | undefined }

/** A call whose answer is given when its headers have come, and that belongs to a scope from then on. */
export const streamed = (
  runtime: Runtime,
  method: string,
  template: string,
  given: GivenStreamed,
  asking: Asking
): Effect.Effect<StreamedAnswer, CallError, Scope.Scope> =>
  streaming({
    runtime,
    asked: () => askedOf(method, template, given),
    maxBytes: given.maxBytes ?? Infinity,
    asking,
    encode: (call) => encodeRequest(call, call.given),
    isTraced: Spans.isTracing
  })

/** A request whose answer is streamed, from any kind of caller. */
export interface Streaming {
  readonly runtime: Runtime
  readonly asked: () => Asked
  readonly maxBytes: number
  readonly asking: Asking
  readonly encode: Exchange["encode"]
  readonly isTraced: (fiber: Fiber.Fiber<unknown, unknown>) => boolean
}

/** The same, of a request that is made in another way. */
export const streaming = (given: Streaming): Effect.Effect<StreamedAnswer, CallError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.withFiber((fiber) => {
        // of its own, so that a body that has ended leaves nothing behind in a scope that lives long
        const ofCall = Scope.forkUnsafe(scope)
        const { asking, runtime } = given
        const bodies = new StreamedExchange(given)
        const call = new Call(runtime, fiber, given.asked(), bodies)
        const over = Effect.suspend(() => {
          asking.onEnded?.()
          return Scope.close(ofCall, Exit.void)
        })
        // the services for a request are in the context of its caller: it has no schema for its answer
        const run = (span?: Tracer.Span) => call.run(span) as Effect.Effect<unknown, CallError>
        const traced = given.isTraced(fiber)
          ? Spans.openCallSpan({ upstream: runtime.name, operation: call.operation, requestId: call.requestId }, run)
          : run()
        const settled = Effect.onExitPrimitive(
          Effect.andThen(Scope.addFinalizer(ofCall, bodies.release), restore(traced)),
          (exit) =>
            Exit.isSuccess(exit) ? bodies.keepOnly(exit.value) : Effect.andThen(bodies.keepOnly(undefined), over)
        )
        // `attempt` gives nothing else
        return Effect.flatMap(settled, (body) => (body as OpenBody).give(over))
      })
    )
  )

/** A call up to the headers of its answer. The responses of its attempts stay open until it is known which of them won. */
class StreamedExchange implements Exchange {
  readonly isShareable = false
  readonly isOpen = true
  readonly keepPlaces = keepPlaces
  readonly #bodies = new Set<OpenBody>()
  readonly #maxBytes: number
  readonly #asking: Asking
  readonly #encode: Exchange["encode"]
  #isReleased = false

  constructor({ asking, encode, maxBytes }: Pick<Streaming, "asking" | "encode" | "maxBytes">) {
    this.#maxBytes = maxBytes
    this.#asking = asking
    this.#encode = encode
  }

  encode(call: Call): ReturnType<Exchange["encode"]> {
    const maxBytes = this.#maxBytes
    if (maxBytes === Infinity || (Number.isInteger(maxBytes) && maxBytes >= 0)) return this.#encode(call)
    return { path: "maxBytes", issue: `must be a whole number of bytes of at least 0, got ${maxBytes}` }
  }

  /** The scope of the call was closed, while it ran or after it. */
  readonly release: Effect.Effect<void> = Effect.suspend(() => {
    this.#isReleased = true
    return Effect.forEach([...this.#bodies], (body) => body.release, { discard: true })
  })

  /** Ends what every attempt but the winner's has opened. */
  keepOnly(winner: unknown): Effect.Effect<void> {
    return Effect.forEach([...this.#bodies], (body) => (body === winner ? Effect.void : this.#discarded(body)), {
      discard: true
    })
  }

  /** Sends, and gives the open body once the headers have come. */
  attempt(
    call: Call,
    place: Place,
    resend: number,
    headers: { readonly [name: string]: string },
    attempt: WatchedAttempt | undefined
  ): Attempt {
    return Effect.suspend(() => {
      const body = new OpenBody(this.#caller(call))
      this.#bodies.add(body)
      if (this.#isReleased) return Effect.andThen(body.release, Effect.die(body.misuse(scopeClosed)))
      const limits = { ...call.policy.limits, responseBytes: this.#maxBytes }
      const request = call.wireRequest(place, resend, headers, limits, attempt)
      const open = call.runtime.transport.open
      return Effect.onExitPrimitive(
        Effect.flatMap(arrival(call, place, open, request, body.scope, attempt), (arrived) =>
          opened(call, place, body, arrived, attempt)
        ),
        (exit) => (Exit.isFailure(exit) ? this.#discarded(body) : undefined)
      )
    })
  }

  responseOf(given: unknown): CallLayer.Response {
    // `attempt` gives nothing else
    const { headers = noHeaders, setCookies, status = 0 } = (given as OpenBody).opened ?? {}
    return { status, headers, setCookies, body: undefined }
  }

  made(call: Call, response: CallLayer.Response): Attempt {
    return Effect.suspend(() => {
      const { body: bytes = noBytes, headers, setCookies, status, trailers } = response
      const opened = Effect.sync(() => {
        const body = new OpenBody(this.#caller(call))
        this.#bodies.add(body)
        const stream = bytes.length === 0 ? Stream.empty : Stream.succeed(bytes)
        body.open({ status, headers, setCookies, trailers: () => trailers, stream, endpoint: layerOf(call) }, undefined)
        return body
      })
      // one that is no answer is whole, and is read as that of an attempt would be
      return isAnswer(status, call.given.expectedStatus) ? opened : Effect.andThen(whole.made(call, response), opened)
    })
  }

  #discarded(body: OpenBody): Effect.Effect<void> {
    this.#bodies.delete(body)
    return body.discard
  }

  #caller(call: Call): Caller {
    return callerOf(call, {
      maxBytes: this.#maxBytes,
      unreadMillis: call.runtime.unreadMillis,
      asked: this.#asking.site,
      ended: (exit) => {
        if (call.span !== undefined) Spans.endCallSpan(call.context, call.span, exit)
        call.tellEnded(exit)
      }
    })
  }
}

/** An open body, or the reason why the response is a failure. */
const opened = (
  call: Call,
  place: Place,
  body: OpenBody,
  { followed, request, response: step }: Arrived<Step>,
  attempt: WatchedAttempt | undefined
): Attempt => {
  const { headers, response, status } = step
  const span = attempt?.span
  const endpoint = Transport.endpointOf(request.origin)
  if (!("stream" in response)) {
    return Effect.map(valueOf(call, place, response, attempt, endpoint, followed), () => {
      const stream = response.body.length === 0 ? Stream.empty : Stream.succeed(response.body)
      const { setCookies, trailers } = response
      body.open({ status, headers, setCookies, trailers: () => trailers, stream, endpoint }, span)
      attempt?.opened()
      return body
    })
  }
  attempt?.answered(status)
  call.paced(place, endpoint, response)
  const part = unwantedPart(endpoint, status, call.asksForPart(), false)
  if (part !== undefined) return Effect.andThen(left(call, step), Effect.fail(part))
  if (isAnswer(status, request.expectedStatus)) {
    const { setCookies, stream, trailers } = response
    body.open({ status, headers, setCookies, trailers, stream, endpoint }, span)
    attempt?.opened()
    return Effect.succeed(body)
  }
  const unread = { status, headers, body: noBytes, bodyComplete: false }
  const now = call.clock.currentTimeMillisUnsafe()
  return Effect.andThen(left(call, step), Effect.fail(statusReason(endpoint, unread, now, followed)))
}

/** A place in the bulkhead, and in the adaptive limit, is held as long as the body is read: it is the upstream's load. */
const keepPlaces = (body: unknown, giveBack: () => void): void => {
  // `attempt` gives nothing else
  ;(body as OpenBody).keepPlaces(giveBack)
}

const noBytes = new Uint8Array(0)
