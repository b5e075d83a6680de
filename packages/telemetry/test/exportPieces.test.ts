import { assert, describe, it } from "@effect/vitest"
import { HttpBody, HttpClientRequest } from "effect/http"
import {
  bytesOf,
  type Content,
  encodedExport,
  type Encoding,
  halvesOf,
  type Piece,
  piecesOf
} from "../src/internal/otlp/exportPieces.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

/** Numbers as an export: what is negative cannot be encoded. */
const encoding: Encoding<ReadonlyArray<number>> = {
  contentType: "text/plain",
  count: (data) => data.length,
  encode: (data) => {
    if (data.some((one) => one < 0)) throw new Error("negative")
    return bytes(data.join(","))
  },
  fine: (data, isFine) => data.filter((one) => isFine([one]))
}

describe("an export is encoded", () => {
  it("as it is where all of it can be", () => {
    assert.deepStrictEqual(encodedExport([1, 2, 3], encoding), { bytes: bytes("1,2,3"), items: 3, unencodable: 0 })
  })

  it("without what cannot be", () => {
    assert.deepStrictEqual(encodedExport([1, -2, 3, -4, 5], encoding), {
      bytes: bytes("1,3,5"),
      items: 3,
      unencodable: 2
    })
    assert.deepStrictEqual(encodedExport([-1, -2], encoding), { bytes: bytes(""), items: 0, unencodable: 2 })
  })

  it("as nothing where what is left cannot be either", () => {
    const stubborn = { ...encoding, fine: (data: ReadonlyArray<number>) => data.slice(1) }
    assert.deepStrictEqual(encodedExport([-1, -2, -3], stubborn), { bytes: bytes(""), items: 0, unencodable: 1 })
  })
})

const spans = (...names: ReadonlyArray<string>) => ({
  resourceSpans: [{ resource: {}, scopeSpans: [{ scope: { name: "s" }, spans: names.map((name) => ({ name })) }] }]
})

const contentOf = (data: unknown): Content =>
  HttpClientRequest.post("http://collector.test/v1/traces").pipe(
    HttpClientRequest.setBody(HttpBody.uint8Array(bytes(JSON.stringify(data)), "application/json"))
  )

const read = ({ content: { body }, items }: Piece) => {
  if (body._tag !== "Uint8Array") throw new Error(`no bytes: ${body._tag}`)
  assert.strictEqual(body.contentType, "application/json")
  const { resourceSpans } = JSON.parse(new TextDecoder().decode(body.body))
  const names: ReadonlyArray<string> = resourceSpans[0].scopeSpans[0].spans.map(({ name }: { name: string }) => name)
  assert.strictEqual(names.length, items)
  return names
}

describe("a batch", () => {
  const content = contentOf(spans("a", "b", "c", "d", "e"))
  const whole = { content, items: 5 }

  it("stays as it is within the limit, and where it is of one item", () => {
    assert.deepStrictEqual(piecesOf("traces", whole, bytesOf(content)), [whole])
    const one = { content: contentOf(spans("a")), items: 1 }
    assert.deepStrictEqual(piecesOf("traces", one, 1), [one])
  })

  it("is cut beyond the limit into pieces that are within it, with every item once", () => {
    const around = bytesOf(contentOf(spans()))
    const item = bytesOf(contentOf(spans("a"))) - around
    const pieces = piecesOf("traces", whole, bytesOf(content) - 1)
    assert.deepStrictEqual(pieces.flatMap(read), ["a", "b", "c", "d", "e"])
    assert.isAbove(pieces.length, 1)
    for (const { content } of pieces) assert.isAtMost(bytesOf(content), bytesOf(whole.content) - 1)
    // four commas are around the items, and eight bytes are set aside for the tag and length that an item may have
    const two = around + 4 + 2 * (item + 8)
    assert.deepStrictEqual(piecesOf("traces", whole, two).map(read), [["a", "b"], ["c", "d"], ["e"]])
    assert.lengthOf(piecesOf("traces", whole, two - 1), 5)
    assert.deepStrictEqual(
      piecesOf("traces", whole, 1).map(read),
      ["a", "b", "c", "d", "e"].map((name) => [name])
    )
  })

  it("has two halves, of which the first is the larger", () => {
    const [first, second] = halvesOf("traces", whole)
    assert.deepStrictEqual(
      [read(first()), read(second())],
      [
        ["a", "b", "c"],
        ["d", "e"]
      ]
    )
  })

  it("has a size only where it is of bytes", () => {
    assert.strictEqual(bytesOf(contentOf({})), 2)
    assert.strictEqual(bytesOf(HttpClientRequest.post("http://collector.test")), 0)
  })
})
