import * as zlib from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { type Broken, type Coding, codingOf, Decoder } from "../src/internal/exchange/decoding.ts"
import { gzipHeaderLength } from "../src/internal/exchange/gzip.ts"

const coders = {
  gzip: (text: Uint8Array) => zlib.gzipSync(text),
  br: (text: Uint8Array) => zlib.brotliCompressSync(text),
  zstd: (text: Uint8Array) => zlib.zstdCompressSync(text)
} satisfies Record<Coding, (text: Uint8Array) => Buffer>

const codings = ["gzip", "br", "zstd"] as const

interface Decoded {
  readonly bytes: Buffer
  /** Nothing where all went well. */
  readonly broken: Broken | undefined
  /** How often the end was told, of whichever kind. */
  readonly ends: number
}

/** Gives the pieces to a decoder one after the other, each when there is room for it, and then the end. */
const decode = (coding: Coding, pieces: ReadonlyArray<Buffer>): Promise<Decoded> =>
  new Promise((resolve) => {
    const chunks: Array<Buffer> = []
    let broken: Broken | undefined
    let ends = 0
    let next = 0
    const end = (): void => {
      ends++
      // what would be told a second time comes within some turns
      setTimeout(() => resolve({ bytes: Buffer.concat(chunks), broken, ends }), 2)
    }
    const feed = (): void => {
      while (next < pieces.length && decoder.hasRoom) decoder.write(pieces[next++] ?? Buffer.alloc(0))
      if (next === pieces.length && decoder.hasRoom) {
        next++
        decoder.end()
      }
    }
    const decoder = new Decoder(coding, {
      onDecoded: (chunk) => void chunks.push(chunk),
      onRoom: feed,
      onDecodeEnd: end,
      onDecodeBroken: (given) => {
        broken = given
        end()
      }
    })
    feed()
  })

/** Cuts bytes where the fractions say. */
const split = (bytes: Buffer, fractions: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const places = [0, ...fractions.map((fraction) => (fraction * bytes.length) / 1000), bytes.length]
    .map((place) => Math.min(bytes.length, Math.floor(place)))
    .sort((a, b) => a - b)
  return places.slice(1).map((place, index) => bytes.subarray(places[index], place))
}

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const fractions = Arbitrary.array(int(0, 1000), { maxLength: 12 })
const lengths = Arbitrary.array(int(0, 400), { minLength: 1, maxLength: 4 })

const textsOf = (lengths: ReadonlyArray<number>): ReadonlyArray<Buffer> =>
  lengths.map((length, name) => Buffer.from(Array.from({ length }, (_, index) => (index * 7919 + name * 31) % 251)))

