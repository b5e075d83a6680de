import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { HttpClientError } from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"

/** What was read of a body. */
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

/**
 * Reads a body, keeps `keep` bytes of it, and stops when more than `bound` have come. A body that is not read to its end is
 * aborted, because a stream of Effect's client aborts its request when it is left early.
 */
export const readBounded = (
  response: HttpClientResponse,
  bound: number,
  keep: number
): Effect.Effect<Read, HttpClientError> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let kept = 0
    let size = 0
    return response.stream.pipe(
      Stream.runForEachWhile((chunk) =>
        Effect.sync(() => {
          size += chunk.length
          if (kept < keep) {
            chunks.push(chunk)
            kept = Math.min(keep, kept + chunk.length)
          }
          return size <= bound
        })
      ),
      Effect.catchIf(hasNoBody, () => Effect.void),
      Effect.map(() => ({ bytes: concat(chunks, kept), complete: size <= bound && kept === size, size }))
    )
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
  readBounded(response, limits.drainBytes, limits.errorBytes).pipe(
    Effect.timeoutOption(limits.drainTime),
    Effect.orElseSucceed(Option.none<Read>),
    Effect.map(Option.getOrElse((): Read => ({ bytes: new Uint8Array(0), complete: false, size: 0 })))
  )
