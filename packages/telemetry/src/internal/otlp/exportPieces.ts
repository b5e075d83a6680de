/** How an export becomes bodies that a receiver takes: encoded without what cannot be, and cut where it is too large to be one. */

import * as HttpBody from "effect/http/HttpBody"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import { cuts, type Signal, type Sliceable, sliceable } from "./otlpSlice.ts"

/** How exports of a signal are encoded. */
export interface Encoding<Data> {
  readonly contentType: string
  readonly count: (data: Data) => number
  readonly encode: (data: Data, items: number) => Uint8Array<ArrayBuffer>
  /** The export without the items of which an export is not fine. */
  readonly fine: (data: Data, isFine: (one: Data) => boolean) => Data
}

export interface Encoded {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly items: number
  /** Items that are left out, because they cannot be encoded. */
  readonly unencodable: number
}

/** Encodes an export, without the items that cannot be. It does not fail: Effect's exporter would drop everything for a minute. */
export const encodedExport = <Data>(data: Data, { count, encode, fine }: Encoding<Data>): Encoded => {
  const items = count(data)
  const whole = encoded(encode, data, items)
  if (whole !== undefined) return { bytes: whole, items, unencodable: 0 }
  const rest = fine(data, (one) => encoded(encode, one, 1) !== undefined)
  const left = count(rest)
  const bytes = encoded(encode, rest, left) ?? new Uint8Array(0)
  return { bytes, items: bytes.length === 0 ? 0 : left, unencodable: items - left }
}

const encoded = <Data>(
  encode: Encoding<Data>["encode"],
  data: Data,
  items: number
): Uint8Array<ArrayBuffer> | undefined => {
  try {
    return encode(data, items)
  } catch {
    return undefined
  }
}

/** The request with which Effect's exporter hands an export over. */
export type Content = HttpClientRequest.HttpClientRequest

/** All of an export, or a part of it. */
export interface Piece {
  readonly content: Content
  readonly items: number
}

/** A batch as it is, or cut where it is larger than a limit. */
export const piecesOf = (signal: Signal, whole: Piece, limitBytes: number): ReadonlyArray<Piece> => {
  const { content, items } = whole
  const bytes = bytesOf(content)
  if (items === 1 || bytes <= limitBytes) return [whole]
  const body = sliceableBody(signal, content)
  const around = bytes - body.sizes.reduce((sum, size) => sum + size, 0)
  const beginnings = cuts(body.sizes, around, limitBytes)
  return beginnings.map((from, index) => pieceOf(content, body, from, beginnings[index + 1] ?? body.sizes.length))
}

/** The two halves of a piece, each made when it is asked for. */
export const halvesOf = (signal: Signal, { content, items }: Piece): readonly [() => Piece, () => Piece] => {
  const body = sliceableBody(signal, content)
  const middle = Math.ceil(items / 2)
  return [() => pieceOf(content, body, 0, middle), () => pieceOf(content, body, middle, items)]
}

export const bytesOf = ({ body }: Content): number => (body._tag === "Uint8Array" ? body.contentLength : 0)

const pieceOf = (content: Content, body: Sliceable, from: number, to: number): Piece => ({
  content: HttpClientRequest.setBody(content, HttpBody.uint8Array(body.slice(from, to), contentTypeOf(content))),
  items: to - from
})

const contentTypeOf = ({ body }: Content): string | undefined =>
  body._tag === "Uint8Array" ? body.contentType : undefined

const sliceableBody = (signal: Signal, { body }: Content): Sliceable =>
  // every body of an export is made by `encodedExport`
  body._tag === "Uint8Array" ? sliceable(signal, body.contentType, body.body) : sliceable(signal, "", new Uint8Array(0))
