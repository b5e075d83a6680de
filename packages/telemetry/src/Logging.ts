/**
 * Lines that can be searched: structured JSON or one line for people, each with the trace and the request that it belongs to;
 * and for every call that failed or had to be helped, one line that says so.
 *
 * **When to use**: {@link layer} at the top of a program. {@link calls} alone where another logger is there already: its lines
 * are ordinary log lines with annotations, which Effect's own loggers and its OTLP exporter show too.
 *
 * **What it is not**: a transport of logs. Lines go to the console of the fiber, where a collector reads them.
 *
 * The lines about calls:
 *
 * | event                    | level                                    | when                                                     |
 * | ------------------------ | ---------------------------------------- | -------------------------------------------------------- |
 * | `holdfast.call.failed`   | by severity: `Info`, `Warn`, `Error`     | a call failed; `critical` is `Error`; a defect is `Error` |
 * | `holdfast.call.degraded` | `Info`                                   | it succeeded after a retry, or by a hedge                |
 * | `holdfast.attempt`       | `Debug`                                  | an attempt ended                                         |
 * | `holdfast.fallback`      | `Info`                                   | a fallback answered: {@link fallback}                    |
 *
 * A call that succeeds at once, and one that its caller gave up, has no line.
 *
 * The keys of a JSON line are those of OpenTelemetry's log data model, as it spells them for JSON: `timestamp`,
 * `severity_text`, `severity_number`, `body`, `event_name`, `trace_id`, `span_id`, `trace_flags`, `attributes` and `resource`.
 * A key that does not apply is left out.
 *
 * **Gotchas**: provide {@link layer} below the layers of upstreams, which ask once, when they are made, whether the lines of their
 * calls say whose they are; and around the program, for its own lines. Secrets are hidden by their type (`Redacted`) and by the name that
 * they stand under
 * (`authorization`, `api_key`, anything with `token`); nothing can hide one that is written into a message.
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { HttpPolicy, Upstream } from "holdfast"
 * import { Logging } from "holdfast/telemetry"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", {
 *   baseUrl: "https://stock.internal",
 *   policy: HttpPolicy.make({ deadline: "5 seconds" })
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   yield* Effect.ignore(stock.get("/items", { headers: { "x-request-id": "order-4711" } }))
 * })
 *
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.status(503)] })
 * const main = Stock.layer.pipe(Layer.provide(transport), Layer.provideMerge(Logging.layer()))
 * const shown: Console.Console = {
 *   ...console,
 *   log: (line) => {
 *     const { attributes, event_name, severity_text } = JSON.parse(line)
 *     console.log(severity_text, event_name, attributes["error.type"], attributes["holdfast.request_id"])
 *   }
 * }
 * await Effect.runPromise(program.pipe(Effect.provide(main), Effect.provideService(Console.Console, shown)))
 * // => ERROR holdfast.call.failed ERR_STATUS_SERVICE_UNAVAILABLE order-4711
 * ```
 *
 * @since 0.1.0
 */

import type { CallError } from "@holdfast/core/CallError"
import { CallError as CallErrorClass } from "@holdfast/core/CallError"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type * as Fallback from "@holdfast/core/Fallback"
import * as CallObserver from "@holdfast/http/CallObserver"
import * as RequestIdentity from "@holdfast/http/RequestIdentity"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import { elapsedText } from "./internal/shown/elapsedText.ts"
import { annotationsOf, eventName, logRecord, requestIdName } from "./internal/logs/logRecord.ts"
import { prettyLine } from "./internal/logs/prettyLine.ts"
import { jsonLine } from "./internal/logs/textOfOthers.ts"
import { isKept } from "./internal/metrics/sampling.ts"

/**
 * The events that lines of this module tell of. Other code names its own with the annotation `event.name`.
 *
 * @category constants
 * @since 0.1.0
 */
export const Event = {
  callFailed: "holdfast.call.failed",
  callDegraded: "holdfast.call.degraded",
  attempt: "holdfast.attempt",
  fallback: "holdfast.fallback"
} as const

