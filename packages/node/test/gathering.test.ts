import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { Gathering } from "../src/internal/exchange/gathering.ts"

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

/** Pieces of these lengths, in which every byte tells its place. */
const piecesOf = (lengths: ReadonlyArray<number>): ReadonlyArray<Uint8Array> => {
  let place = 0
  return lengths.map((length) => Uint8Array.from({ length }, () => place++ % 251))
}

const someLengths = Arbitrary.array(int(0, 40), { maxLength: 200 })
const allLengths = Arbitrary.array(int(0, 3000), { maxLength: 60 })

describe("a gathering", () => {
  for (const [kind, lengths] of [
    ["small ones", someLengths],
    ["any", allLengths]
  ] as const) {
    it.prop(`gives what was added, in order: of ${kind}`, [lengths], ([lengths]) => {
      const pieces = piecesOf(lengths)
      const gathering = new Gathering()
      for (const piece of pieces) gathering.add(piece)
      assert.strictEqual(gathering.length, Buffer.concat(pieces).length)
      assert.deepStrictEqual(Buffer.from(gathering.whole()), Buffer.concat(pieces))
      assert.strictEqual(gathering.length, 0)
    })
  }

  it.prop(
    "that is emptied in between gives everything once, and what was given is not written to again",
    [Arbitrary.array(int(0, 40), { maxLength: 200 }), int(1, 9)],
    ([lengths, every]) => {
      const pieces = piecesOf(lengths)
      const gathering = new Gathering()
      const taken: Array<Uint8Array> = []
      const copies: Array<Buffer> = []
      pieces.forEach((piece, index) => {
        gathering.add(piece)
        if (index % every !== 0) return
        for (const given of gathering.take()) {
          taken.push(given)
          copies.push(Buffer.from(given))
        }
      })
      const rest = gathering.whole()
      assert.deepStrictEqual(Buffer.concat([...taken, rest]), Buffer.concat(pieces))
      assert.deepStrictEqual(
        taken.map((given) => Buffer.from(given)),
        copies
      )
    }
  )

  it("many small pieces do not hold the large buffers that they are views of", () => {
    const gathering = new Gathering()
    for (let count = 0; count < 1000; count++) gathering.add(new Uint8Array(65_536).subarray(0, 10))
    const held = new Set(gathering.take().map(({ buffer }) => buffer))
    let bytes = 0
    for (const { byteLength } of held) bytes += byteLength
    // the first one is kept as it came
    assert.isBelow(bytes, 65_536 + 3 * 10_000)
  })

  it("a piece of a kilobyte or more is kept as it is, and a smaller one is copied, but for the first", () => {
    const gathering = new Gathering()
    const pieces = [new Uint8Array(10), new Uint8Array(1024), new Uint8Array(1023), new Uint8Array(5000)]
    for (const piece of pieces) gathering.add(piece)
    const given = gathering.take()
    assert.deepStrictEqual(
      given.map((piece) => pieces.findIndex((one) => one === piece)),
      [0, 1, -1, 3]
    )
    gathering.add(pieces[0] ?? new Uint8Array(0))
    assert.strictEqual(gathering.whole(), pieces[0], "one that is alone is given as it came")
  })

  it("small pieces are put together in blocks of 4 KB, and twice as large each time, up to 64 KB", () => {
    const gathering = new Gathering()
    for (let count = 0; count <= 400; count++) gathering.add(new Uint8Array(1000))
    const sizes = gathering.take().map(({ buffer }) => buffer.byteLength)
    assert.deepStrictEqual(sizes.slice(0, 8), [1000, 4096, 8192, 16_384, 32_768, 65_536, 65_536, 65_536])
  })

  it("a block that has room goes on being used after what was in it was taken", () => {
    const gathering = new Gathering()
    gathering.add(new Uint8Array(2000))
    gathering.add(Uint8Array.of(1))
    const [, first] = gathering.take()
    gathering.add(new Uint8Array(2000))
    gathering.add(Uint8Array.of(2))
    const [, second] = gathering.take()
    assert.strictEqual(second?.buffer, first?.buffer)
    assert.deepStrictEqual([...(first ?? []), ...(second ?? [])], [1, 2])
  })
})
