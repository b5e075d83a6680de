/**
 * The drop-in: a policy over an Effect `HttpClient` that a program has already. Nothing else of the program changes.
 *
 * **When to use**: {@link layer} under a program that uses `HttpClient.HttpClient`; {@link withPolicy} where a client is at
 * hand, and for `HttpApiClient.makeWith`; {@link transformClient} for `HttpApiClient.make`.
 *
 * **What it is not**: an `Upstream`, whose calls end with the decoded value and one error type. A client ends with a
 * response, so its body is read after the policy, unless it is short: a body of an announced length up to `bufferBytes` is
 * read within the attempt, and one that is cut off is retried.
 *
 * **Gotchas**: what `HttpClient.mapRequest` adds above the policy runs once a call; put it below (on the inner client) to
 * have it run for every attempt. When retries end on an error status, the last response is given as it is, because that
 * is what the code above expects of a client; `failOnStatus` changes that, and so does a rate limit that leaves no room for the next
 * attempt, because the last response has been read by then. Effect's client sends its own trace headers
 * (`traceparent`, `b3`) even without a tracer; `HttpClient.TracerPropagationEnabled` turns them off. {@link layer} asks once who
 * observes its calls, like an upstream; a client from one of the combinators asks where a call is made.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type { Span } from "effect/Tracer"
import * as Cookies from "effect/http/Cookies"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import * as HttpBody from "effect/http/HttpBody"
import { type HttpClientRequest, setBody, setHeaders } from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import { CallError, type RetryStopped } from "@holdfast/core/CallError"
import * as Deadline from "@holdfast/core/Deadline"
import * as Outcome from "@holdfast/core/Outcome"
import * as Reason from "@holdfast/core/Reason"
import * as Retry from "@holdfast/core/Retry"
import type * as RateLimit from "@holdfast/core/RateLimit"
import type * as RetryBudget from "@holdfast/core/RetryBudget"
import * as KeyedState from "@holdfast/core/KeyedState"
import { stackless } from "@holdfast/core/Stackless"
import * as CallObserver from "./CallObserver.ts"
import * as FailureClassifier from "./FailureClassifier.ts"
import * as HttpPolicy from "./HttpPolicy.ts"
import { discard, readBounded } from "./internal/boundedBody.ts"
import { type AttemptsMade, isUnsent, toldOf, withAttempt } from "./internal/attemptsMade.ts"
import { blamed, CallersStream } from "./internal/callersStream.ts"
import { guarded, type Refusal } from "./internal/guard.ts"
import { isHeaderName, malformedHeader } from "./internal/headerRules.ts"
import { callEnd, combined, type Observer } from "./internal/observing.ts"
import type { Issue } from "./internal/pathTemplate.ts"
import { pace } from "./internal/pace.ts"
import { isCallersAffair, isIdempotent, judged, mayRepeat } from "./internal/replay.ts"
import { randomHex } from "./internal/requestId.ts"
import { inTurn } from "./internal/inTurn.ts"
import * as SpanEvents from "./internal/spanEvents.ts"
import * as Spans from "./internal/spans.ts"
import { type EndpointStages, endpointStages, type UpstreamStages, upstreamStages } from "./internal/stages.ts"
import { statusReason } from "./internal/statusReason.ts"
import { type Hearing, heardAttempt, WatchedAttempt } from "./internal/watchedAttempt.ts"
import * as RequestIdentity from "./RequestIdentity.ts"
import { endpointOf } from "./Transport.ts"

/**
 * How a client is made resilient.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** What errors and spans call the upstream. Default: the host that is called. */
  readonly name?: string | undefined
  /** Default `HttpPolicy.standard()`. */
  readonly policy?: HttpPolicy.HttpPolicy | undefined
  /** Names the operation of a request, of low cardinality. Default: its method. */
  readonly operation?: ((request: HttpClientRequest) => string) | undefined
  /** Longest body that is read within the attempt, in bytes, when its length is announced. Default 1 MiB; 0 for none. */
  readonly bufferBytes?: number | undefined
  /**
   * Whether an error status that retries did not mend fails with a `CallError` instead of being given as the response it
   * is. Default `false`: the code above a client expects responses. Say `true` where the error's type may change.
   */
  readonly failOnStatus?: boolean | undefined
  /** What to think of a failure, when the catalogue's judgement does not fit. */
  readonly classify?: ((reason: Reason.Reason, usual: Outcome.Failure) => Outcome.Failure) | undefined
}

