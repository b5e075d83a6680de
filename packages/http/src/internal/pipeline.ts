import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
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
import * as Redaction from "../Redaction.ts"
import type { Rejection } from "../Rejection.ts"
import type { Answer, ParamsOf, RequestOptions } from "../Request.ts"
import * as RetryAfter from "../RetryAfter.ts"
import type * as Transport from "../Transport.ts"
import { fillPath, isIssue, type Issue, queryString } from "./pathTemplate.ts"
import { isIdempotent, mayRepeat } from "./replay.ts"
import { makeBody, type RequestBody } from "./requestBody.ts"
import { randomHex } from "./requestId.ts"
import { bodyIssue } from "./schemaIssue.ts"
import type { Live } from "./live.ts"
import type { Runtime } from "./runtime.ts"
import * as Spans from "./spans.ts"
import type { EndpointStages } from "./stages.ts"
import { guarded } from "./guard.ts"
import { inTurn } from "./inTurn.ts"
import type { CallPolicy } from "./policyModel.ts"
import { bodyJson, bodyText, statusReason } from "./statusReason.ts"

/** A request as the helpers pass it on, its types forgotten. */
export type Given = RequestOptions &
  ParamsOf<string> & { readonly decode?: Schema.ConstraintDecoder<unknown, unknown> | undefined }

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

/** The identifier that the caller gave: its own header wins over a new one, so that one id goes through a chain of services. */
const requestIdOf = (runtime: Runtime, given: Given): string | undefined => {
  for (const [name, value] of Object.entries(given.headers ?? {})) {
    if (name.toLowerCase() === "x-request-id" && typeof value === "string") return value
  }
  return runtime.headers["x-request-id"]
}

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
): Effect.Effect<unknown, CallError, unknown> =>
  Effect.matchEffect(encode(context, given), {
    onFailure: (issue) =>
      Effect.fail(
        failed(
          context,
          stackless(() => new Reason.RequestEncodeFailed(issue)),
          "not-retryable"
        )
      ),
    onSuccess: (request) => shared(context, given, request, rateLimited(context, loop(context, given, request, span)))
  })

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
// the request, made once a call
// ---------------------------------------------------------------------------------------------------------------------

interface Encoded {
  readonly path: string
  /** The path as spans show it. */
  readonly shownPath: string
  readonly headers: Record<string, string>
  readonly body: RequestBody
  /** Whether the server applies the request at most once, however often it comes. */
  readonly repeatable: boolean
}

const encode = (context: CallContext, given: Given): Effect.Effect<Encoded, Issue> => {
  const { runtime, template } = context
  const path = fillPath(template, given.params, false)
  if (isIssue(path)) return Effect.fail(path)
  if (!template.startsWith("/")) {
    return Effect.fail({ path: "path", issue: `a path begins with a slash, got ${JSON.stringify(template)}` })
  }
  const headers = { ...runtime.headers }
  for (const [name, value] of Object.entries(given.headers ?? {})) {
    if (value !== undefined) headers[name.toLowerCase()] = Redacted.isRedacted(value) ? Redacted.value(value) : value
  }
  headers["x-request-id"] ??= context.requestId
  if (given.decode !== undefined) headers["accept"] ??= "application/json"
  if (given.idempotencyKey !== undefined) {
    const key =
      given.idempotencyKey === true ? `${randomHex(context.fiber)}${randomHex(context.fiber)}` : given.idempotencyKey
    if (!/^[\x20-\x7e]+$/.test(key)) {
      return Effect.fail({ path: "idempotencyKey", issue: "must be printable ASCII, and not empty" })
    }
    // a structured-field string (RFC 9651 §3.3.3), as draft-ietf-httpapi-idempotency-key-header asks for
    headers["idempotency-key"] = `"${key.replace(/["\\]/g, "\\$&")}"`
  }
  const wrong = wrongHeader(headers)
  if (wrong !== undefined) return Effect.fail(wrong)
  const query = queryString(given.query, false)
  if (isIssue(query)) return Effect.fail(query)
  return Effect.map(makeBody(given), (body): Encoded => {
    if (body.contentType !== undefined) headers["content-type"] ??= body.contentType
    return {
      path: `${runtime.basePath}${path}${query}`,
      shownPath:
        context.fiber.cache.tracer === undefined
          ? ""
          : `${runtime.basePath}${String(fillPath(template, given.params, true))}` +
            Redaction.path(String(queryString(given.query, true)), runtime.visibleQuery),
      headers,
      body,
      repeatable: isIdempotent(context.method) || headers["idempotency-key"] !== undefined
    }
  })
}

