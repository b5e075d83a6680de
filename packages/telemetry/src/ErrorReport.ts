/**
 * Failures in groups: every failure of a call or an attempt counts under its upstream, its operation and its code, with when it
 * was first and last seen, how often it comes now, and an example to look for in logs and traces.
 *
 * **When to use**: to answer "what is going wrong?" in a terminal, on a status page, in a ticket.
 *
 * **What it is not**: a log. One example stands for each group. Nor all there is to know of an upstream: how many calls
 * succeed beside the failures is in `Windows`.
 *
 * **Gotchas**: provide {@link layer} once, below the layers of upstreams or beside them. An attempt
 * that failed counts even when a retry made the call succeed: `attempts` above `calls` is trouble that nobody has felt yet. An
 * example is the line of a `CallError`, in which no header, body or query stands; the upstream's own words in problem details
 * do. Groups are bounded: beyond `maxGroups` the one that was not met for longest is forgotten, and `forgotten` says how many.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Upstream } from "holdfast"
 * import { ErrorReport } from "holdfast/telemetry"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const transport = ScriptedTransport.layer({
 *   "GET /items": [ScriptedTransport.status(503), ScriptedTransport.json([])],
 *   "GET /items/{sku}": [ScriptedTransport.status(404)]
 * })
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   yield* stock.get("/items")
 *   yield* Effect.ignore(stock.get("/items/{sku}", { params: { sku: "a" } }))
 *   const { groups } = yield* ErrorReport.read()
 *   for (const { attempts, calls, code, operation } of groups) console.log(operation, code, calls, attempts)
 *   // => GET /items/{sku} ERR_STATUS_NOT_FOUND 1 1
 *   // => GET /items ERR_STATUS_SERVICE_UNAVAILABLE 0 1
 * })
 *
 * const main = Stock.layer.pipe(Layer.provide(transport), Layer.provideMerge(ErrorReport.layer()))
 * await Effect.runPromise(program.pipe(Effect.provide(main)))
 * ```
 *
 * @since 0.1.0
 */

import * as Deadline from "@holdfast/core/Deadline"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as CallObserver from "@holdfast/http/CallObserver"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as State from "./internal/windows/failureGroups.ts"
import { type Column, markdownTable, textTable } from "./internal/windows/textTable.ts"
import { oneLine } from "./internal/logs/textOfOthers.ts"
import { totalAt, type WindowName } from "./internal/windows/timeSlices.ts"

/**
 * How much is remembered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Groups at most; each takes some 3 KB. A whole number of at least 1; default 500. */
  readonly maxGroups?: number | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { maxGroups: 500 } as const satisfies Options

/**
 * The code of a group whose calls died: a bug on this side, which no catalogue knows.
 *
 * @category constants
 * @since 0.1.0
 */
export const defectCode = "DEFECT"

/**
 * One failure that stands for its group.
 *
 * @category models
 * @since 0.1.0
 */
export interface Example {
  /** Of a call its whole line; of an attempt, whose call has not failed this way, why it failed. At most 500 characters. */
  readonly message: string
  readonly requestId: string
  /** Of the call's span, while somebody traces. */
  readonly traceId: string | undefined
  readonly spanId: string | undefined
  readonly at: DateTime.Utc
}

/**
 * How often a failure came in a window, as `Windows` has them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rate {
  /** How far back the window goes. */
  readonly covered: Duration.Duration
  readonly calls: number
  readonly attempts: number
  /** For each second that is covered, of at least one. */
  readonly callsPerSecond: number
  readonly attemptsPerSecond: number
}

/**
 * The failures of one operation with one code.
 *
 * @category models
 * @since 0.1.0
 */
export interface Group {
  readonly upstream: string
  /** Method and path template. */
  readonly operation: string
  /** Of the catalogue: `ERR_STATUS_SERVICE_UNAVAILABLE`; or {@link defectCode}. */
  readonly code: string
  readonly severity: ErrorCatalog.Entry["severity"]
  /** Calls that ended so, since the group was first met. */
  readonly calls: number
  /** Attempts that ended so, also if their calls succeeded. */
  readonly attempts: number
  readonly firstSeen: DateTime.Utc
  readonly lastSeen: DateTime.Utc
  readonly last10Seconds: Rate
  readonly lastMinute: Rate
  readonly last5Minutes: Rate
  /** One of the last. That of a call is preferred to that of an attempt. */
  readonly example: Example
}

/**
 * The report.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly at: DateTime.Utc
  /** The groups, worst first: by the failed calls of the last five minutes, then by failed attempts, then by the last time seen. */
  readonly groups: ReadonlyArray<Group>
  /** Groups that were forgotten because there were too many. */
  readonly forgotten: number
}

