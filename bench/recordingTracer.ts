// A tracer that keeps what it is given, as an exporter does until it sends a batch, and lets the oldest go.

import * as Layer from "effect/Layer"
import * as Tracer from "effect/Tracer"

const kept = 2048

export const recordingTracer = (): Layer.Layer<never> => {
  const spans: Array<Tracer.Span> = []
  let next = 0
  return Layer.succeed(
    Tracer.Tracer,
    Tracer.make({
      span: (options) => {
        const span = new Tracer.NativeSpan(options)
        spans[next] = span
        next = (next + 1) % kept
        return span
      }
    })
  )
}