/** RFC 9110 §5.1 and §5.5. The value is not repeated: it may be the secret that holds the stray line break. */
const wrongHeader = (headers: { readonly [name: string]: string }): Issue | undefined => {
  for (const name of Object.keys(headers)) {
    if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(name)) {
      return { path: "headers", issue: `${JSON.stringify(name)} is not a header name` }
    }
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(headers[name] ?? "")) {
      return { path: `headers.${name}`, issue: "the value has a character that a header may not have" }
    }
  }
  return undefined
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
    context.deadline,
    Effect.suspend(() => sendTimed(context, given, request, context.sent++, traced)),
    (exit) => outcomeOf(context, exit)
  )

const sendTimed = (
  context: CallContext,
  given: Given,
  request: Encoded,
  resend: number,
  traced: boolean
): Effect.Effect<unknown, Reason.Reason, unknown> => {
  const { live, policy, runtime, stages } = context
  const nowMillis = Deadline.nowMillisUnsafe(context.fiber.getRef(Clock.Clock))
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
    const within = AttemptTimeout.bounded(effect, limitMillis, context.deadline)
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
      return answer(context, given, expectedStatus, response)
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

// ---------------------------------------------------------------------------------------------------------------------
// the response
// ---------------------------------------------------------------------------------------------------------------------

const answer = (
  context: CallContext,
  given: Given,
  expectedStatus: ReadonlyArray<number>,
  response: Transport.Response
): Effect.Effect<unknown, Reason.Reason, unknown> => {
  const { runtime } = context
  const rejections = given.rejections === undefined ? runtime.rejections : [...given.rejections, ...runtime.rejections]
  if (rejections.length > 0) {
    const rejected = rejection(rejections, response)
    if (rejected !== undefined) return Effect.fail(rejected)
  }
  const status = response.status
  if ((status < 200 || status >= 300) && status !== 304 && !expectedStatus.includes(status)) {
    const now = context.fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    return Effect.fail(statusReason(runtime.endpoint, response, now))
  }
  if (given.decode === undefined) return Effect.succeed(new WholeAnswer(response))
  return decode(runtime.endpoint, given.decode, response)
}

/** A class, because an object with a getter of its own costs more than the rest of the answer. */
class WholeAnswer implements Answer {
  readonly status: number
  readonly headers: Answer["headers"]
  readonly bytes: Uint8Array
  constructor(response: Transport.Response) {
    this.status = response.status
    this.headers = response.headers
    this.bytes = response.body
  }
  get text(): string {
    return bodyText(this.bytes)
  }
}

/** The first declared business error that the body is. A body that is not JSON is none. */
const rejection = (
  rejections: ReadonlyArray<Rejection<unknown>>,
  response: Transport.Response
): Reason.BusinessRejected | undefined => {
  const body = bodyJson(bodyText(response.body))
  if (Option.isNone(body)) return undefined
  for (const { entry, schema } of rejections) {
    const error = Schema.decodeUnknownOption(schema)(body.value)
    if (Option.isNone(error)) continue
    return stackless(() => new Reason.BusinessRejected({ entry, status: response.status, error: error.value }))
  }
  return undefined
}

/** How much of a body that does not decode an error repeats. */
const excerptLength = 500

const decode = (
  endpoint: string,
  schema: Schema.ConstraintDecoder<unknown, unknown>,
  response: Transport.Response
): Effect.Effect<unknown, Reason.ResponseDecodeFailed, unknown> => {
  const text = bodyText(response.body)
  const contentType = response.headers["content-type"]
  const undecodable = (issue: Issue): Reason.ResponseDecodeFailed =>
    stackless(
      () =>
        new Reason.ResponseDecodeFailed({
          endpoint,
          status: response.status,
          ...(contentType === undefined ? {} : { contentType }),
          ...issue,
          excerpt: text.slice(0, excerptLength)
        })
    )
  // no body at all is `undefined`, so that `Schema.Void` decodes a 204
  const body = text === "" ? Option.some(undefined) : bodyJson(text)
  if (Option.isNone(body)) {
    return Effect.fail(undecodable({ path: "", issue: `not JSON (content type ${contentType ?? "not given"})` }))
  }
  return Effect.mapError(Schema.decodeUnknownEffect(schema)(body.value), (error) => undecodable(bodyIssue("", error)))
}
