import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type * as Tracer from "effect/Tracer"
import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import { CallError, type RetryStopped } from "@holdfast/core/CallError"
import * as Deadline from "@holdfast/core/Deadline"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as Outcome from "@holdfast/core/Outcome"
import * as Reason from "@holdfast/core/Reason"
import * as Retry from "@holdfast/core/Retry"
import { stackless } from "@holdfast/core/Stackless"
import { callPolicy, CurrentOverrides } from "../HttpPolicy.ts"
import * as RateLimitFields from "../RateLimitFields.ts"
import * as RetryAfter from "../RetryAfter.ts"
import type * as Transport from "../Transport.ts"
import { answer } from "./answer.ts"
import { type Encoded, encodeRequest, type Given, requestIdOf } from "./encodeRequest.ts"
import { isIssue, type Issue } from "./pathTemplate.ts"
import { mayRepeat } from "./replay.ts"
import { randomHex } from "./requestId.ts"
import type { Live } from "./live.ts"
import type { Runtime } from "./runtime.ts"
import * as Spans from "./spans.ts"
import type { EndpointStages } from "./stages.ts"
import { guarded } from "./guard.ts"
import { inTurn } from "./inTurn.ts"
import type { CallPolicy } from "./policyModel.ts"

/** One call, through its stages: request → call stage → attempts → outcome → answer. */
export const call = (
  runtime: Runtime,
  method: string,
  template: string,
  given: Given
): Effect.Effect<unknown, CallError, unknown> =>
  Effect.withFiber((fiber) => {
    const nowMillis = Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock))
    const operation = `${method} ${template}`
    const live = runtime.live
    const policy = callPolicy(live.policy, operation, fiber.getRef(CurrentOverrides))
    const context: CallContext = {
      runtime,
      live,
      policy,
      fiber,
      startMillis: nowMillis,
      method,
      template,
      operation,
      requestId: requestIdOf(runtime, given) ?? randomHex(fiber),
      deadline: Deadline.tighten(
        fiber.getRef(Deadline.Current),
        nowMillis,
        policy.deadline === undefined ? undefined : Duration.toMillis(policy.deadline)
      ),
      stages: live.endpoint,
      sent: 0,
      judged: undefined
    }
    if (!Spans.isTracing(fiber)) return encodeThenRun(context, given, undefined)
    return Spans.withCallSpan(
      { upstream: runtime.name, operation: context.operation, requestId: context.requestId },
      (span) => encodeThenRun(context, given, span)
    )
  })

interface CallContext {
  readonly runtime: Runtime
  readonly live: Live
  readonly policy: CallPolicy
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly startMillis: number
  readonly method: string
  readonly template: string
  readonly operation: string
  readonly requestId: string
  readonly deadline: Deadline.Deadline | undefined
  readonly stages: EndpointStages
  /** Attempts that were sent: first ones, retries and hedges. */
  sent: number
  /** The last judgement: every stage asks, and a reason is judged once. */
  judged: { readonly reason: Reason.Reason; readonly outcome: Outcome.Failure } | undefined
}

const failed = (context: CallContext, reason: Reason.Reason, stopped: RetryStopped): CallError =>
  stackless(
    () =>
      new CallError({
        upstream: context.runtime.name,
        operation: context.operation,
        requestId: context.requestId,
        attempts: context.sent,
        elapsed: Duration.millis(Deadline.nowMillisUnsafe(context.fiber.getRef(Clock.Clock)) - context.startMillis),
        retryStopped: stopped,
        reason
      })
  )

const encodeThenRun = (
  context: CallContext,
  given: Given,
  span: Tracer.Span | undefined
): Effect.Effect<unknown, CallError, unknown> => {
  const request = encodeRequest(context, given)
  if (Effect.isEffect(request)) {
    return Effect.matchEffect(request, {
      onFailure: (issue) => notEncoded(context, issue),
      onSuccess: (request) => throughCallStages(context, given, request, span)
    })
  }
  return isIssue(request) ? notEncoded(context, request) : throughCallStages(context, given, request, span)
}

const notEncoded = (context: CallContext, issue: Issue): Effect.Effect<never, CallError> => {
  const reason = stackless(() => new Reason.RequestEncodeFailed(issue))
  return Effect.fail(failed(context, reason, "not-retryable"))
}

const throughCallStages = (
  context: CallContext,
  given: Given,
  request: Encoded,
  span: Tracer.Span | undefined
): Effect.Effect<unknown, CallError, unknown> =>
  shared(context, given, request, rateLimited(context, loop(context, given, request, span)))

// ---------------------------------------------------------------------------------------------------------------------
// the call stage
// ---------------------------------------------------------------------------------------------------------------------

