/**
 * Keeps spans in memory, so that a test can compare traces: as records, as trees, or as text for a snapshot.
 *
 * **When to use**: in tests of your program's traces.
 *
 * **What it is not**: a test of your exporter: for that there is `OtlpReceiver` in `holdfast/testing`.
 *
 * **Gotchas**: it takes the place of the tracer that there is. Beyond `maxSpans` it keeps no more, and counts them in `missed`.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import { endingOf, outcomeOf, RecordedSpan, shownValue } from "./internal/traces/recordedSpan.ts"
import { oneLine } from "./internal/logs/textOfOthers.ts"

/**
 * How much is kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Spans that are kept. At least 1; default 10 000. */
  readonly maxSpans?: number | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { maxSpans: 10_000 } as const satisfies Options

/**
 * An event of a span.
 *
 * @category models
 * @since 0.1.0
 */
export interface EventRecord {
  readonly name: string
  readonly timeUnixNano: bigint
  readonly attributes: Readonly<Record<string, unknown>>
}

/**
 * A span as it was when it was asked for.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpanRecord {
  readonly traceId: string
  readonly spanId: string
  /** Absent for a root. */
  readonly parentSpanId: string | undefined
  readonly name: string
  readonly kind: Tracer.SpanKind
  readonly startTimeUnixNano: bigint
  /** Absent while it runs. */
  readonly endTimeUnixNano: bigint | undefined
  readonly status: "running" | "ok" | "error" | "interrupted"
  /** Of an error, the first line of its message. */
  readonly message: string | undefined
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: ReadonlyArray<EventRecord>
}

/**
 * A span and those below it, in the order in which they began.
 *
 * @category models
 * @since 0.1.0
 */
export interface SpanTree {
  readonly span: SpanRecord
  readonly children: ReadonlyArray<SpanTree>
}

/**
 * The parts of each span that are written.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextOptions {
  /** Attributes that are written of every span that has them, by name. Default: none. */
  readonly attributes?: ReadonlyArray<string> | undefined
  /** Whether events are written, with their attributes. Default `true`. */
  readonly events?: boolean | undefined
}

/**
 * The spans of a test.
 *
 * @category services
 * @since 0.1.0
 */
export class MemoryTracer extends Context.Service<
  MemoryTracer,
  {
    /** All spans that are kept, in the order in which they began. */
    readonly spans: Effect.Effect<ReadonlyArray<SpanRecord>>
    /** The same as trees. A span whose parent is not kept is the root of one. */
    readonly trees: Effect.Effect<ReadonlyArray<SpanTree>>
    /** The same as text without times and identifiers: the same for each run that does the same, one line a span or event. */
    readonly text: (options?: TextOptions) => Effect.Effect<string>
    /** Sampled spans that were not kept, because there were `maxSpans` already. */
    readonly missed: Effect.Effect<number>
    /** Forgets all spans. */
    readonly clear: Effect.Effect<void>
  }
>()("@holdfast/telemetry/MemoryTracer") {}

/**
 * All spans that are kept, in the order in which they began.
 *
 * @category accessors
 * @since 0.1.0
 */
export const spans: Effect.Effect<ReadonlyArray<SpanRecord>, never, MemoryTracer> = Effect.flatMap(
  MemoryTracer,
  (tracer) => tracer.spans
)

/**
 * The spans as trees. A span whose parent is not kept is the root of one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const trees: Effect.Effect<ReadonlyArray<SpanTree>, never, MemoryTracer> = Effect.flatMap(
  MemoryTracer,
  (tracer) => tracer.trees
)

/**
 * The spans as text for a snapshot: indented, each with its name, its kind unless that is `internal`, and how it ended; events
 * begin with `*`.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Upstream } from "holdfast"
 * import { MemoryTracer } from "holdfast/telemetry"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.status(503), ScriptedTransport.json({})] })
 * const program = Effect.gen(function* () {
 *   const stock = yield* Stock
 *   yield* stock.get("/items")
 *   console.log(yield* MemoryTracer.text({ events: false }))
 * })
 *
 * await Effect.runPromise(
 *   program.pipe(Effect.provide(Stock.layer), Effect.provide(transport), Effect.provide(MemoryTracer.layer()))
 * )
 * // => stock GET /items: ok
 * // =>   GET /items (client): 503
 * // =>   GET /items (client), resend 1: 200
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const text = (options?: TextOptions): Effect.Effect<string, never, MemoryTracer> =>
  Effect.flatMap(MemoryTracer, (tracer) => tracer.text(options))

/**
 * Forgets all spans.
 *
 * @category accessors
 * @since 0.1.0
 */
