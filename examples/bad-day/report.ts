/** What a person wants to know after such a day, as text. Pure: figures in, lines out. */
import { styleText } from "node:util"
import type { CircuitBreaker, RetryBudget } from "holdfast"
import type { Patch } from "./day.ts"
import type { CallRecord, Finished } from "./meter.ts"
import { attemptsOf, callSpans, drawTrace, mostTelling } from "./trace.ts"
import type { OtlpReceiver } from "holdfast/testing"

export interface Day {
  readonly day: ReadonlyArray<Patch>
  readonly finished: Finished
  readonly budget: RetryBudget.Snapshot | undefined
  readonly breaker: CircuitBreaker.Snapshot | undefined
  /** How often the circuit opened. */
  readonly openings: number
  /** What the collector received; only the client with the policy was traced. */
  readonly spans: ReadonlyArray<OtlpReceiver.SpanRecord>
  readonly held: string
  readonly bare: string
}

// styleText leaves the text plain when standard output is no terminal, or when NO_COLOR is set
const title = (text: string): string => styleText("bold", text)
const faint = (text: string): string => styleText("dim", text)

const percent = (part: number, whole: number): string => (whole === 0 ? "–" : `${((100 * part) / whole).toFixed(1)} %`)

const quantile = (sorted: ReadonlyArray<number>, q: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0

const row = (cells: ReadonlyArray<string>, widths: ReadonlyArray<number>): string =>
  cells
    .map((cell, column) => (column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0)))
    .join("")

const succeeded = (calls: ReadonlyArray<CallRecord>): number => calls.filter((call) => call.error === undefined).length

const patches = ({ bare, day, finished, held }: Day): ReadonlyArray<string> => {
  const widths = [26, 8, 12, 12, 18]
  const line = (name: string, isIn: (patch: number) => boolean = () => true): string => {
    const of = (upstream: string) => finished.calls.filter((call) => call.upstream === upstream && isIn(call.patch))
    const [withPolicy, without] = [of(held), of(bare)]
    const attempts = (finished.attempts.get(held) ?? []).reduce((sum, made, patch) => sum + (isIn(patch) ? made : 0), 0)
    return row(
      [
        `  ${name}`,
        String(withPolicy.length + without.length),
        percent(succeeded(without), without.length),
        percent(succeeded(withPolicy), withPolicy.length),
        withPolicy.length === 0 ? "–" : (attempts / withPolicy.length).toFixed(2)
      ],
      widths
    )
  }
  return [
    title(row(["The day", "calls", "without", "with policy", "attempts a call"], widths)),
    ...day.map((patch, index) => line(patch.name, (at) => at === index)),
    line("the whole day"),
    line("but for the full stop", (at) => day[at]?.trouble !== "stopped")
  ]
}

const latencies = ({ bare, finished, held }: Day): ReadonlyArray<string> => {
  const widths = [26, 8, 8, 8, 8]
  const line = (name: string, upstream: string): string => {
    const sorted = finished.calls
      .filter((call) => call.upstream === upstream)
      .map((call) => call.millis)
      .toSorted((a, b) => a - b)
    return row([`  ${name}`, ...[0.5, 0.9, 0.99, 1].map((q) => `${Math.round(quantile(sorted, q))}`)], widths)
  }
  return [
    title(row(["Latency of calls, ms", "p50", "p90", "p99", "max"], widths)),
    line("without", bare),
    line("with policy", held)
  ]
}

const failures = (heading: string, calls: ReadonlyArray<CallRecord>): ReadonlyArray<string> => {
  const byCode = Map.groupBy(
    calls.flatMap((call) => (call.error === undefined ? [] : [call.error])),
    (error) => error.code
  )
  const lines = [...byCode]
    .toSorted(([, a], [, b]) => b.length - a.length)
    .flatMap(([code, errors]) => [
      `  ${String(errors.length).padStart(4)} × ${code}`,
      faint(`         ${errors.at(-1)?.message ?? ""}`)
    ])
  return [title(heading), ...(lines.length === 0 ? ["  nothing"] : lines)]
}

const stages = ({ breaker, budget, finished, held, openings, spans }: Day): ReadonlyArray<string> => {
  const calls = callSpans(spans)
  const failed = finished.calls.flatMap((call) => (call.upstream === held && call.error ? [call.error] : []))
  const stopped = (why: string): number => failed.filter((error) => error.retryStopped === why).length
  const rescued = calls.filter((call) => call.status.code !== "error" && attemptsOf(spans, call).length > 1).length
  const cut = spans.filter((span) => span.attributes["error.type"] === "ERR_TIME_ATTEMPT_TIMEOUT").length
  const stage = (name: string, text: string): string => `  ${name.padEnd(24)}${text}`
  return [
    title(`What each stage did ${faint(`(from ${spans.length} spans that the collector received)`)}`),
    stage(
      "deadline",
      `${stopped("deadline") + stopped("server-wait")} calls gave up because the next try would have come too late`
    ),
    stage(
      "retry",
      `${budget?.granted ?? 0} retries, which rescued ${rescued} calls; ${stopped("attempts")} calls used all attempts up`
    ),
    stage("retry budget", `${budget?.refused ?? 0} retries refused, so as not to add to the trouble`),
    stage("breaker", `opened ${openings} times, and refused ${breaker?.refused ?? 0} attempts before they were sent`),
    stage("attempt timeout", `${cut} attempts cut`)
  ]
}

const trace = ({ spans }: Day): ReadonlyArray<string> => {
  const call = mostTelling(spans)
  if (call === undefined) return []
  return [title("One call, as the collector received it"), ...drawTrace(spans, call).map((line) => `  ${line}`)]
}

/** The whole report. */
export const report = (day: Day): string => {
  const of = (upstream: string) => day.finished.calls.filter((call) => call.upstream === upstream)
  return [
    patches(day),
    latencies(day),
    failures("What failed without the policy", of(day.bare)),
    failures("What failed with it", of(day.held)),
    stages(day),
    trace(day)
  ]
    .map((section) => section.join("\n"))
    .join("\n\n")
}