/**
 * What an option left out means.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { bufferBytes: 1024 * 1024, failOnStatus: false } as const satisfies Options

/** A failed attempt on its way to the loop: what it stands for, and the response or error that it came with. */
type Failed<E> =
  | {
      readonly _tag: "Responded"
      readonly reason: Reason.Reason
      readonly response: HttpClientResponse.HttpClientResponse
    }
  | {
      readonly _tag: "Broken"
      readonly reason: Reason.Reason
      /** Set where the client below had made attempts of its own, of which `reason` says too little. */
      readonly below?: Pick<CallError, "applied" | "previous"> | undefined
    }
  | { readonly _tag: "Foreign"; readonly error: E }

/** Judged of an error that is not an HTTP client's: it is the program's own, and goes through untouched. */
const foreign = Outcome.failure({ cause: "permanent" })

/**
 * Puts a policy on a client. Its state (the retry budget, the rate limit, what is remembered of each origin) is made here,
 * once: use it once for each upstream.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { HttpPolicy, ResilientClient } from "holdfast"
 *
 * let requests = 0
 * const flaky = HttpClient.make((request) =>
 *   Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(null, { status: ++requests < 3 ? 503 : 200 })))
 * )
 *
 * const client = flaky.pipe(ResilientClient.withPolicy({ policy: HttpPolicy.standard({ deadline: "5 seconds" }) }))
 * const response = await Effect.runPromise(client.get("https://stock.internal/items"))
 * console.log(response.status, requests) // => 200 3
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPolicy = (
  options: Options = {}
): (<E, R>(self: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E | CallError, R>) => {
  let observers: ReadonlyArray<CallObserver.CallObserver> = []
  let observer: Observer | undefined
  // a combinator is no effect, so that who observes is asked where a call is made; mostly they are those of the call before
  return policyOf(options)((fiber) => {
    const found = CallObserver.observersOf(fiber.context)
    if (found.length !== observers.length || found.some((one, index) => one !== observers[index])) {
      observers = found
      observer = combined(found)
    }
    return observer
  })
}

const policyOf = (
  options: Options
): ((
  observerOf: (fiber: Fiber.Fiber<unknown, unknown>) => Observer | undefined
) => <E, R>(self: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E | CallError, R>) => {
  const state = makeState(options)
  return (observerOf) => (self) =>
    HttpClient.transform(HttpClient.mapRequest(self, watchedBody), (send, request) =>
      Effect.withFiber((fiber) => {
        const call = makeCall(options, state, request, fiber, observerOf(fiber))
        const wrong = wrongRequest(request)
        const run = heard(call, () =>
          wrong === undefined
            ? rateLimited(call, state.stages.rateLimit, loop(call, state.stages.budget, send))
            : Effect.fail(callErrorOf(call, new Reason.RequestEncodeFailed(wrong), "not-retryable"))
        )
        if (!Spans.isTracing(fiber)) return run
        return Spans.withCallSpan(
          { upstream: call.upstream, operation: call.operation, requestId: call.requestId },
          (span) => {
            call.span = span
            return run
          },
          // the code below a client tells of an error response as one, too
          (exit) => endedAs(call, exit)
        )
      })
    )
}

/** The streams that go out as bodies, by the bodies of their requests: whoever changes a request keeps its body. */
const callersStreams = new WeakMap<HttpBody.HttpBody, CallersStream>()

/** The request with a body that knows what went wrong with it, where that is a stream. */
const watchedBody = (request: HttpClientRequest): HttpClientRequest => {
  const { body, headers } = request
  if (body._tag !== "Stream" || callersStreams.has(body)) return request
  const callers = new CallersStream(body.stream)
  const declared = headers["content-length"]
  if (declared !== undefined && /^\d{1,15}$/.test(declared)) callers.holdTo(Number(declared))
  const watched = HttpBody.stream(callers.stream, body.contentType, body.contentLength)
  callersStreams.set(watched, callers)
  return setHeaders(setBody(request, watched), headers)
}