export const clear: Effect.Effect<void, never, MemoryTracer> = Effect.flatMap(MemoryTracer, (tracer) => tracer.clear)

const recordOf = (span: RecordedSpan): SpanRecord => ({
  traceId: span.traceId,
  spanId: span.spanId,
  parentSpanId: Option.getOrUndefined(span.parent)?.spanId,
  name: span.name,
  kind: span.kind,
  startTimeUnixNano: span.status.startTime,
  endTimeUnixNano: span.status._tag === "Ended" ? span.status.endTime : undefined,
  ...endingOf(span),
  attributes: Object.fromEntries(span.attributes),
  events: span.events.map(([name, timeUnixNano, attributes]) => ({ name, timeUnixNano, attributes: { ...attributes } }))
})

interface Node {
  readonly span: RecordedSpan
  readonly children: Array<Node>
}

const nodesOf = (kept: ReadonlyArray<RecordedSpan>): ReadonlyArray<Node> => {
  const nodes = new Map<RecordedSpan, Node>()
  const roots: Array<Node> = []
  // a span begins after the one above it
  for (const span of kept) {
    const node: Node = { span, children: [] }
    nodes.set(span, node)
    const above = span.above === undefined ? undefined : nodes.get(span.above)
    if (above === undefined) roots.push(node)
    else above.children.push(node)
  }
  return roots
}

const treeOf = ({ children, span }: Node): SpanTree => ({ span: recordOf(span), children: children.map(treeOf) })

const linesOf = (node: Node, indent: string, options: TextOptions): ReadonlyArray<string> => {
  const { attributes, events, kind, name } = node.span
  const resend = attributes.get("http.request.resend_count")
  const asked = (options.attributes ?? []).flatMap((key) =>
    attributes.has(key) ? [`${key}=${shownValue(attributes.get(key))}`] : []
  )
  const label = `${name}${kind === "internal" ? "" : ` (${kind})`}${resend === undefined ? "" : `, resend ${shownValue(resend)}`}`
  const shownEvents = options.events === false ? [] : events
  return [
    `${indent}${oneLine(`${label}: ${[outcomeOf(node.span), ...asked].join(" ")}`)}`,
    ...shownEvents.map(([name, , attributes]) => {
      const pairs = Object.entries(attributes).map(([key, value]) => `${key}=${shownValue(value)}`)
      return `${indent}  * ${oneLine([name, ...pairs].join(" "))}`
    }),
    ...node.children.flatMap((child) => linesOf(child, `${indent}  `, options))
  ]
}

/**
 * Keeps spans from now on. Throws a `RangeError` that names the option which is out of range.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<MemoryTracer> => {
  const maxSpans = options.maxSpans ?? defaults.maxSpans
  if (!(Number.isInteger(maxSpans) && maxSpans >= 1)) {
    throw new RangeError(`MemoryTracer: maxSpans must be a whole number of at least 1, got ${maxSpans}`)
  }
  return Layer.effectContext(
    Effect.sync(() => {
      let kept: Array<RecordedSpan> = []
      let missed = 0
      const keeper = { ended: (): void => {} }
      const tracer = Tracer.make({
        span: (given) => {
          const span = new RecordedSpan(given, keeper)
          if (span.sampled) {
            if (kept.length < maxSpans) kept.push(span)
            else missed++
          }
          return span
        }
      })
      const service: MemoryTracer["Service"] = {
        spans: Effect.sync(() => kept.map(recordOf)),
        trees: Effect.sync(() => nodesOf(kept).map(treeOf)),
        text: (options = {}) =>
          Effect.sync(() =>
            nodesOf(kept)
              .flatMap((node) => linesOf(node, "", options))
              .join("\n")
          ),
        missed: Effect.sync(() => missed),
        clear: Effect.sync(() => {
          kept = []
          missed = 0
        })
      }
      return Context.add(Context.make(MemoryTracer, service), Tracer.Tracer, tracer)
    })
  )
}
