import type { Transform } from "node:stream"
import * as zlib from "node:zlib"

/** How a body may be coded on the way (RFC 9110 §8.4.1, RFC 7932, RFC 8878). */
export type Coding = "gzip" | "br" | "zstd"

/** What a request says it takes. */
export const acceptedCodings = "gzip, br, zstd"

/** The coding of a response's body, if it is one of these. What is coded twice, or in another way, is left as it is. */
export const codingOf = (contentEncoding: string | undefined): Coding | undefined => {
  if (contentEncoding === undefined) return undefined
  const name = contentEncoding.trim().toLowerCase()
  if (name === "gzip" || name === "x-gzip") return "gzip"
  return name === "br" || name === "zstd" ? name : undefined
}

/**
 * Decodes as it is fed. Whoever reads it counts what comes out: a few bytes may stand for any number. A body that ends too early
 * is an error, unless `cut` says that it was cut here.
 */
export const makeDecoder = (coding: Coding, cut: boolean): Transform => {
  const { constants } = zlib
  switch (coding) {
    case "gzip":
      return zlib.createGunzip(cut ? { finishFlush: constants.Z_SYNC_FLUSH } : {})
    case "br":
      return zlib.createBrotliDecompress(cut ? { finishFlush: constants.BROTLI_OPERATION_FLUSH } : {})
    case "zstd":
      return zlib.createZstdDecompress(cut ? { finishFlush: constants.ZSTD_e_flush } : {})
  }
}
