/** Calls of a program that speaks Effect's `HttpClient`: they begin with its request, and end with its response. */

import type { CallError } from "@holdfast/core/CallError"
import * as Reason from "@holdfast/core/Reason"
import type { RetryStopped } from "@holdfast/core/Retry"
import { stackless } from "@holdfast/core/Stackless"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Headers from "effect/http/Headers"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type * as CallLayer from "../../CallLayer.ts"
import * as Transport from "../../Transport.ts"
import { arrival, callerOf, left, type Step } from "../response/arrival.ts"
import { concat } from "../response/boundedBody.ts"
import { beneath, foreignAgain } from "./clientExecution.ts"
import { ClientResponse } from "./clientResponse.ts"
import { isTraced } from "./clientTracing.ts"
import type { Encoded } from "../request/encodeRequest.ts"
import type { Arrived } from "../request/follow.ts"
import { OpenBody } from "../streaming/openBody.ts"
import type { Issue } from "../request/pathTemplate.ts"
import { type Attempt, Call, type Exchange } from "../call/engine.ts"
import type { Place } from "../call/places.ts"
import type { Runtime } from "../call/runtime.ts"
import * as Spans from "../watch/spans.ts"
import { statusReason } from "../response/statusReason.ts"
import { asWhole, layerOf } from "../call/wholeExchange.ts"
import type { WatchedAttempt } from "../watch/watchedAttempt.ts"

/** A program's request, and how it is sent. */
export interface Executing {
  readonly runtime: Runtime
  readonly request: HttpClientRequest.HttpClientRequest
  readonly operation: string
  readonly encode: (call: Call) => Encoded | Issue | Effect.Effect<Encoded, Issue>
  /** Whether redirects are followed here, and not given. */
  readonly isFollowed: boolean
  readonly open: Transport.Transport["Service"]["open"]
  /** The response of the client below that an open one was made of, where there is one. */
  readonly below: (response: object) => Below | undefined
  /** Longest body that is read within the attempt, when its length is announced. */
  readonly bufferBytes: number
  /** Whether an error status that retries did not mend is an error. */
  readonly failOnStatus: boolean
}

/** The answer of the client below. */
export interface Below {
  readonly response: HttpClientResponse
  /** The error that it made of the status, if it is one that filters. */
  readonly filtered: HttpClientError.HttpClientError | undefined
}

/** The result of a call: a response whose body is here, or is still to come. */
interface Answered {
  readonly step: Step
  readonly request: Transport.Request
  /** The body, if it was read within the attempt. */
  readonly bytes: Uint8Array | undefined
  readonly body: OpenBody
}

/** One call, from a client's request to its response. */
export const execute = <E, R>(executing: Executing): Effect.Effect<HttpClientResponse, E | CallError, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.withFiber((fiber: Fiber.Fiber<unknown, unknown>) => {
      const { operation, request, runtime } = executing
      const exchange = new ClientExchange(executing)
      const given = executing.isFollowed
        ? // a header that the program hides is a secret, and a redirect does not take it elsewhere
          {
            headers: Headers.redact(request.headers, fiber.getRef(Headers.CurrentRedactedNames)),
            expectedStatus: errorStatus
          }
        : { headers: request.headers, expectedStatus: everyStatus }
      const call = new Call(runtime, fiber, { method: request.method, template: "", operation, given }, exchange)
      const run = isTraced(fiber, request)
        ? Spans.withCallSpan(
            { upstream: runtime.name, operation, requestId: call.requestId },
            (span) => call.run(span),
            (exit) => exchange.endedAs(exit)
          )
        : call.run(undefined)
      const settled = Effect.onExitPrimitive(restore(run), (exit) =>
        exchange.keepOnly(Exit.isSuccess(exit) ? exit.value : undefined)
      )
      // the client's services are in the context of its caller, and `attempt` gives nothing but answers
      const answered = settled as Effect.Effect<Answered, CallError, R>
      return Effect.flatMap(answered, (answered): Effect.Effect<HttpClientResponse, E> => exchange.give(answered))
    })
  ).pipe(Effect.catchCause(foreignAgain<E>))

class ClientExchange implements Exchange {
  readonly isShareable = false
  readonly isOpen = false
  readonly #executing: Executing
  readonly #bodies = new Set<OpenBody>()
  /** The responses whose status was a failure, by their reasons: of two attempts at once, either may be the call's. */
  readonly #failed = new Map<Reason.Reason, Answered>()
  /** The error response that the call gives as it is, and the error that it stands for. */
  #gaveUp: { readonly answered: Answered; readonly error: () => CallError } | undefined

  constructor(executing: Executing) {
    this.#executing = executing
  }

