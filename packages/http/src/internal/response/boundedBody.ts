/** How much of a body is read, and when the rest is given up. */

import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { HttpClientError } from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"

/** The part of a body that was read. */
export interface Read {
  readonly bytes: Uint8Array<ArrayBuffer>
  /** Whether it is the whole body. */
  readonly complete: boolean
  /** Bytes that had come when reading stopped. */
  readonly size: number
}

export const concat = (chunks: ReadonlyArray<Uint8Array>, length: number): Uint8Array<ArrayBuffer> => {
  const whole = new Uint8Array(length)
  let offset = 0
  for (const chunk of chunks) {
    const part = chunk.subarray(0, length - offset)
    whole.set(part, offset)
    offset += part.length
  }
  return whole
}

/** A response without any body (a 204, by `fetch`) has no stream to read, which is no failure of the wire. */
export const hasNoBody = (error: HttpClientError): boolean => error.reason._tag === "EmptyBodyError"

/** A body on its way in. */
interface Reading {
  readonly chunks: Array<Uint8Array>
  kept: number
  size: number
}

const makeReading = (): Reading => ({ chunks: [], kept: 0, size: 0 })

/**
 * Reads a body, keeps `keep` bytes of it, and stops when more than `bound` have come. A body that is not read to its end is
 * aborted, because a stream of Effect's client aborts its request when it is left early.
 */
const readInto = (
  reading: Reading,
  response: HttpClientResponse,
  bound: number,
  keep: number
): Effect.Effect<void, HttpClientError> =>
  response.stream.pipe(
    Stream.runForEachWhile((chunk) =>
      Effect.sync(() => {
        reading.size += chunk.length
        if (reading.kept < keep) {
          reading.chunks.push(chunk)
          reading.kept = Math.min(keep, reading.kept + chunk.length)
        }
        return reading.size <= bound
      })
    ),
    Effect.catchIf(hasNoBody, () => Effect.void)
  )

const readOf = ({ chunks, kept, size }: Reading, isWhole: boolean): Read => ({
  bytes: concat(chunks, kept),
  complete: isWhole && kept === size,
  size
})

/** Reads a body, keeps `keep` bytes of it, and aborts it when more than `bound` have come. */
export const readBounded = (
  response: HttpClientResponse,
  bound: number,
  keep: number
): Effect.Effect<Read, HttpClientError> =>
  Effect.suspend(() => {
    const reading = makeReading()
    return Effect.map(readInto(reading, response, bound, keep), () => readOf(reading, reading.size <= bound))
  })

/**
 * Reads what is left of a response that nobody wants, so that its connection can be used again; aborts it when that takes
 * more than `bytes` or `time`. Whatever comes of it is of no interest.
 */
export const discard = (response: HttpClientResponse, bytes: number, time: Duration.Duration): Effect.Effect<void> =>
  readBounded(response, Number(response.headers["content-length"] ?? 0) > bytes ? 0 : bytes, 0).pipe(
    Effect.timeoutOption(time),
    Effect.ignore
  )

/** Reads an error's body within the bounds, keeping what came when time ran out or the connection broke. */
export const readErrorBody = (
  response: HttpClientResponse,
  limits: { readonly drainBytes: number; readonly errorBytes: number; readonly drainTime: Duration.Duration }
): Effect.Effect<Read> =>
  Effect.suspend(() => {
    const reading = makeReading()
    return readInto(reading, response, limits.drainBytes, limits.errorBytes).pipe(
      Effect.timeoutOption(limits.drainTime),
      Effect.match({
        onFailure: () => readOf(reading, false),
        onSuccess: (inTime) => readOf(reading, Option.isSome(inTime) && reading.size <= limits.drainBytes)
      })
    )
  })
