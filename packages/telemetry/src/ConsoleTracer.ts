/**
 * Shows every trace on the console as a tree, once it has ended: the calls, how often, when, how long they took and how they ended.
 *
 * **When to use**: while developing, and wherever no receiver of traces is at hand.
 *
 * **What it is not**: for production. It writes in the fiber that ends the last span.
 *
 * ```text
 * trace 2f1c9a0be7d3f5a1c4e86b97d0a3f215
 * payments GET /charges/{id}      ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━     412 ms  ok
 * ├─ GET /charges/{id}            ━━━━━━━━                             101 ms  503
 * │ ◆ retry                               ◆                           +101 ms  ERR_STATUS_SERVICE_UNAVAILABLE, attempt 1, delay 51 ms
 * └─ GET /charges/{id}, resend 1              ━━━━━━━━━━━━━━━━━━━━     260 ms  200
 * ```
 *
 * **Gotchas**: it takes the place of the tracer that there is. A trace with a span that never ends is shown when it has
 * `maxSpans` spans, when `maxTraces` others are under way, or when the layer is closed, and says so.
 *
 * @since 0.1.0
 */

import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"
import type { Leaving, OpenTrace } from "./internal/traces/openTraces.ts"
import { OpenTraces } from "./internal/traces/openTraces.ts"
import { RecordedSpan } from "./internal/traces/recordedSpan.ts"
import { drawTrace } from "./internal/traces/traceText.ts"
import { lineOf } from "./internal/traces/traceTree.ts"

/**
 * How traces are shown.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Takes the text of a trace, which has several lines. Default: `log` of Effect's `Console`. */
  readonly write?: ((text: string) => void) | undefined
  /**
   * Whether there are colours. Default: on a terminal, unless `NO_COLOR` is set; never with a `write` of your own.
   */
  readonly colours?: boolean | undefined
  /** Columns that a line may have. At least 60; default those of the terminal, and no bound where there is none. */
  readonly width?: number | undefined
  /** Attributes that are shown of every span that has them, by name. Default: none. */
  readonly attributes?: ReadonlyArray<string> | undefined
  /** Traces that are under way at once, before the oldest is shown as it is. At least 1; default 256. */
  readonly maxTraces?: number | undefined
  /** Spans of one trace, before it is shown as it is. At least 2; default 512. */
  readonly maxSpans?: number | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  attributes: [],
  maxTraces: 256,
  maxSpans: 512
} as const satisfies Options

const whole = (name: string, value: number, minimum: number): number => {
  if (!(Number.isInteger(value) && value >= minimum)) {
    throw new RangeError(`ConsoleTracer: ${name} must be a whole number of at least ${minimum}, got ${value}`)
  }
  return value
}

/** The parts of `process` that a runtime may have. */
interface Process {
  readonly stdout?: { readonly isTTY?: unknown; readonly columns?: unknown }
  readonly env?: Readonly<Record<string, string | undefined>>
}

// a browser has none
const processOf = (): Process | undefined => (globalThis as { readonly process?: Process }).process

const wantsColours = (): boolean => {
  const process = processOf()
  // https://no-color.org: set to anything but the empty string
  return process?.stdout?.isTTY === true && (process.env?.["NO_COLOR"] ?? "") === ""
}

const terminalColumns = (): number | undefined => {
  const columns = processOf()?.stdout?.columns
  return typeof columns === "number" && columns >= narrowest ? columns : undefined
}

const narrowest = 60

const notes: { readonly [W in Leaving]: string | undefined } = {
  ended: undefined,
  "too-long": "shown before its end, because it has so many spans; what follows is shown apart",
  "too-many": "shown before its end, because so many others are under way",
  closed: "shown before its end, because the tracer was closed"
}

/**
 * Shows traces. Throws a `RangeError` that names the option which is out of range.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import { ConsoleTracer } from "holdfast/telemetry"
 *
 * const program = Effect.gen(function* () {
 *   yield* Effect.withSpan(TestClock.adjust("30 millis"), "reserve")
 *   yield* TestClock.adjust("10 millis")
 * }).pipe(Effect.withSpan("checkout"))
 *
 * const write = (text: string) => console.log(text.trimEnd().split("\n").slice(1).join("\n"))
 * const tracing = ConsoleTracer.layer({ write, width: 60 })
 * await Effect.runPromise(program.pipe(Effect.provide(tracing), Effect.provide(TestClock.layer())))
 * // => checkout          ━━━━━━━━━━━━━━━━━━━      40 ms  ok
 * // => └─ reserve        ━━━━━━━━━━━━━━           30 ms  ok
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never> => {
  const width = options.width === undefined ? undefined : whole("width", options.width, narrowest)
  const maxTraces = whole("maxTraces", options.maxTraces ?? defaults.maxTraces, 1)
  const maxSpans = whole("maxSpans", options.maxSpans ?? defaults.maxSpans, 2)
  return Layer.effect(
    Tracer.Tracer,
    Effect.gen(function* () {
      const console = yield* Console.Console
      const write = options.write ?? ((text: string) => console.log(text))
      const colours = options.colours ?? (options.write === undefined && wantsColours())
      const show = (trace: OpenTrace, why: Leaving): void => {
        const root = lineOf(trace.root, trace.spans, options.attributes ?? defaults.attributes)
        const note = notes[why]
        const heading = `trace ${trace.root.traceId}${note === undefined ? "" : ` (${note})`}`
        const look = { colours, width: width ?? (options.write === undefined ? terminalColumns() : undefined) }
        try {
          write(`${drawTrace(heading, root, look)}\n`)
        } catch {
          // a failure to show a trace is no failure of the call that ends here
        }
      }
      const traces = yield* Effect.acquireRelease(
        Effect.sync(() => new OpenTraces(maxTraces, maxSpans, show)),
        (traces) => Effect.sync(() => traces.close())
      )
      const keeper = { ended: (span: RecordedSpan): void => traces.ended(span) }
      return Tracer.make({
        span: (given) => {
          const span = new RecordedSpan(given, keeper)
          if (span.sampled) traces.began(span)
          return span
        }
      })
    })
  )
}