/** Joins an equal read that is under way, where the policy says so. */
const shared = (
  context: CallContext,
  given: Given,
  request: Encoded,
  run: Effect.Effect<unknown, CallError, unknown>
): Effect.Effect<unknown, CallError, unknown> => {
  const flights = context.live.stages.singleFlight
  if (flights === undefined || !context.policy.singleFlight) return run
  if ((context.method !== "GET" && context.method !== "HEAD") || request.body.body !== undefined) return run
  return Effect.mapError(flights.run(flightKey(context, given, request), run), (error) =>
    error instanceof CallError
      ? error
      : failed(context, error, error._tag === "DeadlineExceeded" ? "deadline" : "attempts")
  )
}

/** What makes two reads equal: where they go, what they ask with, and what is made of the answer. */
const flightKey = (context: CallContext, given: Given, request: Encoded): string => {
  const headers = Object.entries(request.headers)
    .filter(([name]) => name !== "x-request-id")
    .map(([name, value]) => `${name}: ${value}`)
    .toSorted()
  const asked = [schemaNumber(given.decode), ...(given.expectedStatus ?? []), given.rejections?.length ?? 0]
  return JSON.stringify([context.method, request.path, headers, asked])
}

const schemaNumbers = new WeakMap<object, number>()
let schemas = 0

/** A number for each schema: schemas have no name that tells them apart. */
const schemaNumber = (schema: object | undefined): number => {
  if (schema === undefined) return 0
  const known = schemaNumbers.get(schema)
  if (known !== undefined) return known
  schemas++
  schemaNumbers.set(schema, schemas)
  return schemas
}

