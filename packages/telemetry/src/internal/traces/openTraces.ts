/**
 * The spans of traces that are under way, bounded: in how many traces there are, and in how many spans one may have. A trace leaves
 * when all of its spans have ended, or when it is too long, or when too many others are under way, oldest first.
 */

import type { RecordedSpan } from "./recordedSpan.ts"

export interface OpenTrace {
  readonly root: RecordedSpan
  /** In the order in which they began, the root first. */
  readonly spans: Array<RecordedSpan>
  /** How many of them have not ended. */
  running: number
}

/** Why a trace is shown now. */
export type Leaving = "ended" | "too-long" | "too-many" | "closed"

export class OpenTraces {
  private readonly traces = new Map<RecordedSpan, OpenTrace>()
  private readonly ofSpan = new Map<RecordedSpan, OpenTrace>()
  private readonly maxTraces: number
  private readonly maxSpans: number
  private readonly leave: (trace: OpenTrace, why: Leaving) => void

  constructor(maxTraces: number, maxSpans: number, leave: (trace: OpenTrace, why: Leaving) => void) {
    this.maxTraces = maxTraces
    this.maxSpans = maxSpans
    this.leave = leave
  }

  /** A span began. One whose trace has left already begins a trace of its own. */
  began(span: RecordedSpan): void {
    const above = span.above === undefined ? undefined : this.ofSpan.get(span.above)
    if (above !== undefined) {
      above.spans.push(span)
      above.running++
      this.ofSpan.set(span, above)
      if (above.spans.length >= this.maxSpans) this.remove(above, "too-long")
      return
    }
    const trace: OpenTrace = { root: span, spans: [span], running: 1 }
    this.traces.set(span, trace)
    this.ofSpan.set(span, trace)
    if (this.traces.size <= this.maxTraces) return
    const oldest = this.traces.values().next().value
    if (oldest !== undefined) this.remove(oldest, "too-many")
  }

  ended(span: RecordedSpan): void {
    const trace = this.ofSpan.get(span)
    if (trace === undefined) return
    trace.running--
    if (trace.running === 0) this.remove(trace, "ended")
  }

  /** Lets all leave that there are. */
  close(): void {
    for (const trace of [...this.traces.values()]) this.remove(trace, "closed")
  }

  private remove(trace: OpenTrace, why: Leaving): void {
    this.traces.delete(trace.root)
    for (const span of trace.spans) this.ofSpan.delete(span)
    this.leave(trace, why)
  }
}