/**
 * How many lines are kept, as ratios between 0 and 1. A line is kept or dropped by its trace, or by its request without one:
 * all lines of a trace share one fate, in every process, and a line kept at a ratio is kept at every higher one. Lines that
 * belong to neither are kept, unless their ratio is 0.
 *
 * Lines at `Error` and `Fatal` are always kept, for any event.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sampling {
  /** By level. Default: 1 for each. */
  readonly levels?: { readonly [L in Exclude<LogLevel.Severity, "Error" | "Fatal">]?: number | undefined } | undefined
  /** By event (the annotation `event.name`), which wins over the level. Default: none. */
  readonly events?: { readonly [event: string]: number } | undefined
}

/**
 * How records are written.
 *
 * @category models
 * @since 0.1.0
 */
export interface FormatOptions {
  /** The program's attributes, for every line: `{ "service.name": "checkout" }`. Only in JSON. Default: none. */
  readonly resource?: { readonly [name: string]: string } | undefined
  /** Whether a pretty line has colours. Default: whether the process writes to a terminal. */
  readonly colors?: boolean | undefined
}

/**
 * Which lines tell of calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallsOptions {
  /**
   * The level of the line of a failed call; `undefined` for no line. Default: by the severity of the catalogue, `critical` as
   * `Error`.
   */
  readonly level?: ((error: CallError) => LogLevel.Severity | undefined) | undefined
  /** Whether calls that succeeded after a retry or by a hedge have a line, at `Info`. Default `true`. */
  readonly degraded?: boolean | undefined
  /** Whether attempts have lines, at `Debug`. Default `true`. */
  readonly attempts?: boolean | undefined
  /**
   * Whether lines from inside of a call (a decode schema, a transport) bear its upstream, operation and request.
   * Default `true`.
   */
  readonly annotate?: boolean | undefined
}

/**
 * How a program logs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends FormatOptions {
  /** Default `json`. */
  readonly format?: "json" | "pretty" | undefined
  /** The least severe level that is logged. Default: the one in force, which is `Info` unless it was changed. */
  readonly level?: LogLevel.LogLevel | undefined
  /** Default: every line is kept. */
  readonly sampling?: Sampling | undefined
  /** Which lines tell of calls; `false` for none. Default: all. */
  readonly calls?: CallsOptions | false | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  format: "json",
  degraded: true,
  attempts: true,
  annotate: true
} as const

/**
 * Writes a line as JSON, in the keys of OpenTelemetry's log data model.
 *
 * ```ts
 * import { Console, Effect, Logger } from "effect"
 * import { Logging } from "holdfast/telemetry"
 *
 * const logger = Logger.map(Logging.json(), (line) => {
 *   const { attributes, body, severity_number } = JSON.parse(line)
 *   console.log(body, severity_number, attributes)
 * })
 * const program = Effect.logWarning("charged twice", { charge: "ch_1", card_token: "tok_1" })
 * await Effect.runPromise(program.pipe(Effect.provide(Logger.layer([logger]))))
 * // => charged twice 13 { charge: 'ch_1', card_token: 'REDACTED' }
 * ```
 *
 * @category loggers
 * @since 0.1.0
 */
export const json = (options: FormatOptions = {}): Logger.Logger<unknown, string> =>
  Logger.make((given) =>
    jsonLine(options.resource === undefined ? logRecord(given) : { ...logRecord(given), resource: options.resource })
  )

const isTerminal = (): boolean => {
  // Node's `process`, and that of other runtimes that have one: this package may run where there is none
  const { process } = globalThis as { readonly process?: { readonly stdout?: { readonly isTTY?: boolean } } }
  return process?.stdout?.isTTY === true
}

/**
 * Writes a line for people: the time (UTC), the level, the text, and everything else as `name=value`. A stack trace stands
 * below it.
 *
 * @category loggers
 * @since 0.1.0
 */
export const pretty = (options: FormatOptions = {}): Logger.Logger<unknown, string> => {
  const isColoured = options.colors ?? isTerminal()
  return Logger.make((given) => prettyLine(logRecord(given), isColoured))
}