/** What no client can send, so that it is no attempt. What belongs to the connection is the client's own to judge. */
const wrongRequest = ({ headers, method }: HttpClientRequest): Issue | undefined => {
  if (!isHeaderName(method.toLowerCase()) || method === "CONNECT") {
    return { path: "method", issue: "must be the name of a method, and not CONNECT, which is for proxies" }
  }
  for (const name of Object.keys(headers)) {
    const wrong = malformedHeader(name, headers[name] ?? "")
    if (wrong !== undefined) return wrong
  }
  return undefined
}

/** Tells of the call's begin and end. */
const heard = <A, E, R>(call: Call, run: () => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  if (call.observer === undefined) return run()
  const { callEnded, callStarted } = call.observer
  let isStarted = false
  return Effect.onExitPrimitive(
    Effect.suspend(() => {
      isStarted = true
      callStarted?.(call)
      return run()
    }),
    (exit) => {
      if (isStarted) callEnded?.(call, callEnd(endedAs(call, exit), nowMillis(call) - call.startMillis, call.sent))
      return undefined
    }
  )
}

/** What a call's exit stands for: a response that is an error is none to the code above, but it is one of the upstream. */
const endedAs = (call: Call, exit: Exit.Exit<unknown, unknown>): Exit.Exit<unknown, unknown> =>
  call.gaveUp === undefined || Exit.isFailure(exit) ? exit : Exit.fail(call.gaveUp())

const nowNanos = (call: Call): bigint => call.fiber.getRef(Clock.Clock).currentTimeNanosUnsafe()

/** Tells of a wait that is over. */
const waited = (call: Call, stage: "rateLimit" | "bulkhead", millis: number): void => {
  SpanEvents.waited(call.span, nowNanos(call), stage, millis)
  call.observer?.waited?.(call, { stage, millis })
}

/** Tells that nothing was sent. */
const refused = (call: Call, reason: Refusal): void => {
  call.refused = reason
  SpanEvents.refused(call.span, nowNanos(call), reason)
  call.observer?.refused?.(call, reason)
}

const nowMillis = (call: Call): number => Deadline.nowMillisUnsafe(call.fiber.getRef(Clock.Clock))

/** What a client remembers: of its calls, and of each origin that it calls. */
interface State {
  readonly policy: HttpPolicy.HttpPolicy
  readonly stages: UpstreamStages
  readonly endpoints: KeyedState.KeyedState<string, EndpointStages>
}

const makeState = (options: Options): State => {
  const policy = options.policy ?? HttpPolicy.standard()
  for (const [stage, isThere, why] of [
    ["hedge", policy.call.hedge, "the response that loses could not be read and released"],
    ["singleFlight", policy.call.singleFlight, "one response cannot be read twice"],
    ["deadlineHeader", policy.deadlineHeader !== undefined, "the request is made when the policy gets it"],
    [
      "redirects",
      [policy.call, ...policy.operations.values()].some(({ redirects }) => redirects !== undefined),
      "the client follows them by its own rules"
    ]
  ] as const) {
    if (isThere) throw new RangeError(`ResilientClient: ${stage} cannot be had over a client: ${why}; use an Upstream`)
  }
  const stages = upstreamStages(policy)
  return {
    policy,
    stages,
    endpoints: KeyedState.make({ create: () => endpointStages(policy, stages.budget) })
  }
}

/** Waits for the call's turn in the rate limit, within the deadline. */
const rateLimited = <A, E, R>(
  call: Call,
  limit: RateLimit.RateLimit | undefined,
  run: Effect.Effect<A, E, R>
): Effect.Effect<A, E | CallError, R> =>
  limit === undefined
    ? run
    : inTurn(
        limit,
        call.fiber.getRef(Clock.Clock),
        call.deadline,
        run,
        (reason) => {
          refused(call, reason)
          return callErrorOf(call, reason, "not-retryable")
        },
        (stage, millis) => waited(call, stage, millis)
      )

