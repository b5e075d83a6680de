import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { ProtobufWriter } from "../src/internal/otlp/protobufWriter.ts"

/** What the writer writes, written again as the specification says it, a list of bytes at a time. */
type Bytes = ReadonlyArray<number>

const varint = (value: bigint): Bytes =>
  value < 128n ? [Number(value)] : [Number(value & 127n) | 128, ...varint(value >> 7n)]

const tag = (field: number, wireType: number): Bytes => varint(BigInt(field * 8 + wireType))

const delimited = (field: number, content: Bytes): Bytes => [
  ...tag(field, 2),
  ...varint(BigInt(content.length)),
  ...content
]

const little = (value: bigint, bytes: number): Bytes =>
  Array.from({ length: bytes }, (_, index) => Number((BigInt.asUintN(64, value) >> BigInt(8 * index)) & 255n))

const written = (write: (writer: ProtobufWriter) => void, capacity?: number): Bytes => {
  const writer = new ProtobufWriter(capacity)
  write(writer)
  return [...writer.finish()]
}

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

describe("the protobuf writer", () => {
  it("writes numbers as varints of as few bytes as they need, up to the largest safe integer", () => {
    for (const value of [0, 1, 127, 128, 300, 2 ** 14 - 1, 2 ** 14, 2 ** 31, 2 ** 32, 2 ** 35 + 5, 2 ** 53 - 1]) {
      const expected = [...tag(3, 0), ...varint(BigInt(value))]
      assert.deepStrictEqual(
        written((writer) => writer.varint(3, value)),
        expected,
        String(value)
      )
    }
    assert.deepStrictEqual(
      written((writer) => {
        writer.bool(1, true)
        writer.bool(1, false)
      }),
      [8, 1, 8, 0]
    )
  })

  it("writes a field's number whatever it is", () => {
    for (const field of [1, 15, 16, 2047, 2048, 2 ** 29 - 1]) {
      assert.deepStrictEqual(
        written((writer) => writer.varint(field, 1)),
        [...tag(field, 0), 1]
      )
    }
  })

  it("writes an int64 as its two's complement: ten bytes below zero", () => {
    for (const value of [0n, 1n, 127n, 128n, -1n, -128n, 2n ** 63n - 1n, -(2n ** 63n)]) {
      const bytes = written((writer) => writer.int64(2, value))
      assert.deepStrictEqual(bytes, [...tag(2, 0), ...varint(BigInt.asUintN(64, value))], String(value))
      if (value < 0n) assert.lengthOf(bytes, 11)
    }
  })

  it("writes what has a fixed width with its lowest byte first", () => {
    for (const value of [0n, 1n, 0x0102030405060708n, -2n, 2n ** 64n - 1n]) {
      assert.deepStrictEqual(
        written((writer) => writer.fixed64(1, value)),
        [...tag(1, 1), ...little(value, 8)]
      )
    }
    for (const value of [0, 1, 0x01020304, 2 ** 32 - 1]) {
      assert.deepStrictEqual(
        written((writer) => writer.fixed32(1, value)),
        [...tag(1, 5), ...little(BigInt(value), 4)]
      )
    }
    for (const value of [0, -0.25, 1e300, Number.POSITIVE_INFINITY]) {
      const bytes = Buffer.alloc(8)
      bytes.writeDoubleLE(value)
      assert.deepStrictEqual(
        written((writer) => writer.double(1, value)),
        [...tag(1, 1), ...bytes]
      )
    }
  })

  it("writes the bytes of a hexadecimal text, an odd digit at its end left out", () => {
    assert.deepStrictEqual(
      written((writer) => writer.hexadecimal(1, "00ff7a10")),
      delimited(1, [0, 255, 122, 16])
    )
    assert.deepStrictEqual(
      written((writer) => writer.hexadecimal(1, "00ff7")),
      delimited(1, [0, 255])
    )
    assert.deepStrictEqual(
      written((writer) => writer.hexadecimal(1, "")),
      delimited(1, [])
    )
  })

  it("writes a text as UTF-8, wherever its first character beyond ASCII stands and however long it is", () => {
    const texts = [0, 1, 63, 64, 65, 127, 128, 200, 16_383, 16_384].flatMap((length) => {
      const ascii = "x".repeat(length)
      return [ascii, `ü${ascii}`, `${ascii}ü`, `${ascii}🙂`, `${ascii}\u007f`, `${ascii}\u0080`]
    })
    for (const text of texts) {
      const writer = new ProtobufWriter(0)
      writer.text(5, text)
      const bytes = Buffer.from(text)
      const expected = Buffer.concat([Buffer.from([...tag(5, 2), ...varint(BigInt(bytes.length))]), bytes])
      assert.isTrue(expected.equals(writer.finish()), `${text.length}: ${text.slice(0, 3)}…${text.slice(-3)}`)
    }
  })

  it("puts a message's length before it, however many bytes the length takes, and goes on after it", () => {
    for (const length of [2 ** 7, 2 ** 14, 2 ** 21].flatMap((most) => [most - 1, most, most + 1])) {
      // of one field: its tag, the length of what it holds, and that
      const size = length - 1 - varint(BigInt(length - 5)).length
      const content = Buffer.alloc(size, "content")
      const writer = new ProtobufWriter(0)
      writer.message(2, content, (inner, bytes) => inner.raw(1, bytes))
      writer.varint(3, 7)
      const start = Buffer.from([...tag(2, 2), ...varint(BigInt(length)), ...tag(1, 2), ...varint(BigInt(size))])
      const expected = Buffer.concat([start, content, Buffer.from([24, 7])])
      assert.isTrue(expected.equals(writer.finish()), `${length} bytes`)
    }
    assert.deepStrictEqual(
      written((writer) => writer.message(2, undefined, () => {})),
      [18, 0]
    )
  })

  it("gives what was written and nothing of its spare room, which it does not share", () => {
    const writer = new ProtobufWriter(64)
    writer.varint(1, 1)
    const bytes = writer.finish()
    assert.deepStrictEqual([bytes.length, bytes.buffer.byteLength], [2, 2])
  })

  const piece = Arbitrary.all({ kind: int(0, 6), field: int(1, 40), size: int(0, 300) })

  it.prop(
    "however small it begins and wherever it has to grow, what was written before is kept",
    [Arbitrary.array(piece, { maxLength: 40 }), int(0, 40)],
    ([pieces, capacity]) => {
      const reference = ({ field, kind, size }: (typeof pieces)[number]): Bytes => {
        switch (kind) {
          case 0:
            return [...tag(field, 0), ...varint(BigInt(size))]
          case 1:
            return [...tag(field, 0), ...varint(BigInt.asUintN(64, BigInt(-size)))]
          case 2:
            return [...tag(field, 1), ...little(BigInt(size), 8)]
          case 3:
            return [...tag(field, 5), ...little(BigInt(size), 4)]
          case 4:
            return delimited(field, new Array(size).fill(9))
          case 5:
            return delimited(field, [...Buffer.from("a".repeat(size))])
          default:
            return [...delimited(field, [...tag(1, 0), ...varint(BigInt(size))]), ...delimited(field, [8, 1])]
        }
      }
      const bytes = written((writer) => {
        for (const { field, kind, size } of pieces) {
          if (kind === 0) writer.varint(field, size)
          else if (kind === 1) writer.int64(field, BigInt(-size))
          else if (kind === 2) writer.fixed64(field, BigInt(size))
          else if (kind === 3) writer.fixed32(field, size)
          else if (kind === 4) writer.raw(field, new Uint8Array(size).fill(9))
          else if (kind === 5) writer.text(field, "a".repeat(size))
          else writer.each(field, [size, 1], (inner, value) => inner.varint(1, value))
        }
      }, capacity)
      assert.deepStrictEqual(bytes, pieces.flatMap(reference))
    }
  )
})