describe("a decoder", () => {
  for (const coding of codings) {
    const coder = coders[coding]

    it.effect.prop(
      `gives what members of ${coding} stand for, one behind the other and however they come`,
      [lengths, fractions],
      ([lengths, fractions]) =>
        Effect.gen(function* () {
          // a body of brotli is one
          const texts = textsOf(coding === "br" ? lengths.slice(0, 1) : lengths)
          const coded = Buffer.concat(texts.map(coder))
          const { broken, bytes, ends } = yield* Effect.promise(() => decode(coding, split(coded, fractions)))
          assert.deepStrictEqual({ broken, ends }, { broken: undefined, ends: 1 })
          assert.deepStrictEqual(bytes, Buffer.concat(texts))
        })
    )

    it.effect.prop(
      `leaves alone what stands behind the last member of ${coding}, at once and later`,
      [lengths, int(1, 20), fractions],
      ([lengths, more, fractions]) =>
        Effect.gen(function* () {
          const texts = textsOf(coding === "br" ? lengths.slice(0, 1) : lengths)
          const members = Buffer.concat(texts.map(coder))
          const rest = Buffer.alloc(more, "\n")
          for (const pieces of [split(Buffer.concat([members, rest]), fractions), [members, rest, rest]]) {
            const { broken, bytes, ends } = yield* Effect.promise(() => decode(coding, pieces))
            assert.deepStrictEqual({ broken, ends }, { broken: undefined, ends: 1 })
            assert.deepStrictEqual(bytes, Buffer.concat(texts))
          }
        })
    )

    it.effect.prop(
      `tells of ${coding} that is cut within a member as cut, and gives a beginning`,
      [int(1, 400), int(1, 999), int(0, 1), fractions],
      ([length, fraction, wholeOnes, fractions]) =>
        Effect.gen(function* () {
          const texts = textsOf([300, length])
          const last = coder(texts[1] ?? Buffer.alloc(0))
          const cut = last.subarray(
            0,
            Math.min(last.length - 1, Math.max(1, Math.floor((fraction * last.length) / 1000)))
          )
          const before = coding === "br" || wholeOnes === 0 ? [] : [texts[0] ?? Buffer.alloc(0)]
          const coded = Buffer.concat([...before.map(coder), cut])
          const { broken, bytes, ends } = yield* Effect.promise(() => decode(coding, split(coded, fractions)))
          assert.deepStrictEqual([broken?.isCut, ends], [true, 1])
          const text = Buffer.concat([...before, texts[1] ?? Buffer.alloc(0)])
          assert.deepStrictEqual(bytes, text.subarray(0, bytes.length))
        })
    )
  }

  it.effect.prop(
    "never gives wrong data of gzip without saying so: a byte of a member that is altered is seen",
    [lengths, int(0, 999), int(1, 255), fractions],
    ([lengths, fraction, flip, fractions]) =>
      Effect.gen(function* () {
        const texts = textsOf(lengths)
        const members = texts.map(coders.gzip)
        const coded = Buffer.concat(members)
        const place = Math.floor((fraction * coded.length) / 1000)
        coded[place] = (coded[place] ?? 0) ^ flip
        const { broken, bytes, ends } = yield* Effect.promise(() => decode("gzip", split(coded, fractions)))
        assert.strictEqual(ends, 1)
        if (broken !== undefined) return
        // Where the head of a later member is altered, there is none: what stands there is left alone. Of a head, what is altered may
        // say nothing of the data: a time, a system.
        const starts = members.map((_, index) => Buffer.concat(members.slice(0, index)).length)
        const before = texts.map((_, index) => Buffer.concat(texts.slice(0, index)).length)
        const isWhole = bytes.equals(Buffer.concat(texts))
        const isBeforeHead = starts.some(
          (start, index) =>
            index > 0 &&
            place >= start &&
            place < start + 10 &&
            bytes.equals(Buffer.concat(texts).subarray(0, before[index]))
        )
        assert.isTrue(isWhole || isBeforeHead, `byte ${place} of ${coded.length}`)
      })
  )

  it.live("large members that come in many pieces are all decoded, with room made for each", () =>
    Effect.gen(function* () {
      const texts = [1, 2, 3].map((seed) => {
        const text = Buffer.alloc(150_000)
        let state = seed
        for (let index = 0; index < text.length; index++) {
          state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0
          text[index] = state >>> 24
        }
        return text
      })
      for (const coding of codings) {
        const some = coding === "br" ? texts.slice(0, 1) : texts
        const coded = Buffer.concat([...some.map(coders[coding]), Buffer.alloc(40_000, "\n")])
        for (const pieceBytes of [1000, 16_384, 65_536, 1_000_000]) {
          const pieces: Array<Buffer> = []
          for (let start = 0; start < coded.length; start += pieceBytes) {
            pieces.push(coded.subarray(start, start + pieceBytes))
          }
          const { broken, bytes, ends } = yield* Effect.promise(() => decode(coding, pieces))
          assert.deepStrictEqual({ broken, ends }, { broken: undefined, ends: 1 }, `${coding}, ${pieceBytes}`)
          assert.isTrue(bytes.equals(Buffer.concat(some)), `${coding}, ${pieceBytes}`)
        }
      }
    })
  )

  it.effect("a body of no bytes is an empty one, whatever it is coded in", () =>
    Effect.gen(function* () {
      for (const coding of codings) {
        const { broken, bytes, ends } = yield* Effect.promise(() => decode(coding, []))
        assert.deepStrictEqual([broken, bytes.length, ends], [undefined, 0, 1])
      }
    })
  )

  it.effect("frames of zstd that are to be skipped are", () =>
    Effect.gen(function* () {
      const skipped = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3])
      const body = Buffer.concat([
        skipped,
        zlib.zstdCompressSync("one"),
        skipped,
        zlib.zstdCompressSync("two"),
        skipped
      ])
      for (const pieces of [[body], Array.from(body, (byte) => Buffer.of(byte))]) {
        const { broken, bytes } = yield* Effect.promise(() => decode("zstd", pieces))
        assert.deepStrictEqual([broken, bytes.toString()], [undefined, "onetwo"])
      }
    })
  )

  it.effect("what is stopped tells nothing more", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const decoder = new Decoder("gzip", {
        onDecoded: () => {
          told.push("data")
          decoder.stop()
        },
        onRoom: () => void told.push("room"),
        onDecodeEnd: () => void told.push("end"),
        onDecodeBroken: () => void told.push("broken")
      })
      decoder.write(zlib.gzipSync(Buffer.alloc(1_000_000)))
      decoder.end()
      yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 30)))
      assert.deepStrictEqual(told, ["data"])
    })
  )

  it("takes the names of its codings in any case, and no other", () => {
    assert.deepStrictEqual(
      ["gzip", " X-GZIP ", "Br", "ZSTD", "identity", "deflate", "gzip, br", "", undefined].map(codingOf),
      ["gzip", "gzip", "br", "zstd", undefined, undefined, undefined, undefined, undefined]
    )
  })
})