/**
 * Reads the report. Reading changes nothing.
 *
 * @category services
 * @since 0.1.0
 */
export class ErrorReport extends Context.Service<
  ErrorReport,
  {
    /** The failures of all upstreams or of one. */
    readonly read: (upstream?: string) => Effect.Effect<Report>
  }
>()("@holdfast/telemetry/ErrorReport") {}

/**
 * The failures of all upstreams or of one.
 *
 * @category getters
 * @since 0.1.0
 */
export const read = (upstream?: string): Effect.Effect<Report, never, ErrorReport> =>
  Effect.flatMap(ErrorReport, (report) => report.read(upstream))

const maxMessage = 500

const bounded = (message: string): string =>
  message.length <= maxMessage ? message : `${message.slice(0, maxMessage - 1)}…`

type Severity = ErrorCatalog.Entry["severity"]

const rateOf = (group: State.Group<Severity>, window: WindowName, nowMillis: number): Rate => {
  const { counters, coveredMillis } = totalAt(group.slices, window, nowMillis)
  const covered = Math.max(0, Math.min(coveredMillis, nowMillis - group.sinceMillis))
  const calls = counters[State.counted.calls] ?? 0
  const attempts = counters[State.counted.attempts] ?? 0
  const seconds = Math.max(1, covered / 1000)
  return {
    covered: Duration.millis(covered),
    calls,
    attempts,
    callsPerSecond: calls / seconds,
    attemptsPerSecond: attempts / seconds
  }
}

const shown = (group: State.Group<Severity>, nowMillis: number): Group => {
  const { attempts, calls, code, example, firstMillis, lastMillis, operation, severity, upstream } = group
  const { atMillis, message, requestId, spanId, traceId } = example
  return {
    upstream,
    operation,
    code,
    severity,
    calls,
    attempts,
    firstSeen: DateTime.makeUnsafe(firstMillis),
    lastSeen: DateTime.makeUnsafe(lastMillis),
    last10Seconds: rateOf(group, "last10Seconds", nowMillis),
    lastMinute: rateOf(group, "lastMinute", nowMillis),
    last5Minutes: rateOf(group, "last5Minutes", nowMillis),
    example: { message, requestId, traceId, spanId, at: DateTime.makeUnsafe(atMillis) }
  }
}

const worstFirst = (left: Group, right: Group): number =>
  right.last5Minutes.calls - left.last5Minutes.calls ||
  right.last5Minutes.attempts - left.last5Minutes.attempts ||
  DateTime.toEpochMillis(right.lastSeen) - DateTime.toEpochMillis(left.lastSeen) ||
  (`${left.upstream} ${left.operation} ${left.code}` < `${right.upstream} ${right.operation} ${right.code}` ? -1 : 1)

const make = (maxGroups: number, clock: Clock.Clock) => {
  const now = (): number => Deadline.nowMillisUnsafe(clock)
  const state = State.makeFailureGroups<Severity>(maxGroups, now())
  const record = (
    of: "call" | "attempt",
    call: CallObserver.ObservedCall,
    entry: Pick<ErrorCatalog.Entry, "code" | "severity">,
    message: () => string
  ): void => {
    const wallMillis = clock.currentTimeMillisUnsafe()
    State.record(
      state,
      {
        of,
        upstream: call.upstream,
        operation: call.operation,
        code: entry.code,
        severity: entry.severity,
        example: () => ({
          of,
          message: bounded(message()),
          requestId: call.requestId,
          traceId: call.span?.traceId,
          spanId: call.span?.spanId,
          atMillis: wallMillis
        })
      },
      now(),
      wallMillis
    )
  }
  const observer: CallObserver.CallObserver = {
    callEnded: (call, { error, outcome }) => {
      if (outcome !== "failure") return
      if (error === undefined) {
        // a defect's message is the program's own, and may be anything
        const died = `${call.upstream}: ${call.operation} died of a defect (request ${call.requestId})`
        return record("call", call, { code: defectCode, severity: "critical" }, () => died)
      }
      record("call", call, error.entry, () => error.message)
    },
    attemptEnded: (call, { reason }) => {
      if (reason !== undefined) record("attempt", call, ErrorCatalog.of(reason), () => reason.message)
    }
  }
  const service = ErrorReport.of({
    read: (upstream) =>
      Effect.sync(() => {
        const nowMillis = now()
        return {
          at: DateTime.makeUnsafe(clock.currentTimeMillisUnsafe()),
          groups: [...state.groups.values()]
            .filter((group) => upstream === undefined || group.upstream === upstream)
            .map((group) => shown(group, nowMillis))
            .toSorted(worstFirst),
          forgotten: state.forgotten
        }
      })
  })
  return { observer, service }
}

