import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
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
import * as Redaction from "../Redaction.ts"
import type { Rejection } from "../Rejection.ts"
import type { Answer, ParamsOf, RequestOptions } from "../Request.ts"
import type * as Transport from "../Transport.ts"
import { fillPath, isIssue, type Issue, queryString } from "./pathTemplate.ts"
import { isIdempotent, mayRepeat } from "./replay.ts"
import { makeBody, type RequestBody } from "./requestBody.ts"
import { randomHex } from "./requestId.ts"
import { bodyIssue } from "./schemaIssue.ts"
import type { Runtime } from "./runtime.ts"
import * as Spans from "./spans.ts"
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
    const startMillis = Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock))
    const context: CallContext = {
      runtime,
      fiber,
      startMillis,
      method,
      template,
      operation: `${method} ${template}`,
      requestId: requestIdOf(runtime, given) ?? randomHex(fiber),
      deadline: Deadline.tighten(
        fiber.getRef(Deadline.Current),
        startMillis,
        runtime.policy.deadline === undefined ? undefined : Duration.toMillis(runtime.policy.deadline)
      )
    }
    if (!Spans.isTracing(fiber)) return encodeThenLoop(context, given, undefined)
    return Spans.withCallSpan(
      { upstream: runtime.name, operation: context.operation, requestId: context.requestId },
      (span) => encodeThenLoop(context, given, span)
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
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly startMillis: number
  readonly method: string
  readonly template: string
  readonly operation: string
  readonly requestId: string
  readonly deadline: Deadline.Deadline | undefined
}

const failed = (context: CallContext, reason: Reason.Reason, attempts: number, stopped: RetryStopped): CallError =>
  stackless(
    () =>
      new CallError({
        upstream: context.runtime.name,
        operation: context.operation,
        requestId: context.requestId,
        attempts,
        elapsed: Duration.millis(Deadline.nowMillisUnsafe(context.fiber.getRef(Clock.Clock)) - context.startMillis),
        retryStopped: stopped,
        reason
      })
  )

const encodeThenLoop = (
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
          0,
          "not-retryable"
        )
      ),
    onSuccess: (request) => loop(context, given, request, span)
  })

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
  const { runtime } = context
  const retry = runtime.policy.retry
  return Retry.run({
    retry: retry?.loop ?? once,
    budget: runtime.budget,
    deadline: context.deadline,
    attempt: (resend) => attempt(context, given, request, resend, span !== undefined),
    classify: (reason: Reason.Reason) => {
      const usual = Outcome.fromReason(reason)
      return runtime.classify === undefined ? usual : runtime.classify(reason, usual)
    },
    replayable: (outcome) =>
      mayRepeat(request.repeatable, retry?.nonIdempotent ?? "never", outcome) && request.body.replayable(),
    onRetry: (reason, scheduled) =>
      Effect.sync(() => {
        span?.event("holdfast.retry", Spans.nowNanos(context.fiber), {
          "holdfast.retry.attempt": scheduled.attempts,
          "holdfast.retry.delay": Duration.toSeconds(scheduled.delay),
          "error.type": ErrorCatalog.of(reason).code
        })
      }),
    onGiveUp: (reason, { attempts, stopped }) => Effect.fail(failed(context, reason, attempts, stopped))
  })
}

const attempt = (
  context: CallContext,
  given: Given,
  request: Encoded,
  resend: number,
  traced: boolean
): Effect.Effect<unknown, Reason.Reason, unknown> => {
  const { runtime } = context
  if (!traced) return bounded(context, exchange(context, given, request, resend, request.headers))
  return Spans.withAttemptSpan(
    {
      method: context.method,
      template: context.template,
      origin: runtime.origin,
      shownPath: request.shownPath,
      resend
    },
    (span) => {
      const headers = runtime.propagateTrace
        ? { ...request.headers, traceparent: Spans.traceparent(span) }
        : request.headers
      return bounded(
        context,
        exchange(context, given, request, resend, headers, (status) => {
          span.attribute("http.response.status_code", status)
        })
      )
    }
  )
}

const bounded = <A, R>(
  context: CallContext,
  effect: Effect.Effect<A, Reason.Reason, R>
): Effect.Effect<A, Reason.Reason, R> =>
  AttemptTimeout.bounded(
    effect,
    context.runtime.policy.attemptTimeout === undefined
      ? Infinity
      : Duration.toMillis(context.runtime.policy.attemptTimeout),
    context.deadline
  )

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
      limits: runtime.policy.limits
    }),
    (response) => {
      onStatus?.(response.status)
      return answer(context, given, expectedStatus, response)
    }
  )
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