const ratio = (what: string, given: number): number => {
  if (!(given >= 0 && given <= 1)) {
    throw new RangeError(`Logging: the ratio of ${what} must be between 0 and 1, got ${given}`)
  }
  return given
}

/**
 * A logger that gets the sampled lines only. Throws a `RangeError` for a ratio that is none.
 *
 * ```ts
 * import { Effect, Logger } from "effect"
 * import { RequestIdentity } from "holdfast"
 * import { Logging } from "holdfast/telemetry"
 *
 * const kept = Logger.make(({ message }) => console.log(String(message)))
 * const logger = Logging.sampled(kept, { levels: { Info: 0.1 } })
 *
 * const program = Effect.gen(function*() {
 *   for (let order = 1; order <= 15; order++) {
 *     const identity = yield* RequestIdentity.make({ id: `order-${order}` })
 *     yield* Effect.log(`order ${order} came`).pipe(RequestIdentity.provide(identity))
 *   }
 *   yield* Effect.logError("out of stock")
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Logger.layer([logger]))))
 * // => order 6 came
 * // => order 11 came
 * // => out of stock
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const sampled = <Message, Output>(
  logger: Logger.Logger<Message, Output>,
  sampling: Sampling
): Logger.Logger<Message, Output | undefined> => {
  const levels = new Map<LogLevel.LogLevel, number>()
  for (const level of ["Warn", "Info", "Debug", "Trace"] as const) {
    const given = sampling.levels?.[level]
    if (given !== undefined) levels.set(level, ratio(level, given))
  }
  const events = new Map(Object.entries(sampling.events ?? {}).map(([name, given]) => [name, ratio(name, given)]))
  return Logger.make((options) => {
    const { fiber, logLevel } = options
    if (logLevel === "Error" || logLevel === "Fatal") return logger.log(options)
    const annotations = annotationsOf(fiber)
    const event = annotations[eventName]
    const kept = (typeof event === "string" ? events.get(event) : undefined) ?? levels.get(logLevel) ?? 1
    if (kept >= 1) return logger.log(options)
    const requestId = annotations[requestIdName]
    const name = fiber.cache.span?.traceId ?? (typeof requestId === "string" ? requestId : undefined)
    return isKept(kept, name) ? logger.log(options) : undefined
  })
}

const isLogged = (context: Context.Context<never>, level: LogLevel.Severity): boolean =>
  !LogLevel.isGreaterThan(Context.get(context, References.MinimumLogLevel), level)

/** Logs with the caller's loggers, on the spot: a logger is synchronous, so that this ends before it returns. */
const logIn = (
  context: Context.Context<never>,
  level: LogLevel.Severity,
  body: string,
  attributes: { readonly [name: string]: unknown }
): void => Effect.runSyncWith(context)(Effect.annotateLogs(Effect.logWithLevel(level)(body), attributes))

const spanned = (call: CallObserver.ObservedCall): Context.Context<never> =>
  call.span === undefined ? call.context : Context.add(call.context, Tracer.ParentSpan, call.span)

const logOf = (
  call: CallObserver.ObservedCall,
  level: LogLevel.Severity,
  event: string,
  body: string,
  attributes: { readonly [name: string]: unknown }
): void =>
  logIn(spanned(call), level, body, {
    [eventName]: event,
    "holdfast.upstream": call.upstream,
    "holdfast.operation": call.operation,
    [requestIdName]: call.requestId,
    ...attributes
  })

const levelOfSeverity = {
  info: "Info",
  warning: "Warn",
  error: "Error",
  critical: "Error"
} as const satisfies Record<ErrorCatalog.Entry["severity"], LogLevel.Severity>

const levelOf = (error: CallError): LogLevel.Severity => levelOfSeverity[error.entry.severity]

/** The retries and hedges that helped a call. */
interface Helped {
  retries: number
  /** Code of the failure before the last retry. */
  retried: string | undefined
  isHedged: boolean
}

const attemptsText = (attempts: number): string => `${attempts} ${attempts === 1 ? "attempt" : "attempts"}`