interface Call extends CallObserver.ObservedCall {
  readonly observer: Observer | undefined
  readonly options: Options
  readonly policy: HttpPolicy.CallPolicy
  readonly stages: EndpointStages
  readonly rateLimit: RateLimit.RateLimit | undefined
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly request: HttpClientRequest
  readonly endpoint: string
  readonly deadline: Deadline.Deadline | undefined
  span: Span | undefined
  /** Makes the error that an error response stands for which was given as it is. */
  gaveUp: (() => CallError) | undefined
  /** Attempts that were sent; what a stage refused is none. */
  sent: number
  /** Whether the attempt under way replaces one whose connection was stale. */
  isFresh: boolean
  /** Why the attempt before this one failed, and what the rate limit said to this one. */
  failedBefore: Reason.Reason | undefined
  limited: Reason.RateLimited | undefined
  /** What the attempts before failed with, and what a stage on this side said last. */
  made: AttemptsMade | undefined
  refused: Refusal | undefined
}

const makeCall = (
  options: Options,
  state: State,
  request: HttpClientRequest,
  fiber: Fiber.Fiber<unknown, unknown>,
  observer: Observer | undefined
): Call => {
  const startMillis = Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock))
  const url = URL.parse(request.url)
  const endpoint = url === null ? "unknown" : endpointOf(url.origin)
  const operation = options.operation?.(request) ?? request.method
  const policy = HttpPolicy.callPolicy(state.policy, operation, fiber.getRef(HttpPolicy.CurrentOverrides))
  return {
    options,
    policy,
    stages: state.endpoints.get(endpoint, startMillis),
    rateLimit: state.stages.rateLimit,
    fiber,
    observer,
    context: fiber.context,
    span: undefined,
    gaveUp: undefined,
    request,
    endpoint,
    origin: url?.origin ?? "unknown",
    upstream: options.name ?? endpoint,
    operation,
    method: request.method,
    // a client's request has its path only
    template: "",
    requestId: request.headers["x-request-id"] ?? fiber.getRef(RequestIdentity.Current)?.id ?? randomHex(fiber),
    startMillis,
    deadline: Deadline.tighten(
      fiber.getRef(Deadline.Current),
      startMillis,
      policy.deadline === undefined ? undefined : Duration.toMillis(policy.deadline)
    ),
    sent: 0,
    isFresh: false,
    failedBefore: undefined,
    limited: undefined,
    made: undefined,
    refused: undefined
  }
}

const once: Retry.Retry = Retry.make({ maxAttempts: 1 })

const loop = <E, R>(
  call: Call,
  budget: RetryBudget.RetryBudget | undefined,
  send: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>
): Effect.Effect<HttpClientResponse.HttpClientResponse, E | CallError, R> => {
  const { policy, request } = call
  const repeatable = isIdempotent(request.method) || request.headers["idempotency-key"] !== undefined
  return Retry.run({
    retry: policy.retry?.loop ?? once,
    budget,
    deadline: call.deadline,
    // a retry is a request, too; the first one had its turn with the call
    attempt: (resend, isFresh) => {
      call.isFresh = isFresh
      return resend === 0 ? attempt(call, send) : paid(call, attempt(call, send))
    },
    classify: (failed: Failed<E>) => judge(call, failed),
    // an error of the program's own is not retryable, and nobody asks whether it may be repeated
    replayable: (outcome, failed) =>
      failed._tag !== "Foreign" &&
      mayRepeat(repeatable, policy.retry?.nonIdempotent ?? "never", outcome, failed.reason) &&
      isReplayable(request.body),
    onRetry: (failed, scheduled) => {
      if (failed._tag === "Foreign") return Effect.void
      attempted(call, failed, scheduled.outcome)
      if (failed.reason !== call.limited) call.failedBefore = failed.reason
      SpanEvents.retry(call.span, nowNanos(call), failed.reason, { ...scheduled, resend: call.sent })
      call.observer?.retryScheduled?.(call, {
        reason: failed.reason,
        delayMillis: Duration.toMillis(scheduled.delay),
        resend: call.sent,
        ...(scheduled.isFresh ? { isFresh: true } : {})
      })
      return failed._tag === "Responded"
        ? discard(failed.response, policy.limits.drainBytes, policy.limits.drainTime)
        : Effect.void
    },
    onGiveUp: (failed, { outcome, stopped }): Effect.Effect<HttpClientResponse.HttpClientResponse, E | CallError> => {
      if (failed._tag !== "Foreign") {
        attempted(call, failed, outcome)
        // what this side did not send is not why the call failed; the response that said why is read and gone
        const { failedBefore } = call
        if (failed.reason === call.limited && failedBefore !== undefined) {
          SpanEvents.giveUp(call.span, nowNanos(call), failedBefore, "rate-limit")
          return Effect.fail(callErrorOf(call, failedBefore, "rate-limit"))
        }
        SpanEvents.giveUp(call.span, nowNanos(call), failed.reason, stopped)
      }
      switch (failed._tag) {
        case "Responded":
          if (call.options.failOnStatus !== true) {
            call.gaveUp = () => callErrorOf(call, failed.reason, stopped)
            return Effect.succeed(failed.response)
          }
          return Effect.andThen(
            discard(failed.response, policy.limits.drainBytes, withinDeadline(call, policy.limits.drainTime)),
            Effect.fail(callErrorOf(call, failed.reason, stopped))
          )
        case "Foreign":
          return Effect.fail(failed.error)
        case "Broken":
          return Effect.fail(callErrorOf(call, failed.reason, stopped))
      }
    }
  })
}

