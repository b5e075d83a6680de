/**
 * The meaning of a receiver's answer to an export: OTLP/HTTP, "Failures" and "Partial Success"
 * (https://opentelemetry.io/docs/specs/otlp/#otlphttp-response).
 */

import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { oneLine } from "../logs/textOfOthers.ts"

/** The next step for a batch. */
export type Verdict =
  /** It arrived, but for so many of its items. */
  | { readonly _tag: "Arrived"; readonly rejected: number; readonly message: string }
  /** It may be sent again. */
  | { readonly _tag: "Retry"; readonly why: string }
  /** It is more than the receiver takes at once, and may be sent in pieces. */
  | { readonly _tag: "TooLarge"; readonly why: string }
  /** It must not be sent again. */
  | { readonly _tag: "Refused"; readonly why: string }

/** The only ones that may be sent again; any other 4xx or 5xx must not be. */
const retryable: ReadonlySet<number> = new Set([429, 502, 503, 504])

/** The verdict on an answer, of whose body `bytes` were read. */
export const judge = (status: number, contentType: string, bytes: Uint8Array): Verdict => {
  if (status >= 200 && status < 300) {
    const { message, rejected } = partialSuccess(contentType, bytes)
    return { _tag: "Arrived", rejected, message }
  }
  const said = statusMessage(contentType, bytes)
  const why = said === "" ? `status ${status}` : `status ${status}, ${said}`
  if (status === 413) return { _tag: "TooLarge", why }
  return { _tag: retryable.has(status) ? "Retry" : "Refused", why }
}

const isProtobuf = (contentType: string): boolean => contentType.startsWith("application/x-protobuf")

interface PartialSuccess {
  readonly rejected: number
  readonly message: string
}

const complete: PartialSuccess = { rejected: 0, message: "" }

// an int64 is a decimal string in protobuf's JSON, and a number where somebody does not know
const Count = Schema.Union([Schema.String, Schema.Number])

const JsonAnswer = Schema.fromJsonString(
  Schema.Struct({
    partialSuccess: Schema.optionalKey(
      Schema.NullOr(
        Schema.Struct({
          rejectedSpans: Schema.optionalKey(Count),
          rejectedDataPoints: Schema.optionalKey(Count),
          rejectedLogRecords: Schema.optionalKey(Count),
          errorMessage: Schema.optionalKey(Schema.String)
        })
      )
    )
  })
)

const decodeJsonAnswer = Schema.decodeUnknownOption(JsonAnswer)

/** An answer that cannot be read says nothing against its status. */
const partialSuccess = (contentType: string, bytes: Uint8Array): PartialSuccess => {
  if (bytes.length === 0) return complete
  if (isProtobuf(contentType)) {
    const message = field(bytes, 1)
    if (!(message instanceof Uint8Array)) return complete
    const rejected = field(message, 1)
    return { rejected: typeof rejected === "bigint" ? Number(rejected) : 0, message: text(message, 2) }
  }
  const answer = Option.getOrUndefined(decodeJsonAnswer(shown(bytes)))?.partialSuccess
  if (answer == null) return complete
  const rejected = Number(answer.rejectedSpans ?? answer.rejectedDataPoints ?? answer.rejectedLogRecords ?? 0)
  return { rejected: rejected > 0 ? rejected : 0, message: shortLine(answer.errorMessage ?? "") }
}

const JsonStatus = Schema.fromJsonString(Schema.Struct({ message: Schema.String }))
const decodeJsonStatus = Schema.decodeUnknownOption(JsonStatus)

/** The message of a `google.rpc.Status`, which receivers answer failures with. */
const statusMessage = (contentType: string, bytes: Uint8Array): string => {
  if (isProtobuf(contentType)) return text(bytes, 2)
  return shortLine(Option.getOrUndefined(decodeJsonStatus(shown(bytes)))?.message ?? "")
}

const shown = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const longestMessage = 200

/** A receiver's words for logs: one line of them, and a short one. */
const shortLine = (message: string): string => oneLine(message).replace(/\s+/g, " ").trim().slice(0, longestMessage)

const text = (message: Uint8Array, number: number): string => {
  const value = field(message, number)
  return value instanceof Uint8Array ? shortLine(shown(value)) : ""
}

/** The last varint or the last bytes with this number in a protobuf message; nothing, where the message is broken. */
const field = (message: Uint8Array, wanted: number): bigint | Uint8Array | undefined => {
  let found: bigint | Uint8Array | undefined
  let at = 0
  const varint = (): bigint | undefined => {
    let value = 0n
    for (let shift = 0n; shift < 70n; shift += 7n) {
      const byte = message[at++]
      if (byte === undefined) return undefined
      value |= BigInt(byte & 127) << shift
      if (byte < 128) return value
    }
    return undefined
  }
  while (at < message.length) {
    const tag = varint()
    if (tag === undefined) return undefined
    const isWanted = tag >> 3n === BigInt(wanted)
    const wireType = tag & 7n
    if (wireType === 0n) {
      const value = varint()
      if (value === undefined) return undefined
      if (isWanted) found = value
    } else if (wireType === 2n) {
      const length = varint()
      if (length === undefined || BigInt(at) + length > BigInt(message.length)) return undefined
      if (isWanted) found = message.subarray(at, at + Number(length))
      at += Number(length)
    } else if (wireType === 1n) at += 8
    else if (wireType === 5n) at += 4
    else return undefined
  }
  return found
}
