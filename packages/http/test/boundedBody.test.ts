import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import { HttpClientRequest, HttpClientResponse } from "effect/http"
import { TestClock } from "effect/testing"
import { discard, readBounded, readErrorBody } from "../src/internal/response/boundedBody.ts"

/** A response whose body comes in these pieces, and then ends, fails or says nothing more; and whether it was left. */
const responding = (
  pieces: ReadonlyArray<string>,
  then: "ends" | "fails" | "hangs" = "ends",
  headers: Record<string, string> = {}
) => {
  const state = { given: 0, isLeft: false }
  const body = new ReadableStream<Uint8Array>(
    {
      pull: async (controller) => {
        const piece = pieces[state.given]
        if (piece !== undefined) {
          state.given++
          controller.enqueue(new TextEncoder().encode(piece))
        } else if (then === "ends") controller.close()
        else if (then === "fails") controller.error(new Error("cut"))
        else await new Promise(() => {})
      },
      cancel: () => {
        state.isLeft = true
      }
    },
    { highWaterMark: 0 }
  )
  const request = HttpClientRequest.get("http://127.0.0.1/")
  return { state, response: HttpClientResponse.fromWeb(request, new Response(body, { status: 503, headers })) }
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

const limits = { drainBytes: 10, errorBytes: 4, drainTime: Duration.seconds(1) }

describe("a body that is read within bounds", () => {
  it.effect.each([
    { pieces: ["abc"], bound: 3, keep: 3, bytes: "abc", complete: true, size: 3, isLeft: false },
    { pieces: ["ab", "c"], bound: 3, keep: 3, bytes: "abc", complete: true, size: 3, isLeft: false },
    { pieces: [], bound: 3, keep: 3, bytes: "", complete: true, size: 0, isLeft: false },
    // more than is kept, though no more than may come
    { pieces: ["ab", "cd", "ef"], bound: 6, keep: 3, bytes: "abc", complete: false, size: 6, isLeft: false },
    { pieces: ["ab", "cd"], bound: 4, keep: 2, bytes: "ab", complete: false, size: 4, isLeft: false },
    // more than may come
    { pieces: ["ab", "cd", "ef"], bound: 3, keep: 9, bytes: "abcd", complete: false, size: 4, isLeft: true },
    { pieces: ["abcd", "e"], bound: 3, keep: 3, bytes: "abc", complete: false, size: 4, isLeft: true },
    { pieces: ["a", "b"], bound: 0, keep: 0, bytes: "", complete: false, size: 1, isLeft: true }
  ])("of $pieces, bound to $bound and kept to $keep, is $bytes", ({ bound, keep, pieces, isLeft, ...expected }) =>
    Effect.gen(function* () {
      const { response, state } = responding(pieces)
      const { bytes, complete, size } = yield* readBounded(response, bound, keep)
      assert.deepStrictEqual({ bytes: text(bytes), complete, size }, expected)
      assert.strictEqual(state.isLeft, isLeft)
    })
  )

  it.effect("is empty where there is none", () =>
    Effect.gen(function* () {
      const none = HttpClientResponse.fromWeb(HttpClientRequest.get("http://127.0.0.1/"), new Response(null))
      const { bytes, complete, size } = yield* readBounded(none, 10, 10)
      assert.deepStrictEqual([bytes.length, complete, size], [0, true, 0])
    })
  )

  it.effect("of an error is what of it may be kept, and what came of it when it is cut or takes too long", () =>
    Effect.gen(function* () {
      const whole = yield* readErrorBody(responding(["abcd"]).response, limits)
      assert.deepStrictEqual([text(whole.bytes), whole.complete], ["abcd", true])
      const long = yield* readErrorBody(responding(["abcdefgh"]).response, limits)
      assert.deepStrictEqual([text(long.bytes), long.complete, long.size], ["abcd", false, 8])
      const cut = yield* readErrorBody(responding(["ab"], "fails").response, limits)
      assert.deepStrictEqual([text(cut.bytes), cut.complete, cut.size], ["ab", false, 2])
      const { response, state } = responding(["ab"], "hangs")
      const reading = yield* Effect.forkChild(readErrorBody(response, limits), { startImmediately: true })
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(reading.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const late = yield* Fiber.join(reading)
      assert.deepStrictEqual([text(late.bytes), late.complete, late.size], ["ab", false, 2])
      const endless = yield* readErrorBody(responding(["abcdef", "abcdef"]).response, { ...limits, errorBytes: 20 })
      assert.deepStrictEqual([text(endless.bytes), endless.complete], ["abcdefabcdef", false])
      assert.isTrue(state.isLeft)
    })
  )

  it.effect("that nobody wants is read to its end, unless that takes too much, or as it says will", () =>
    Effect.gen(function* () {
      const discarded = (response: HttpClientResponse.HttpClientResponse) => discard(response, 4, Duration.seconds(1))
      const short = responding(["ab", "cd"])
      yield* discarded(short.response)
      assert.deepStrictEqual(short.state, { given: 2, isLeft: false })
      const long = responding(["ab", "cd", "e", "f"])
      yield* discarded(long.response)
      assert.deepStrictEqual(long.state, { given: 3, isLeft: true })
      const announced = responding(["a", "b", "c", "d", "e"], "ends", { "content-length": "5" })
      yield* discarded(announced.response)
      assert.deepStrictEqual(announced.state, { given: 1, isLeft: true })
      const fits = responding(["a", "b", "c", "d"], "ends", { "content-length": "4" })
      yield* discarded(fits.response)
      assert.deepStrictEqual(fits.state, { given: 4, isLeft: false })
      yield* discarded(responding(["a"], "fails").response)
    })
  )
})