/** Remembers what an attempt that was sent came to. */
const attempted = <E>(call: Call, failed: Exclude<Failed<E>, { _tag: "Foreign" }>, outcome: Outcome.Failure): void => {
  const below = failed._tag === "Broken" ? failed.below : undefined
  if (below !== undefined) call.made = withAttempt(call.made, below.previous, below.applied)
  if (!isUnsent(failed.reason, call.refused)) call.made = withAttempt(call.made, failed.reason, outcome.applied)
}

/** An attempt that waits for a turn of its own in the rate limit. */
const paid = <A, E, R>(call: Call, attempt: Effect.Effect<A, Failed<E>, R>): Effect.Effect<A, Failed<E>, R> =>
  call.rateLimit === undefined
    ? attempt
    : inTurn(
        call.rateLimit,
        call.fiber.getRef(Clock.Clock),
        call.deadline,
        attempt,
        (reason): Failed<E> => {
          call.limited = reason
          refused(call, reason)
          return { _tag: "Broken", reason }
        },
        (stage, millis) => waited(call, stage, millis)
      )

/** What is left of a time, for what is done after the last attempt. */
const withinDeadline = (call: Call, time: Duration.Duration): Duration.Duration =>
  call.deadline === undefined
    ? time
    : Duration.min(time, Duration.millis(Math.max(0, call.deadline.atMillis - nowMillis(call))))

const callErrorOf = (call: Call, reason: Reason.Reason, stopped: RetryStopped): CallError =>
  stackless(
    () =>
      new CallError({
        upstream: call.upstream,
        operation: call.operation,
        requestId: call.requestId,
        attempts: call.sent,
        elapsed: Duration.millis(Deadline.nowMillisUnsafe(call.fiber.getRef(Clock.Clock)) - call.startMillis),
        retryStopped: stopped,
        reason,
        ...toldOf(call.made, reason, call.refused)
      })
  )

const attempt = <E, R>(
  call: Call,
  send: Effect.Effect<HttpClientResponse.HttpClientResponse, E, R>
): Effect.Effect<HttpClientResponse.HttpClientResponse, Failed<E>, R> => {
  const { endpoint, policy } = call
  const exchange = (watched: WatchedAttempt | undefined) =>
    send.pipe(
      Effect.mapError((error) => failedOf(call, error, "wait")),
      Effect.flatMap((response): Effect.Effect<HttpClientResponse.HttpClientResponse, Failed<E>> => {
        watched?.answered(response.status)
        pace(call.rateLimit, call.fiber.getRef(Clock.Clock), response.status, response.headers)
        if (response.status < 400) return buffered(call, response, watched)
        const now = call.fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
        const unread = { status: response.status, headers: response.headers, body: noBytes, bodyComplete: false }
        return Effect.fail({ _tag: "Responded", reason: statusReason(endpoint, unread, now), response })
      })
    )
  const learned = policy.learnsTimeout ? call.stages.adaptiveTimeout : undefined
  const timed = (startMillis: number) => {
    const resend = call.sent++
    const watched =
      call.observer === undefined
        ? undefined
        : new WatchedAttempt(resend, false, startMillis, call.fiber.getRef(Clock.Clock))
    const once = exchange(watched)
    const counted = resend === 0 ? once : Effect.annotateSpans(once, "http.request.resend_count", resend)
    const clock = call.fiber.getRef(Clock.Clock)
    const limitMillis =
      learned?.limitMillis(startMillis) ??
      (policy.attemptTimeout === undefined ? Infinity : Duration.toMillis(policy.attemptTimeout))
    const bounded = Effect.mapError(
      AttemptTimeout.bounded(counted, limitMillis, call.deadline, startMillis, call.stages.fairShare.millis()),
      (failed): Failed<E> => (isTimeReason(failed) ? { _tag: "Broken", reason: failed } : failed)
    )
    const within =
      call.observer === undefined || watched === undefined
        ? bounded
        : heardAttempt(call.observer, call, watched, hearing(call), bounded)
    if (learned === undefined) return within
    return Effect.onExitPrimitive(within, (exit) => {
      const nowMillis = Deadline.nowMillisUnsafe(clock)
      learned.settle(nowMillis, limitMillis, nowMillis - startMillis, outcomeOf(call, exit))
      return undefined
    })
  }
  return Effect.mapError(
    guarded(
      {
        stages: call.stages,
        fiber: call.fiber,
        deadline: call.deadline,
        send: timed,
        outcomeOf: (exit: Exit.Exit<HttpClientResponse.HttpClientResponse, Failed<E> | Refusal>) =>
          outcomeOf(call, exit),
        onWaited: (stage, millis) => waited(call, stage, millis),
        onRefused: (reason) => refused(call, reason),
        onCircuit: (state) => SpanEvents.circuit(call.span, nowNanos(call), state)
      },
      0
    ),
    (failed): Failed<E> => (isRefusal(failed) ? { _tag: "Broken", reason: failed } : failed)
  )
}