const degradedLine = (call: CallObserver.ObservedCall, end: CallObserver.CallEnd, helped: Helped): void => {
  const after = `succeeded after ${attemptsText(end.attempts)} in ${elapsedText(end.durationMillis)}`
  const by = helped.isHedged ? "by a hedge" : `by a retry of ${helped.retried}`
  const body = `${call.upstream}: ${call.operation} ${after}, ${by} (request ${call.requestId})`
  logOf(call, "Info", Event.callDegraded, body, {
    "holdfast.degraded": helped.isHedged ? "hedge" : "retry",
    ...(helped.retried === undefined ? {} : { "error.type": helped.retried }),
    "holdfast.attempts": end.attempts,
    "holdfast.duration": end.durationMillis / 1000
  })
}

const failedLine = (
  call: CallObserver.ObservedCall,
  { attempts, durationMillis, error }: CallObserver.CallEnd,
  levelOfError: NonNullable<CallsOptions["level"]>
): void => {
  const figures = { "holdfast.attempts": attempts, "holdfast.duration": durationMillis / 1000 }
  if (error === undefined) {
    const after = `died of a defect after ${attemptsText(attempts)} in ${elapsedText(durationMillis)}`
    const body = `${call.upstream}: ${call.operation} ${after} (request ${call.requestId})`
    return logOf(call, "Error", Event.callFailed, body, figures)
  }
  const level = levelOfError(error)
  if (level === undefined || !isLogged(call.context, level)) return
  const { code, severity } = error.entry
  logOf(call, level, Event.callFailed, error.message, {
    "error.type": code,
    "holdfast.severity": severity,
    "holdfast.retry_stopped": error.retryStopped,
    "holdfast.applied": error.applied,
    ...(error.previous === undefined ? {} : { "holdfast.previous_error": ErrorCatalog.of(error.previous).code }),
    ...figures
  })
}

const attemptLine = (call: CallObserver.ObservedCall, end: CallObserver.AttemptEnd): void => {
  const which = `${end.isHedge ? "hedge" : "attempt"} ${end.resend + 1}`
  const how = end.outcome === "success" ? "succeeded" : end.outcome === "interrupted" ? "was interrupted" : "failed"
  const why = end.reason === undefined ? "" : `: ${end.reason.message}`
  const body = `${call.upstream}: ${call.operation} ${which} ${how} in ${elapsedText(end.durationMillis)}${why}`
  logOf(call, "Debug", Event.attempt, body, {
    "http.request.resend_count": end.resend,
    "holdfast.hedge": end.isHedge,
    ...(end.status === undefined ? {} : { "http.response.status_code": end.status }),
    ...(end.reason === undefined ? {} : { "error.type": ErrorCatalog.of(end.reason).code }),
    "holdfast.duration": end.durationMillis / 1000
  })
}

/** All observers that log calls write to the caller's loggers, so that two of them would write every line twice. */
const loggersOfTheCall = {}

const observerOf = (options: CallsOptions): CallObserver.CallObserver => {
  const levelOfError = options.level ?? levelOf
  // of calls that were helped only, so that the others cost nothing
  const helpedBy = new WeakMap<CallObserver.ObservedCall, Helped>()
  const helpedOf = (call: CallObserver.ObservedCall): Helped => {
    const known = helpedBy.get(call)
    if (known !== undefined) return known
    const helped: Helped = { retries: 0, retried: undefined, isHedged: false }
    helpedBy.set(call, helped)
    return helped
  }
  const failed: CallObserver.CallObserver["callEnded"] = (call, end) => {
    if (end.outcome === "failure") failedLine(call, end, levelOfError)
  }
  const attempts: CallObserver.CallObserver = {
    attemptEnded: (call, end) => {
      if (isLogged(call.context, "Debug")) attemptLine(call, end)
    }
  }
  const degraded: CallObserver.CallObserver = {
    retryScheduled: (call, { reason }) => {
      const helped = helpedOf(call)
      helped.retries++
      helped.retried = ErrorCatalog.of(reason).code
    },
    hedgeSettled: (call, { isHedge }) => {
      helpedOf(call).isHedged = isHedge
    },
    callEnded: (call, end) => {
      if (end.outcome !== "success") return failed(call, end)
      const helped = helpedBy.get(call)
      if (helped === undefined || (helped.retries === 0 && !helped.isHedged)) return
      if (isLogged(call.context, "Info")) degradedLine(call, end, helped)
    }
  }
  return {
    sink: loggersOfTheCall,
    callEnded: failed,
    ...((options.degraded ?? defaults.degraded) ? degraded : {}),
    ...((options.attempts ?? defaults.attempts) ? attempts : {})
  }
}

