/** The record of a span, and its end in a word. */

import * as Cause from "effect/Cause"
import type * as Exit from "effect/Exit"
import * as Tracer from "effect/Tracer"

type Options = ConstructorParameters<typeof Tracer.NativeSpan>[0]

/** Hears of a span's life. */
export interface Keeper {
  readonly ended: (span: RecordedSpan) => void
}

/** Effect's own span, which tells when it ends and knows the spans of the same tracer that are right below it. */
export class RecordedSpan extends Tracer.NativeSpan {
  /** The span above it, when the same tracer made it. */
  readonly above: RecordedSpan | undefined
  private readonly keeper: Keeper

  constructor(options: Options, keeper: Keeper) {
    super(options)
    this.keeper = keeper
    const parent = options.parent._tag === "Some" ? options.parent.value : undefined
    this.above = parent instanceof RecordedSpan && parent.keeper === keeper ? parent : undefined
  }

  override end(endTime: bigint, exit: Exit.Exit<unknown, unknown>): void {
    if (this.status._tag === "Ended") return
    super.end(endTime, exit)
    this.keeper.ended(this)
  }
}

/** How a span ended, in a word, and why. */
export interface Ending {
  readonly status: "running" | "ok" | "error" | "interrupted"
  /** Of an error, the first line of its message. */
  readonly message: string | undefined
}

export const endingOf = (span: Tracer.Span): Ending => {
  if (span.status._tag === "Started") return { status: "running", message: undefined }
  const { exit } = span.status
  if (exit._tag === "Success") return { status: "ok", message: undefined }
  if (Cause.hasInterruptsOnly(exit.cause)) return { status: "interrupted", message: undefined }
  const [error] = Cause.prettyErrors(exit.cause)
  const line = error?.message.split("\n", 1)[0] ?? ""
  return { status: "error", message: line === "" ? (error?.name ?? "failed") : line }
}

/**
 * The end of a span in short: the status of the response, the type of the error, its message where there is no type, or that it
 * was interrupted or runs still.
 */
export const outcomeOf = (span: Tracer.Span): string => {
  const ending = endingOf(span)
  const status = span.attributes.get("http.response.status_code")
  const type = span.attributes.get("error.type")
  const shown = [
    ...(status === undefined ? [] : [String(status)]),
    ...(type === undefined || String(type) === String(status) ? [] : [String(type)])
  ]
  switch (ending.status) {
    case "running":
      return [...shown, "still running"].join(", ")
    case "interrupted":
      return [...shown, "interrupted"].join(", ")
    case "error":
      return type === undefined ? [...shown, ending.message].join(", ") : shown.join(", ")
    case "ok":
      return shown.length === 0 ? "ok" : shown.join(", ")
  }
}

/** How a value of an attribute is written. */
export const shownValue = (value: unknown): string => {
  if (typeof value === "string") return value
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(3)))
  if (typeof value === "object" && value !== null) {
    try {
      return JSON.stringify(value) ?? "?"
    } catch {
      return "?"
    }
  }
  return String(value)
}