  encode(call: Call): ReturnType<Exchange["encode"]> {
    return this.#executing.encode(call)
  }

  beneath(reason: Reason.Reason): Pick<CallError, "applied" | "previous"> | undefined {
    return beneath.get(reason)
  }

  attempt(
    call: Call,
    place: Place,
    resend: number,
    headers: { readonly [name: string]: string },
    attempt: WatchedAttempt | undefined
  ): Attempt {
    return Effect.suspend(() => {
      const body = this.#bodyOf(call)
      // a body that is too long is judged here: of an error response, its status is what counts
      const limits = { ...call.policy.limits, responseBytes: Infinity }
      const request = call.wireRequest(place, resend, headers, limits, attempt)
      return Effect.onExitPrimitive(
        Effect.flatMap(arrival(call, place, this.#executing.open, request, body.scope, attempt), (arrived) =>
          this.#arrived(call, place, body, arrived, attempt)
        ),
        (exit) => (Exit.isFailure(exit) && !this.#isFailed(body) ? this.#discarded(body) : undefined)
      )
    })
  }

  #bodyOf(call: Call): OpenBody {
    const { responseBytes } = call.policy.limits
    const body = new OpenBody(
      callerOf(call, { maxBytes: responseBytes, unreadMillis: Infinity, asked: {}, ended: () => undefined })
    )
    this.#bodies.add(body)
    return body
  }

  #arrived(
    call: Call,
    place: Place,
    body: OpenBody,
    { followed, request, response: step }: Arrived<Step>,
    attempt: WatchedAttempt | undefined
  ): Attempt {
    const { headers, response, status } = step
    const endpoint = Transport.endpointOf(request.origin)
    const isOpen = "stream" in response
    attempt?.answered(status, isOpen ? undefined : response.body.length)
    call.paced(place, endpoint, response)
    const bytes = isOpen ? undefined : response.body
    const answered: Answered = { step, request, bytes, body }
    if (isOpen) {
      const { setCookies, stream, trailers } = response
      body.open({ status, headers, setCookies, trailers, stream, endpoint }, undefined)
    }
    if (status >= 400) {
      const read = { status, headers, body: bytes ?? noBytes, bodyComplete: !isOpen && response.bodyComplete }
      const reason = statusReason(endpoint, read, call.clock.currentTimeMillisUnsafe(), followed)
      this.#failed.set(reason, answered)
      return Effect.fail(reason)
    }
    if (!isOpen) return Effect.succeed(answered)
    const { responseBytes: limit } = call.policy.limits
    const announced = this.#announced(step)
    if (announced > limit) {
      return Effect.fail(stackless(() => new Reason.ResponseTooLarge({ endpoint, limit, size: announced })))
    }
    // a stream that comes for hours does not say how long it is
    if (!(announced > 0 && announced <= this.#executing.bufferBytes)) return Effect.succeed(answered)
    return Effect.map(collected(response.stream, limit, endpoint), (bytes) => {
      attempt?.answered(status, bytes.length)
      return { ...answered, bytes }
    })
  }

  /** How long a body is by its own account; `NaN` where it says nothing, or where there is none. */
  #announced({ headers, status }: Step): number {
    const hasBody = this.#executing.request.method !== "HEAD" && !bodiless.has(status)
    return hasBody ? Number(headers["content-length"] ?? "NaN") : NaN
  }

  #isFailed(body: OpenBody): boolean {
    for (const answered of this.#failed.values()) if (answered.body === body) return true
    return false
  }

  responseOf(given: unknown): CallLayer.Response {
    // `attempt` gives nothing else
    const { bytes, step } = given as Answered
    return { status: step.status, headers: step.headers, setCookies: step.response.setCookies, body: bytes }
  }

  made(call: Call, made: CallLayer.Response): Attempt {
    return Effect.suspend(() => {
      const body = this.#bodyOf(call)
      const response = asWhole(made)
      if (made.status >= 400 && this.#executing.failOnStatus) {
        return Effect.fail(statusReason(layerOf(call), response, call.clock.currentTimeMillisUnsafe(), 0))
      }
      const step = { status: made.status, headers: made.headers, response, scope: body.scope }
      const request = call.wireRequest(call.place, 0, {}, call.policy.limits, undefined)
      const answered: Answered = { step, request, bytes: response.body, body }
      return Effect.succeed(answered)
    })
  }

  onRetry(call: Call, reason: Reason.Reason): Effect.Effect<void> {
    const answered = this.#failed.get(reason)
    // the answer of a hedge beside it is no more wanted than this one
    const others = [...this.#failed.values()].filter(({ body }) => body !== answered?.body && this.#bodies.has(body))
    const discarded = Effect.forEach(others, ({ body }) => this.#discarded(body), { discard: true })
    return answered === undefined ? discarded : Effect.andThen(discarded, this.#left(call, answered))
  }

  onGiveUp(call: Call, reason: Reason.Reason, stopped: RetryStopped): Effect.Effect<unknown, CallError> | undefined {
    const answered = this.#failed.get(reason)
    // read and gone, for an attempt that was then not made
    if (answered === undefined || !this.#bodies.has(answered.body)) return undefined
    if (this.#executing.failOnStatus) {
      return Effect.andThen(
        withinDeadline(call, this.#left(call, answered)),
        Effect.suspend(() => Effect.fail(call.failed(reason, stopped)))
      )
    }
    this.#gaveUp = { answered, error: () => call.failed(reason, stopped) }
    return Effect.succeed(answered)
  }

  /** A response that is an error is none to the code above, but it is one of the upstream. */
  endedAs(exit: Exit.Exit<unknown, CallError>): Exit.Exit<unknown, CallError> {
    const gaveUp = this.#gaveUp
    // a layer may have put another response in its place
    const isGiven = gaveUp !== undefined && Exit.isSuccess(exit) && exit.value === gaveUp.answered
    return isGiven ? Exit.fail(gaveUp.error()) : exit
  }

  /** Ends what every attempt but the winner's has opened. */
  keepOnly(winner: unknown): Effect.Effect<void> {
    return Effect.forEach(
      [...this.#bodies],
      (body) => (body === (winner as Answered | undefined)?.body ? Effect.void : this.#discarded(body)),
      { discard: true }
    )
  }

  /** The response, as the code above expects it: one that the client below would have refused is refused here. */
  give<E>({ body, bytes, request, step }: Answered): Effect.Effect<HttpClientResponse, E> {
    const { below, request: asked } = this.#executing
    const { headers, response, status } = step
    const under = below(response)
    const made = (content: Uint8Array | Stream.Stream<Uint8Array, CallError>): HttpClientResponse =>
      new ClientResponse({
        request: asked,
        url: under?.response.url ?? `${request.origin}${request.path}`,
        status,
        headers,
        setCookies: response.setCookies,
        remoteAddress: under?.response.remoteAddress ?? Option.none(),
        body: content
      })
    const given =
      bytes === undefined
        ? Effect.map(body.give(Effect.void), ({ stream }) => {
            forgotten.register(stream, body)
            return made(stream)
          })
        : Effect.as(body.discard, made(bytes))
    if (under?.filtered === undefined) return given
    return Effect.flatMap(given, (response) => {
      const reason = new HttpClientError.StatusCodeError({
        request: asked,
        response,
        description: "invalid status code"
      })
      // it is of the errors of the client below, which made the first one
      return Effect.fail(new HttpClientError.HttpClientError({ reason }) as E)
    })
  }

  #left(call: Call, { body, step }: Answered): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#bodies.delete(body)
      return Effect.andThen(left(call, step), body.discard)
    })
  }

  #discarded(body: OpenBody): Effect.Effect<void> {
    this.#bodies.delete(body)
    return body.discard
  }
}

/** Work after the last attempt, in the time that is left to the call. */
const withinDeadline = (call: Call, run: Effect.Effect<void>): Effect.Effect<unknown> =>
  call.deadline === undefined
    ? run
    : Effect.timeoutOption(run, Duration.millis(Math.max(0, call.deadline.atMillis - call.nowMillis())))

/** A body that its caller has forgotten is let go: a client's response has no scope that would say when. */
const forgotten = new FinalizationRegistry<OpenBody>((body) => {
  if (!body.isRead) Effect.runFork(body.release)
})

/** All of a body that says that it is short. The unpacked body may be long. */
const collected = (
  stream: Stream.Stream<Uint8Array, Reason.TransportReason>,
  limit: number,
  endpoint: string
): Effect.Effect<Uint8Array, Reason.TransportReason> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    const read = Stream.runForEachWhile(stream, (chunk) =>
      Effect.sync(() => {
        size += chunk.length
        chunks.push(chunk)
        return size <= limit
      })
    )
    return Effect.flatMap(read, () =>
      size > limit
        ? Effect.fail(stackless(() => new Reason.ResponseTooLarge({ endpoint, limit, size })))
        : Effect.succeed(concat(chunks, size))
    )
  })

const noBytes = new Uint8Array(0)

const bodiless: ReadonlySet<number> = new Set([204, 205, 304])

/** A client's response is whatever came; what to think of its status is the policy's. */
const everyStatus: ReadonlyArray<number> = Array.from({ length: 300 }, (_, index) => 300 + index)

const errorStatus: ReadonlyArray<number> = everyStatus.slice(100)
