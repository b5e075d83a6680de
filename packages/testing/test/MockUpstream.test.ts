import { assert, describe, expectTypeOf, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, type Layer, Schema, Stream } from "effect"
import { CallError } from "@holdfast/core/CallError"
import * as Reason from "@holdfast/core/Reason"
import type { Answer } from "@holdfast/http/Request"
import * as Upstream from "@holdfast/http/Upstream"
import * as MockUpstream from "../src/MockUpstream.ts"

class Charge extends Schema.Class<Charge>("Charge")({ id: Schema.String, amount: Schema.FiniteFromString }) {}

class Payments extends Upstream.Service<Payments>()("payments", { baseUrl: "https://payments.internal" }) {}

const find = Payments.use((payments) => payments.get("/charges/{id}", { params: { id: "ch_1" }, decode: Charge }))

const answer: Answer = { status: 200, headers: {}, setCookies: [], trailers: {}, bytes: new Uint8Array(0), text: "" }

const defect = (exit: Exit.Exit<unknown, unknown>): unknown =>
  Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isDieReason)?.defect : undefined

describe("MockUpstream", () => {
  it.effect("gives what the test says, decoded, and is told the path and the options of the call", () =>
    Effect.gen(function* () {
      const asked: Array<unknown> = []
      const payments = MockUpstream.layer(Payments, {
        get: (path, { params }) => {
          asked.push([path, params])
          return Effect.succeed(new Charge({ id: "ch_1", amount: 1200 }))
        }
      })
      expectTypeOf(payments).toEqualTypeOf<Layer.Layer<Payments>>()
      expectTypeOf(Effect.provide(find, payments)).toEqualTypeOf<Effect.Effect<Charge, CallError>>()
      assert.strictEqual((yield* Effect.provide(find, payments)).amount, 1200)
      assert.deepStrictEqual(asked, [["/charges/{id}", { id: "ch_1" }]])
    })
  )

  it.effect("a reason is the error of the call", () =>
    Effect.gen(function* () {
      const payments = MockUpstream.layer(Payments, {
        get: () => Effect.fail(new Reason.AttemptTimeout({ limit: Duration.seconds(1) }))
      })
      const error = yield* Effect.flip(Effect.provide(find, payments))
      assert.instanceOf(error, CallError)
      assert.deepStrictEqual([error.upstream, error.operation, error.attempts], ["payments", "GET /charges/{id}", 1])
    })
  )

  it.effect("what was not given is a defect when it is asked for, and not before", () =>
    Effect.gen(function* () {
      const payments = MockUpstream.make({ name: "payments", get: () => Effect.succeed(answer) })
      assert.strictEqual((yield* payments.get("/charges")).status, 200)
      const exits = [
        yield* Effect.exit(payments.post("/charges", { json: {} })),
        yield* Effect.exit(Effect.scoped(payments.streaming.get("/charges"))),
        yield* Effect.exit(payments.snapshot)
      ]
      assert.deepStrictEqual(
        exits.map((exit) => String(defect(exit))),
        ["post", "streaming.get", "snapshot"].map(
          (member) => `UnimplementedError: MockUpstream payments: Unimplemented method "${member}"`
        )
      )
    })
  )

  it.effect("a value that its schema does not describe is a defect in words, and so is one in place of an answer", () =>
    Effect.gen(function* () {
      const payments = MockUpstream.make({ get: () => Effect.succeed({ id: "ch_1", amount: "1200" }) })
      const encoded = yield* Effect.exit(payments.get("/charges/1", { decode: Charge }))
      assert.include(String(defect(encoded)), "GET /charges/1 gave what its schema does not describe")
      const whole = yield* Effect.exit(payments.get("/charges/1"))
      assert.include(String(defect(whole)), "was asked for without decode, and gives an Answer then")
    })
  )

  it.effect.each([
    [new Error("no"), "Error: no"],
    ["no", '"no"'],
    [{ _tag: "NoSuchThing" }, "an object with _tag NoSuchThing"]
  ] as const)("an error that is no reason is a defect in words: %j", ([error, got]) =>
    Effect.gen(function* () {
      const fails: () => Effect.Effect<never, never> = () => Effect.fail(error) as unknown as Effect.Effect<never>
      const payments = MockUpstream.make({ name: "payments", get: fails, streaming: { get: fails } })
      for (const asked of [payments.get("/charges/1"), Effect.scoped(payments.streaming.get("/charges/1"))]) {
        assert.strictEqual(
          String(defect(yield* Effect.exit(asked as Effect.Effect<unknown, unknown>))),
          `TypeError: MockUpstream payments: GET /charges/1 failed with ${got}; ` +
            "give a reason, such as new Reason.RateLimited({}), or a CallError"
        )
      }
    })
  )

  it.effect("every member of an answer is looked at, of a streamed one too, and so is that it comes in an effect", () =>
    Effect.gen(function* () {
      const { text: _, trailers: __, ...part } = answer
      const gives = (value: unknown) => () => Effect.succeed(value) as Effect.Effect<never>
      const mock = (value: unknown) => MockUpstream.make({ get: gives(value), streaming: { get: gives(value) } })
      const messageOf = (asked: Effect.Effect<unknown, unknown>) =>
        Effect.map(Effect.exit(asked), (exit) => String(defect(exit)))
      assert.include(yield* messageOf(mock(part).get("/x")), "; got trailers undefined, text undefined")
      assert.include(yield* messageOf(mock({ ...answer, status: "200" }).get("/x")), '; got status "200"')
      const streamed = yield* messageOf(Effect.scoped(mock(answer).streaming.get("/x")))
      assert.include(streamed, "GET /x gives a StreamedAnswer: { status, headers, setCookies, trailers, stream }; got ")
      assert.include(streamed, "; got trailers an object, stream undefined")
      const none = MockUpstream.make({ get: (() => undefined) as never })
      assert.include(yield* messageOf(none.get("/x")), "GET /x must give an effect, got undefined")
    })
  )

  it.effect("a name that is undefined is the service's, as one that is left out", () =>
    Effect.gen(function* () {
      const name = Payments.use((payments) => Effect.succeed(payments.name))
      assert.strictEqual(yield* Effect.provide(name, MockUpstream.layer(Payments, { name: undefined })), "payments")
      assert.strictEqual(yield* Effect.provide(name, MockUpstream.layer(Payments, { name: "other" })), "other")
    })
  )

  it.effect("streams too", () =>
    Effect.gen(function* () {
      const payments = MockUpstream.make({
        streaming: {
          get: () =>
            Effect.succeed({
              status: 200,
              headers: {},
              setCookies: [],
              trailers: Effect.succeed({}),
              stream: Stream.make(new Uint8Array(3))
            })
        }
      })
      const { stream } = yield* payments.streaming.get("/export")
      assert.strictEqual((yield* Stream.runCollect(stream))[0]?.length, 3)
    }).pipe(Effect.scoped)
  )

  it("an option that does not exist is refused by the types", () => {
    // @ts-expect-error `gett` is no helper
    const mock = () => MockUpstream.layer(Payments, { gett: () => Effect.succeed(1) })
    expectTypeOf(mock).toBeFunction()
  })
})
