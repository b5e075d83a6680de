/** Which reason an exchange ends with, when its connection or its decoder failed: what an error says in the words of the catalogue. */

import { AssertionError } from "node:assert"
import * as Reason from "@holdfast/core/Reason"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import type { Broken } from "./decoding.ts"
import { BodyError, NotBegunError, NotHttp2Error, UnprocessedError } from "./wire.ts"

/** An exchange that its connection failed. */
export interface Cut {
  readonly endpoint: string
  readonly phase: Reason.Phase
  readonly error: unknown
  /** Whether less of the body came than was announced. */
  readonly isShort: boolean
  /** Whether the connection had been used before, and nothing of this response came over it. */
  readonly isStale: boolean
  /** Whether it is certain that the server did nothing with the request. */
  readonly isUntouched: boolean
  /** Whether the response's head had begun. */
  readonly inHead: boolean
}

/** The reason of a cut, with how far the request is known to have come. */
export const reasonOfCut = (cut: Cut): Reason.TransportReason => {
  const { endpoint, error, inHead, isShort, isStale, isUntouched, phase } = cut
  const reason = reasonOf(error, { endpoint, phase })
  if (isShort && reason._tag === "MalformedResponse") {
    return new Reason.ResponseTruncated({ endpoint, phase, ...codeOf(reason) })
  }
  if (reason._tag !== "ConnectionClosed" && reason._tag !== "ConnectionReset") return reason
  if (!isStale && !isUntouched && !inHead) return reason
  const Ended = reason._tag === "ConnectionClosed" ? Reason.ConnectionClosed : Reason.ConnectionReset
  return new Ended({
    endpoint,
    phase: reason.phase,
    ...codeOf(reason),
    ...(isStale ? { stale: true } : {}),
    ...(inHead ? { inHead } : {}),
    ...(isUntouched && reason.phase !== "connect" ? { unprocessed: true } : {})
  })
}

/** Whether a reason says that the connection was stale. */
export const saysStale = (reason: Reason.TransportReason): boolean => "stale" in reason && reason.stale === true

/**
 * Whether it is certain that the server did nothing with the request. The system takes the bytes of one write whole or not at all, so that
 * a write which failed sent nothing of it.
 */
export const isUntouched = (error: NodeJS.ErrnoException, phase: Reason.Phase, isOneWrite: boolean): boolean => {
  if (phase === "receive") return false
  return (
    phase === "connect" ||
    error instanceof NotBegunError ||
    error instanceof UnprocessedError ||
    (error.syscall === "write" && isOneWrite)
  )
}

/** The reason of a body whose coding is broken, or ends too early. */
export const reasonOfBroken = (
  { code, isCut }: Broken,
  endpoint: string,
  coding: string | undefined
): Reason.TransportReason => {
  const given = { endpoint, phase: "receive" as const, ...(code === undefined ? {} : { code }) }
  return isCut
    ? new Reason.ResponseTruncated({ ...given, detail: `its ${coding} coding is cut short` })
    : new Reason.MalformedResponse({ ...given, detail: `its ${coding} coding is broken` })
}

/** Whether the head was longer than undici reads. */
export const isHeadOverflow = (error: NodeJS.ErrnoException): boolean => error.code === "UND_ERR_HEADERS_OVERFLOW"

/**
 * The reason that an error stands for. An exchange has a connection whose handshake is done, so that TLS which breaks is a damaged
 * record: the classifier, which knows no transport's phases for sure, would say that the handshake failed, and so that nothing was
 * sent.
 */
export const reasonOf = (error: unknown, circumstances: FailureClassifier.Circumstances): Reason.TransportReason => {
  const { endpoint, phase } = circumstances
  // a status that there is not, such as 000, or a 101 that nobody asked for, is an assertion that fails in undici
  if (error instanceof AssertionError) {
    return new Reason.MalformedResponse({
      endpoint,
      phase,
      code: error.code,
      detail: "the status is none that it can have"
    })
  }
  if (error instanceof NotHttp2Error || isSettings(error)) {
    const detail =
      error instanceof NotHttp2Error
        ? "its first bytes are not HTTP/2; for HTTP/1.1 set http2: false, or true to let TLS decide"
        : "it speaks HTTP/2 and was spoken to in HTTP/1.1; set http2: true over TLS, and http2: { priorKnowledge: true } without"
    return new Reason.MalformedResponse({ endpoint, phase, code: Reason.otherVersion, detail })
  }
  if (error instanceof BodyError) {
    return new Reason.TransportFailed({ endpoint, phase, ...codeOf(error), detail: "the body of the request failed" })
  }
  const reason = FailureClassifier.classify(error, circumstances)
  if (reason._tag !== "TlsHandshakeFailed") return reason
  return new Reason.MalformedResponse({ endpoint, phase, ...codeOf(reason), detail: "a record of TLS is damaged" })
}

/** Whether undici's parser was given a frame SETTINGS on stream 0, with which a server of HTTP/2 begins (RFC 9113 §3.4, §6.5). */
const isSettings = (error: unknown): boolean => {
  if (!(error instanceof Error && "data" in error && typeof error.data === "string")) return false
  // three bytes of length, of which the first is none, the type 4, no flags, and the stream
  return error.data.startsWith("\0") && error.data.slice(3, 9) === "\u0004\0\0\0\0\0"
}

const codeOf = ({ code }: { readonly code?: string }): { readonly code?: string } =>
  code === undefined ? {} : { code }