/**
 * Keeps a report of the failures of all upstreams above it, and gives the service that reads it. Throws a `RangeError` for a
 * `maxGroups` that is out of range.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<ErrorReport> => {
  const maxGroups = options.maxGroups ?? defaults.maxGroups
  if (!(Number.isInteger(maxGroups) && maxGroups >= 1)) {
    throw new RangeError(`ErrorReport: maxGroups must be a whole number of at least 1, got ${maxGroups}`)
  }
  return Layer.unwrap(
    Effect.map(Clock.Clock, (clock) => {
      const { observer, service } = make(maxGroups, clock)
      return Layer.merge(Layer.succeed(ErrorReport, service), CallObserver.layer(observer))
    })
  )
}

/**
 * The columns of a table beside the figures.
 *
 * @category models
 * @since 0.1.0
 */
export interface TableOptions {
  /** Whether the message of each example stands below its row. Default `true`. */
  readonly examples?: boolean | undefined
}

const columns: ReadonlyArray<Column> = [
  { title: "Upstream", align: "left" },
  { title: "Operation", align: "left" },
  { title: "Code", align: "left" },
  { title: "Calls", align: "right" },
  { title: "Attempts", align: "right" },
  { title: "Calls/min", align: "right" },
  { title: "Attempts/min", align: "right" },
  { title: "First seen", align: "right" },
  { title: "Last seen", align: "right" },
  { title: "Request", align: "left" }
]

const ago = (at: DateTime.Utc, now: DateTime.Utc): string => {
  const seconds = Math.max(0, Math.round((DateTime.toEpochMillis(now) - DateTime.toEpochMillis(at)) / 1000))
  if (seconds < 120) return `${seconds}s ago`
  if (seconds < 7200) return `${Math.floor(seconds / 60)}m ago`
  return seconds < 172_800 ? `${Math.floor(seconds / 3600)}h ago` : `${Math.floor(seconds / 86_400)}d ago`
}

/** A figure for each minute of the last one: a rate is easier to read beside "in the last minute" than beside "of five". */
const perMinute = (perSecond: number): string => {
  const rate = perSecond * 60
  return rate >= 10 || Number.isInteger(rate) ? rate.toFixed(0) : rate.toFixed(1)
}

const rowOf = (group: Group, now: DateTime.Utc): ReadonlyArray<string> => [
  group.upstream,
  group.operation,
  group.code,
  String(group.calls),
  String(group.attempts),
  perMinute(group.lastMinute.callsPerSecond),
  perMinute(group.lastMinute.attemptsPerSecond),
  ago(group.firstSeen, now),
  ago(group.lastSeen, now),
  group.example.requestId
]

const forgottenLine = ({ forgotten }: Report): ReadonlyArray<string> =>
  forgotten === 0
    ? []
    : [`${forgotten} ${forgotten === 1 ? "group was" : "groups were"} forgotten: there were too many`]

/**
 * The report as plain text for a terminal: columns that stand below each other, and below each row its example.
 *
 * ```ts
 * import { DateTime } from "effect"
 * import { ErrorReport } from "holdfast/telemetry"
 *
 * console.log(ErrorReport.table({ at: DateTime.makeUnsafe(0), groups: [], forgotten: 0 })) // => no failures
 * ```
 *
 * @category formatting
 * @since 0.1.0
 */
export const table = (report: Report, options: TableOptions = {}): string => {
  const { at, groups } = report
  if (groups.length === 0) return ["no failures", ...forgottenLine(report)].join("\n")
  const [title = "", ...rows] = textTable(
    columns,
    groups.map((group) => rowOf(group, at))
  )
  const withExamples = rows.flatMap((row, index) => {
    const message = groups[index]?.example.message
    return options.examples === false || message === undefined ? [row] : [row, `  └ ${oneLine(message)}`]
  })
  return [title, ...withExamples, ...forgottenLine(report)].join("\n")
}

/**
 * The report as a table of GitHub's Markdown, for a ticket or a chat. The messages of the examples are its last column.
 *
 * @category formatting
 * @since 0.1.0
 */
export const markdown = (report: Report, options: TableOptions = {}): string => {
  const { at, groups } = report
  if (groups.length === 0) return ["no failures", ...forgottenLine(report)].join("\n\n")
  const isWithExamples = options.examples !== false
  const lines = markdownTable(
    isWithExamples ? [...columns, { title: "Example", align: "left" }] : columns,
    groups.map((group) => [...rowOf(group, at), ...(isWithExamples ? [group.example.message] : [])])
  )
  return [lines.join("\n"), ...forgottenLine(report)].join("\n\n")
}
