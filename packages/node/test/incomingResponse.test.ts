import { gzipSync } from "node:zlib"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Stream } from "effect"
import type { Coding } from "../src/internal/exchange/decoding.ts"
import { IncomingResponse, type ResponseOwner } from "../src/internal/exchange/incomingResponse.ts"
import { responseHead } from "../src/internal/exchange/responseHead.ts"

interface Given {
  readonly isWanted?: boolean
  readonly coding?: Coding
  readonly fields?: NodeJS.Dict<string | Array<string>>
  readonly responseBytes?: number
  readonly errorBytes?: number
  readonly drainBytes?: number
}

/** A response, and what it told its exchange. */
const responding = (given: Given = {}) => {
  const { coding, drainBytes = 1000, errorBytes = 1000, fields = {}, isWanted = true, responseBytes = 1000 } = given
  const told: Array<string> = []
  const owner: ResponseOwner = {
    onTooLarge: (bytes) => told.push(`too large ${bytes}`),
    onEnough: () => told.push("enough"),
    onDrainedEnough: () => told.push("drained enough"),
    onBehind: () => told.push("behind"),
    onRoom: () => told.push("room"),
    onDecodeEnd: () => told.push("decoded"),
    onDecodeBroken: ({ isCut }) => told.push(isCut ? "cut" : "broken"),
    resume: () => told.push("resume"),
    leave: () => told.push("leave")
  }
  const limits = { responseBytes, errorBytes, drainBytes, drainTime: Duration.seconds(1) }
  const response = new IncomingResponse(owner, responseHead(200, fields), limits, isWanted, coding)
  return { response, told, take: (text: string) => response.receive(Buffer.from(text)) }
}

const textOf = ({ body }: { readonly body: Uint8Array }) => Buffer.from(body).toString()

const until = (holds: () => boolean): Effect.Effect<void> =>
  Effect.suspend(() => (holds() ? Effect.void : Effect.andThen(Effect.sleep("1 millis"), until(holds))))