/** What is asked at the end of an attempt that somebody hears of. */
const hearing = (call: Call): Hearing<Failed<unknown>> => ({
  nowMillis: () => nowMillis(call),
  reasonOf: (failed) => (failed._tag === "Foreign" ? undefined : failed.reason),
  requestBytes: () => (call.request.body._tag === "Empty" ? 0 : call.request.body.contentLength)
})

const isRefusal = <E>(failed: Failed<E> | Refusal): failed is Refusal =>
  failed._tag !== "Broken" && failed._tag !== "Foreign" && failed._tag !== "Responded"

const judge = <E>(call: Call, failed: Failed<E>): Outcome.Failure => {
  if (failed._tag === "Foreign") return foreign
  const { isFresh, options, policy, upstream } = call
  const by = { upstream, classify: options.classify, refusals: policy.retry?.refusals, isFresh }
  const outcome = judged(failed.reason, by)
  return failed._tag === "Broken" && failed.below?.applied === "maybe" ? { ...outcome, applied: "maybe" } : outcome
}

/** What every stage is told of an attempt. */
const outcomeOf = <A, E>(call: Call, exit: Exit.Exit<A, Failed<E> | Refusal>): Outcome.Outcome => {
  if (Exit.isSuccess(exit)) return Outcome.success
  if (Cause.hasInterrupts(exit.cause)) return Outcome.ignored
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  if (failure === undefined) return Outcome.ignored
  const failed: Failed<E> = isRefusal(failure.error) ? { _tag: "Broken", reason: failure.error } : failure.error
  return failed._tag === "Broken" && isCallersAffair(failed.reason) ? Outcome.ignored : judge(call, failed)
}

const noBytes = new Uint8Array(0)

const isTimeReason = <E>(
  failed: Failed<E> | Reason.AttemptTimeout | Reason.DeadlineExceeded
): failed is Reason.AttemptTimeout | Reason.DeadlineExceeded =>
  failed._tag === "AttemptTimeout" || failed._tag === "DeadlineExceeded"

/**
 * What an error of the client stands for. Only what the wire did is judged here; a request that can't be built or a body that
 * can't be decoded is the program's own affair.
 */
const failedOf = <E>(call: Call, error: E, phase: Reason.Phase): Failed<E> => {
  if (!HttpClientError.isHttpClientError(error)) return { _tag: "Foreign", error }
  const inner = callError(error)
  if (Option.isSome(inner)) return { _tag: "Broken", reason: inner.value.reason, below: inner.value }
  const kind = error.reason._tag
  if (kind !== "TransportError" && !(kind === "DecodeError" && phase === "receive")) return { _tag: "Foreign", error }
  const reason = stackless(() => FailureClassifier.classify(error, { endpoint: call.endpoint, phase }))
  const callers = callersStreams.get(call.request.body)
  return { _tag: "Broken", reason: callers === undefined ? blamed(reason) : callers.blamed(reason) }
}