/**
 * The lines that tell of calls, for any loggers.
 *
 * @category layers
 * @since 0.1.0
 */
export const calls = (options: CallsOptions = {}): Layer.Layer<never> =>
  Layer.merge(
    CallObserver.layer(observerOf(options)),
    Layer.succeed(RequestIdentity.AnnotateCalls, options.annotate ?? defaults.annotate)
  )

/**
 * Logs every answer of a fallback, until the scope closes: at `Info`, with the call that it stands in for. The line of the
 * failed call itself comes before it.
 *
 * ```ts
 * import { Effect, Logger } from "effect"
 * import { Fallback, Reason } from "holdfast"
 * import { Logging } from "holdfast/telemetry"
 *
 * const bestsellers = Fallback.make({ value: ["bestsellers"] })
 *
 * const program = Effect.gen(function*() {
 *   yield* Logging.fallback("bestsellers", bestsellers)
 *   yield* bestsellers.run(Effect.fail(new Reason.CircuitOpen({})))
 * })
 * const logger = Logger.make(({ message }) => console.log(String(message)))
 * await Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Logger.layer([logger]))))
 * // => bestsellers: a fallback answered
 * ```
 *
 * @category logging
 * @since 0.1.0
 */
export const fallback = <E, B, E2, R2>(
  name: string,
  fallback: Fallback.Fallback<E, B, E2, R2>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(Effect.context<never>(), (outer) =>
    Effect.asVoid(
      Effect.acquireRelease(
        Effect.sync(() =>
          fallback.events.subscribe((event) => {
            if (event._tag !== "FellBack") return
            // told on the spot, by the fiber that fell back: its loggers, its trace and its request
            const context = Fiber.getCurrent()?.context ?? outer
            if (!isLogged(context, "Info")) return
            const answered = event.observed ? "a fallback would have answered" : "a fallback answered"
            const error: unknown = event.error
            const isCall = error instanceof CallErrorClass
            const standsFor = isCall ? ` for ${error.upstream}: ${error.operation} (request ${error.requestId})` : ""
            logIn(context, "Info", `${name}: ${answered}${standsFor}`, {
              [eventName]: Event.fallback,
              "holdfast.fallback": name,
              "holdfast.degraded": "fallback",
              ...(isCall
                ? {
                    "holdfast.upstream": error.upstream,
                    "holdfast.operation": error.operation,
                    [requestIdName]: error.requestId,
                    "error.type": error.code
                  }
                : {})
            })
          })
        ),
        (stop) => Effect.sync(stop)
      )
    )
  )

/**
 * Logs to the console of the fiber, in the place of Effect's default logger; other loggers stay. Throws a `RangeError` for a
 * ratio of the sampling that is none.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never> => {
  const format = (options.format ?? defaults.format) === "json" ? json(options) : pretty(options)
  const console = Logger.withConsoleLog(format)
  const logger = options.sampling === undefined ? console : sampled(console, options.sampling)
  return Layer.mergeAll(
    Layer.effect(
      Logger.CurrentLoggers,
      Effect.map(
        Logger.CurrentLoggers,
        (loggers) => new Set([...loggers].filter((other) => other !== Logger.defaultLogger).concat(logger))
      )
    ),
    options.level === undefined ? Layer.empty : Layer.succeed(References.MinimumLogLevel, options.level),
    options.calls === false ? Layer.empty : calls(options.calls)
  )
}