describe("a response that is wanted", () => {
  it("is kept whole, with its cookies and what stands behind its body", () => {
    const { response, take, told } = responding({ fields: { "x-a": "1", "set-cookie": ["a=1", "b=2"] } })
    take("one ")
    take("two")
    response.endWith({ "x-checksum": "3" })
    const { body, ...whole } = response.whole(false)
    assert.strictEqual(Buffer.from(body).toString(), "one two")
    assert.deepStrictEqual(whole, {
      status: 200,
      headers: { "x-a": "1" },
      setCookies: ["a=1", "b=2"],
      trailers: { "x-checksum": "3" },
      bodyComplete: true
    })
    assert.deepStrictEqual(told, [])
  })

  it("has neither cookies nor trailers where there are none, and no bytes where none came", () => {
    const { response } = responding()
    response.endWith({})
    assert.deepStrictEqual(response.whole(false), {
      status: 200,
      headers: {},
      body: new Uint8Array(0),
      bodyComplete: true
    })
    assert.isFalse(response.whole(true).bodyComplete)
  })

  it("is too large from the first byte beyond its limit, which is not kept", () => {
    const { response, take, told } = responding({ responseBytes: 5 })
    take("12345")
    assert.deepStrictEqual(told, [])
    take("6")
    assert.deepStrictEqual(told, ["too large 6"])
    assert.strictEqual(textOf(response.whole(false)), "12345")
  })

  it("is never drained", () => {
    const { take, told } = responding({ drainBytes: 1 })
    take("12345")
    assert.deepStrictEqual(told, [])
  })

  it("knows how much of what was announced has come", () => {
    const { response, take } = responding({ fields: { "content-length": "4" } })
    take("123")
    assert.deepStrictEqual([response.isShort, response.isAllHere], [true, false])
    take("4")
    assert.deepStrictEqual([response.isShort, response.isAllHere], [false, true])
  })

  it.live("is handed on as it comes where it is opened, and its reader is behind with 64 KiB", () =>
    Effect.gen(function* () {
      const { response, take, told } = responding({ responseBytes: 200_000, fields: { "set-cookie": "a=1" } })
      const opened = response.open()
      assert.deepStrictEqual([opened.status, opened.setCookies, opened.trailers?.()], [200, ["a=1"], undefined])
      take("x".repeat(65_535))
      assert.deepStrictEqual(told, [])
      take("y")
      assert.deepStrictEqual(told, ["behind"])
      response.endWith({ "x-a": "1" })
      assert.deepStrictEqual(opened.trailers?.(), { "x-a": "1" })
      response.opened?.end()
      const read = yield* Stream.runFold(
        opened.stream,
        () => 0,
        (size, chunk) => size + chunk.length
      )
      assert.strictEqual(read, 65_536)
      assert.deepStrictEqual(told, ["behind", "resume", "leave"])
      assert.isFalse("setCookies" in responding().response.open())
    })
  )

  it.live("is decoded, bounded by what comes out, and its head says nothing of its coding", () =>
    Effect.gen(function* () {
      const fields = { "content-encoding": "gzip", "content-length": "9", "x-a": "1" }
      const bytes = gzipSync("a".repeat(900))
      const fits = responding({ coding: "gzip", fields })
      fits.response.receive(bytes)
      fits.response.endDecoder()
      yield* until(() => fits.told.includes("decoded"))
      const whole = fits.response.whole(false)
      assert.strictEqual(textOf(whole), "a".repeat(900))
      assert.deepStrictEqual([whole.headers, whole.bodyComplete], [{ "x-a": "1" }, true])
      assert.isTrue(fits.response.hasRoom)

      const large = responding({ coding: "gzip", fields, responseBytes: 899 })
      large.response.receive(bytes)
      large.response.endDecoder()
      yield* until(() => large.told.length > 0)
      assert.strictEqual(large.told[0], "too large 900")

      const cut = responding({ coding: "gzip", fields })
      cut.response.receive(bytes.subarray(0, -9))
      cut.response.endDecoder()
      yield* until(() => cut.told.length > 0)
      assert.deepStrictEqual(cut.told, ["cut"])

      const broken = responding({ coding: "gzip", fields })
      broken.take("no gzip at all")
      yield* until(() => broken.told.length > 0)
      assert.deepStrictEqual(broken.told, ["broken"])

      const stopped = responding({ coding: "gzip", fields })
      stopped.response.receive(bytes.subarray(0, -9))
      stopped.response.stopDecoder()
      stopped.response.receive(bytes.subarray(-9))
      stopped.response.endDecoder()
      yield* Effect.sleep("20 millis")
      assert.deepStrictEqual(stopped.told, [])
      assert.strictEqual(textOf(stopped.response.whole(true)), "")
    })
  )

  it.live("holds its decoder up while the reader is behind", () =>
    Effect.gen(function* () {
      const { response, told } = responding({ coding: "gzip", responseBytes: 10_000_000 })
      const opened = response.open()
      response.receive(gzipSync("b".repeat(1_000_000)))
      response.endDecoder()
      yield* until(() => told.includes("behind"))
      yield* Effect.sleep("20 millis")
      assert.notInclude(told, "decoded")
      let read = 0
      const reading = yield* Effect.forkChild(
        Stream.runForEach(opened.stream, (chunk) =>
          Effect.sync(() => {
            read += chunk.length
            response.resumeDecoder()
          })
        )
      )
      yield* until(() => told.includes("decoded"))
      response.opened?.end()
      yield* until(() => reading.pollUnsafe() !== undefined)
      assert.strictEqual(read, 1_000_000)
    })
  )
})

describe("a response that is an error", () => {
  it("is kept up to a limit, and says when that is enough", () => {
    const { response, take, told } = responding({ isWanted: false, errorBytes: 5 })
    take("123")
    take("45")
    assert.deepStrictEqual(told, [])
    assert.isTrue(response.whole(false).bodyComplete)
    const more = responding({ isWanted: false, errorBytes: 5 })
    more.take("123")
    more.take("4567")
    more.take("8")
    assert.deepStrictEqual(more.told, ["enough", "enough"])
    const whole = more.response.whole(false)
    assert.deepStrictEqual([textOf(whole), whole.bodyComplete], ["12345", false])
  })

  it("is drained no longer from the first byte beyond the limit for that, and has no limit of its own", () => {
    const { take, told } = responding({ isWanted: false, drainBytes: 5, responseBytes: 1 })
    take("12345")
    assert.deepStrictEqual(told, [])
    take("6")
    assert.deepStrictEqual(told, ["drained enough"])
  })
})