/** Waits for the call's turn in the rate limit, within the deadline. */
const rateLimited = (
  context: CallContext,
  run: Effect.Effect<unknown, CallError, unknown>
): Effect.Effect<unknown, CallError, unknown> => {
  const limit = context.live.stages.rateLimit
  if (limit === undefined) return run
  return inTurn(limit, context.fiber.getRef(Clock.Clock), context.deadline, run, (refused) =>
    failed(context, refused, "attempts")
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// the attempts
// ---------------------------------------------------------------------------------------------------------------------

const once: Retry.Retry = Retry.make({ maxAttempts: 1 })

const loop = (
  context: CallContext,
  given: Given,
  request: Encoded,
  span: Tracer.Span | undefined
): Effect.Effect<unknown, CallError, unknown> => {
  const retry = context.policy.retry
  const traced = span !== undefined
  const hedge = context.policy.hedge && request.repeatable ? context.stages.hedge : undefined
  return Retry.run({
    retry: retry?.loop ?? once,
    budget: context.live.stages.budget,
    startMillis: context.startMillis,
    deadline: context.deadline,
    attempt:
      hedge === undefined
        ? () => attempt(context, given, request, traced)
        : () =>
            hedge.run(() => attempt(context, given, request, traced), {
              repeatable: request.body.replayable,
              classify: (exit) => outcomeOf(context, exit),
              deadline: context.deadline
            }),
    classify: (reason: Reason.Reason) => classify(context, reason),
    replayable: (outcome) =>
      mayRepeat(request.repeatable, retry?.nonIdempotent ?? "never", outcome) && request.body.replayable(),
    onRetry: (reason, scheduled) =>
      Effect.sync(() => {
        span?.event("holdfast.retry", Spans.nowNanos(context.fiber), {
          "holdfast.retry.attempt": context.sent,
          "holdfast.retry.delay": Duration.toSeconds(scheduled.delay),
          "error.type": ErrorCatalog.of(reason).code
        })
      }),
    onGiveUp: (reason, { stopped }) => Effect.fail(failed(context, reason, stopped))
  })
}

const classify = (context: CallContext, reason: Reason.Reason): Outcome.Failure => {
  if (context.judged?.reason === reason) return context.judged.outcome
  const usual = Outcome.fromReason(reason)
  const own = context.runtime.classify
  const outcome = own === undefined ? usual : own(reason, usual)
  context.judged = { reason, outcome }
  return outcome
}

/** What every stage is told of an attempt. An interruption says nothing of the upstream; a defect is a bug on this side. */
const outcomeOf = (context: CallContext, exit: Exit.Exit<unknown, Reason.Reason>): Outcome.Outcome => {
  if (Exit.isSuccess(exit)) return Outcome.success
  if (Cause.hasInterrupts(exit.cause)) return Outcome.ignored
  const failure = exit.cause.reasons.find(Cause.isFailReason)
  return failure === undefined ? Outcome.ignored : classify(context, failure.error)
}

// ---------------------------------------------------------------------------------------------------------------------
// one attempt
// ---------------------------------------------------------------------------------------------------------------------

const attempt = (
  context: CallContext,
  given: Given,
  request: Encoded,
  traced: boolean
): Effect.Effect<unknown, Reason.Reason, unknown> =>
  guarded(
    context.stages,
    context.fiber,
    context.deadline,
    (nowMillis) => sendTimed(context, given, request, context.sent++, traced, nowMillis),
    (exit) => outcomeOf(context, exit)
  )

const sendTimed = (
  context: CallContext,
  given: Given,
  request: Encoded,
  resend: number,
  traced: boolean,
  nowMillis: number
): Effect.Effect<unknown, Reason.Reason, unknown> => {
  const { live, policy, runtime, stages } = context
  const learned = policy.learnsTimeout ? stages.adaptiveTimeout : undefined
  const limitMillis =
    learned?.limitMillis(nowMillis) ??
    (policy.attemptTimeout === undefined ? Infinity : Duration.toMillis(policy.attemptTimeout))
  const timeHeader = live.policy.deadlineHeader
  const timed =
    timeHeader === undefined
      ? request.headers
      : withTimeLeft(request.headers, timeHeader, limitMillis, context.deadline, nowMillis)
  const bounded = (effect: Effect.Effect<unknown, Reason.Reason, unknown>) => {
    const within = AttemptTimeout.bounded(effect, limitMillis, context.deadline, nowMillis)
    return learned === undefined ? within : learning(context, learned, limitMillis, nowMillis, within)
  }
  if (!traced) return bounded(exchange(context, given, request, resend, timed))
  return Spans.withAttemptSpan(
    {
      method: context.method,
      template: context.template,
      origin: runtime.origin,
      shownPath: request.shownPath,
      resend
    },
    (span) => {
      const headers = runtime.propagateTrace ? { ...timed, traceparent: Spans.traceparent(span) } : timed
      return bounded(
        exchange(context, given, request, resend, headers, (status) => {
          span.attribute("http.response.status_code", status)
        })
      )
    }
  )
}

/** Tells the learned limit what became of the attempt. */
const learning = <A, R>(
  context: CallContext,
  learned: AttemptTimeout.Adaptive,
  limitMillis: number,
  startMillis: number,
  effect: Effect.Effect<A, Reason.Reason, R>
): Effect.Effect<A, Reason.Reason, R> =>
  Effect.onExitPrimitive(effect, (exit) => {
    const nowMillis = Deadline.nowMillisUnsafe(context.fiber.getRef(Clock.Clock))
    learned.settle(nowMillis, limitMillis, nowMillis - startMillis, outcomeOf(context, exit))
    return undefined
  })

/** The milliseconds that the upstream has: relative, because clocks differ, and of this attempt, because each has its own. */
const withTimeLeft = (
  headers: { readonly [name: string]: string },
  name: string,
  limitMillis: number,
  deadline: Deadline.Deadline | undefined,
  nowMillis: number
): { readonly [name: string]: string } => {
  const left = Math.min(limitMillis, deadline === undefined ? Infinity : deadline.atMillis - nowMillis)
  return Number.isFinite(left) ? { ...headers, [name]: String(Math.max(0, Math.floor(left))) } : headers
}

/** Sends, reads within bounds, and makes of the response what the caller asked for. */
const exchange = (
  context: CallContext,
  given: Given,
  request: Encoded,
  resend: number,
  headers: { readonly [name: string]: string },
  onStatus?: (status: number) => void
): Effect.Effect<unknown, Reason.Reason, unknown> => {
  const { runtime } = context
  const expectedStatus = given.expectedStatus ?? []
  return Effect.flatMap(
    runtime.transport.send({
      upstream: runtime.name,
      operation: context.operation,
      resend,
      method: context.method,
      origin: runtime.origin,
      path: request.path,
      headers,
      body: request.body.body,
      expectedStatus,
      limits: context.policy.limits
    }),
    (response) => {
      onStatus?.(response.status)
      pace(context, response)
      return answer(runtime, context.fiber, given, expectedStatus, response)
    }
  )
}

/** What the server says of its own limit slows this side down before it is told to. */
const pace = (context: CallContext, response: Transport.Response): void => {
  const limit = context.live.stages.rateLimit
  if (limit === undefined) return
  const clock = context.fiber.getRef(Clock.Clock)
  const epochMillis = clock.currentTimeMillisUnsafe()
  const asked = response.status === 429 ? RetryAfter.fromHeaders(response.headers, epochMillis) : undefined
  const hint =
    RateLimitFields.fromHeaders(response.headers, epochMillis) ??
    (asked === undefined ? undefined : { remaining: 0, resetAfter: asked })
  if (hint !== undefined) limit.adjustUnsafe(Deadline.nowMillisUnsafe(clock), hint)
}