/** A response whose body is in memory, when it is short enough by its own account. */
const buffered = <E>(
  call: Call,
  response: HttpClientResponse.HttpClientResponse,
  watched: WatchedAttempt | undefined
): Effect.Effect<HttpClientResponse.HttpClientResponse, Failed<E>> => {
  const bound = call.options.bufferBytes ?? defaults.bufferBytes
  const announced = Number(response.headers["content-length"] ?? "NaN")
  // a 205 has no body either, and what came with it all the same is left to the caller
  const hasBody = call.request.method !== "HEAD" && ![204, 205, 304].includes(response.status)
  if (!(hasBody && announced <= bound && announced > 0)) return Effect.succeed(response)
  return Effect.matchEffect(readBounded(response, Infinity, Infinity), {
    // only the client's own errors come out of its stream
    onFailure: (error) => Effect.fail(failedOf(call, error, "receive") as Failed<E>),
    onSuccess: ({ bytes }) => {
      watched?.answered(response.status, bytes.length)
      return Effect.succeed(
        HttpClientResponse.fromWeb(
          response.request,
          new Response(bytes, { status: response.status, headers: webHeaders(response) })
        )
      )
    }
  })
}

/** The headers of a response with each of its cookies, of which a client's headers have one at most, or all in one. */
const webHeaders = ({ cookies, headers }: HttpClientResponse.HttpClientResponse): Headers => {
  const all = new Headers(headers)
  all.delete("set-cookie")
  for (const cookie of Cookies.toSetCookieHeaders(cookies)) all.append("set-cookie", cookie)
  return all
}

const isReplayable = (body: HttpClientRequest["body"]): boolean =>
  body._tag !== "Raw" || typeof body.body === "string" || body.body instanceof Uint8Array

/**
 * The call error inside an `HttpClientError` that a resilient client failed with.
 *
 * @category getters
 * @since 0.1.0
 */
export const callError = (error: HttpClientError.HttpClientError): Option.Option<CallError> => {
  const cause = "cause" in error.reason ? error.reason.cause : undefined
  return cause instanceof CallError ? Option.some(cause) : Option.none()
}

/**
 * Puts a policy on a client whose error type may not change: a call error is carried as the cause of a `TransportError`, and
 * {@link callError} gets it back. For `HttpApiClient.make(api, { transformClient: ResilientClient.transformClient() })`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const transformClient = (options: Options = {}): ((self: HttpClient.HttpClient) => HttpClient.HttpClient) =>
  asHttpClient(withPolicy(options))

/** A call error carried as the cause of an error that a client may have. */
const asHttpClient =
  (resilient: ReturnType<typeof withPolicy>) =>
  (self: HttpClient.HttpClient): HttpClient.HttpClient =>
    HttpClient.transform(resilient(self), (send, request) =>
      Effect.mapError(send, (error) =>
        error instanceof CallError
          ? new HttpClientError.HttpClientError({
              reason: new HttpClientError.TransportError({ request, cause: error, description: error.message })
            })
          : error
      )
    ) as HttpClient.HttpClient

/**
 * A policy over the `HttpClient` in the context. Provide it between the program and its client.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { ResilientClient } from "holdfast"
 *
 * // a program that knows nothing of Holdfast
 * const program = Effect.gen(function*() {
 *   const response = yield* HttpClient.get("https://stock.internal/items")
 *   console.log(response.status, yield* response.text)
 * })
 *
 * let requests = 0
 * const flaky = HttpClient.make((request) =>
 *   Effect.sync(() =>
 *     ++requests === 1
 *       ? HttpClientResponse.fromWeb(request, new Response("busy", { status: 503 }))
 *       : HttpClientResponse.fromWeb(request, new Response("3 left"))
 *   )
 * )
 *
 * const client = ResilientClient.layer({ name: "stock" }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, flaky)))
 * await Effect.runPromise(program.pipe(Effect.provide(client)))
 * // => 200 3 left
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient> => {
  const policy = policyOf(options)
  return Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function* () {
      const observer = combined(yield* CallObserver.all)
      return asHttpClient(policy(() => observer))(yield* HttpClient.HttpClient)
    })
  )
}