describe("the header of a member of gzip", () => {
  const headerOf = (flags: number, extra: number, name: string, comment: string): Buffer =>
    Buffer.concat([
      Buffer.from([0x1f, 0x8b, 8, flags, 0, 0, 0, 0, 0, 3]),
      ...((flags & 4) === 0 ? [] : [Buffer.from([extra % 256, Math.floor(extra / 256)]), Buffer.alloc(extra, 7)]),
      ...((flags & 8) === 0 ? [] : [Buffer.from(`${name}\0`)]),
      ...((flags & 16) === 0 ? [] : [Buffer.from(`${comment}\0`)]),
      ...((flags & 2) === 0 ? [] : [Buffer.from([1, 2])])
    ])

  it.effect.prop(
    "is as long as its fields are, asks for more while it is not whole, and the data behind it is decoded",
    [int(0, 31), int(0, 300), Arbitrary.array(int(97, 122), { maxLength: 20 }), fractions],
    ([flags, extra, letters, fractions]) =>
      Effect.gen(function* () {
        const header = headerOf(flags, extra, String.fromCharCode(...letters), "of no interest")
        const body = zlib.gzipSync("what is behind it")
        const member = Buffer.concat([header, body.subarray(10)])
        assert.strictEqual(gzipHeaderLength(member), header.length)
        for (let length = 0; length < header.length; length++) {
          assert.strictEqual(gzipHeaderLength(member.subarray(0, length)), undefined)
        }
        const { broken, bytes } = yield* Effect.promise(() => decode("gzip", split(member, fractions)))
        assert.deepStrictEqual([broken, bytes.toString()], [undefined, "what is behind it"])
      })
  )

  it("that begins otherwise, or has a flag that means nothing, is none", () => {
    for (const bytes of [[0x1e], [0x1f, 0x8c], [0x1f, 0x8b, 9], [0x1f, 0x8b, 8, 0x20, 0, 0, 0, 0, 0, 0]]) {
      assert.strictEqual(gzipHeaderLength(Uint8Array.from(bytes)), -1)
    }
  })
})
