/** A tracer that keeps its spans, and what tests ask of them. */
import { Cause, Effect, Exit, Option, Tracer } from "effect"

/** A tracer, all spans that it has made, and what spans were told after their end, of which other tracers complain. */
export const keeping = () => {
  const spans: Array<Tracer.NativeSpan> = []
  const late: Array<string> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      const event = span.event.bind(span)
      span.event = (name, ...rest) => {
        if (span.status._tag === "Ended") late.push(name)
        event(name, ...rest)
      }
      spans.push(span)
      return span
    }
  })
  return { spans, tracer, late }
}

/** A span in a few words. Times are milliseconds since it began. */
export const shown = (span: Tracer.NativeSpan) => {
  const since = (nanos: bigint): number => Number(nanos - span.status.startTime) / 1e6
  return {
    name: span.name,
    kind: span.kind,
    parent: Option.getOrUndefined(span.parent)?.spanId,
    spanId: span.spanId,
    millis: span.status._tag === "Ended" ? since(span.status.endTime) : undefined,
    exit: span.status._tag === "Ended" ? exitShown(span.status.exit) : "runs",
    attributes: Object.fromEntries(span.attributes),
    events: span.events.map(([name, at, attributes]) => [name, since(at), attributes] as const),
    links: span.links.map(({ attributes, span }) => [span.spanId, attributes] as const)
  }
}

/** How a span ended, as exporters see it: the name and message of each error. */
const exitShown = (exit: Exit.Exit<unknown, unknown>): string => {
  if (Exit.isSuccess(exit)) return "success"
  if (Cause.hasInterruptsOnly(exit.cause)) return "interrupted"
  return Cause.prettyErrors(exit.cause, { includeCauseInStack: true })
    .map(({ name, message, stack }) => {
      const line = `${name}: ${message}`
      return stack === line ? line : `${line} (${stack})`
    })
    .join("; ")
}

/** Runs with a tracer, and gives what was recorded, however it ended. */
export const traced = <A, E, R>(self: Effect.Effect<A, E, R>) => {
  const { spans, tracer } = keeping()
  return Effect.map(Effect.exit(Effect.provideService(self, Tracer.Tracer, tracer)), () => spans.map(shown))
}
