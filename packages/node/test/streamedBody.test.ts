import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { StreamedBody } from "../src/internal/exchange/streamedBody.ts"

const bytes = (...values: ReadonlyArray<number>) => Uint8Array.from(values)

const making = () => {
  const asked = { resumed: 0, left: 0 }
  const body = new StreamedBody({ resume: () => void asked.resumed++, leave: () => void asked.left++ })
  return { asked, body }
}

describe("the body of an open exchange", () => {
  it.live("what a reader leaves in the moment in which it comes is there for who reads next", () =>
    Effect.gen(function* () {
      const { asked, body } = making()
      const scope = yield* Scope.make()
      const pull = yield* Scope.provide(scope)(Stream.toPull(body.stream))
      const early = yield* Effect.forkChild(pull, { startImmediately: true })
      body.push(bytes(1))
      // nothing else runs between the two: the chunk came, and its reader has not heard of it
      yield* Fiber.interrupt(early)
      assert.deepStrictEqual(yield* pull, [bytes(1)])
      // the same in the turn in which it asks, with the next one behind it
      body.push(bytes(2))
      const late = yield* Effect.forkChild(pull, { startImmediately: true })
      late.interruptUnsafe()
      const next = yield* Effect.forkChild(pull, { startImmediately: true })
      body.push(bytes(3))
      assert.deepStrictEqual(yield* Fiber.join(next), [bytes(2), bytes(3)])
      body.end()
      assert.isTrue(Exit.isFailure(yield* Effect.exit(pull)))
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(asked.left, 1)
    })
  )

  it.live("a reader that is behind holds the wire up until it has read", () =>
    Effect.gen(function* () {
      const { asked, body } = making()
      assert.isTrue(body.push(new Uint8Array(65_535)))
      assert.isFalse(body.push(new Uint8Array(1)))
      assert.strictEqual(asked.resumed, 0)
      const chunks = yield* Stream.runCollect(Stream.take(body.stream, 2))
      assert.deepStrictEqual(
        chunks.map(({ length }) => length),
        [65_535, 1]
      )
      assert.deepStrictEqual(asked, { resumed: 1, left: 1 })
    })
  )
})
