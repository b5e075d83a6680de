import { Effect, Exit, Fiber, type Layer, Scope, Stream } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as Reason from "@holdfast/core/Reason"
import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as Transport from "@holdfast/http/Transport"
import * as ScriptedTransport from "../src/ScriptedTransport.ts"

const { after, fail, hang, json, pause, seen, status, stream } = ScriptedTransport

const request = (path = "/"): Transport.Request => ({
  upstream: "stock",
  operation: `GET ${path}`,
  resend: 0,
  method: "GET",
  origin: "https://stock.internal",
  path,
  headers: {},
  body: undefined,
  expectedStatus: [],
  limits: HttpPolicy.defaults.limits
})

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

const send = Transport.Transport.use(({ send }) => send(request()))
const open = Transport.Transport.use(({ open }) => open(request()))

const fork = <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.tap(Effect.forkChild(self), () => TestClock.adjust(0))

/** The answer, which must be an open one. */
const opened = Effect.map(open, (answer) => ("stream" in answer ? answer : assert.fail("the answer is whole")))

const scripted = (...steps: ReadonlyArray<ScriptedTransport.Step>) => {
  const layer: Layer.Layer<Transport.Transport | ScriptedTransport.ScriptedRequests> = ScriptedTransport.layer({
    "*": steps
  })
  return <A, E>(
    self: Effect.Effect<A, E, Transport.Transport | ScriptedTransport.ScriptedRequests | Scope.Scope>
  ): Effect.Effect<A, E> => Effect.provide(Effect.scoped(self), layer)
}

describe("a scripted stream", () => {
  it.each([
    [
      { "GET /items": ScriptedTransport.json([]) },
      'the script for "GET /items" must be a list of steps, or a function of the request: '
    ],
    [{ "GET /items": null }, "got null"],
    [{ "Post /items": [] }, '"Post /items" matches nothing; methods are in capitals: "POST /items"'],
    [
      { "get /items": [ScriptedTransport.json([])] },
      '"get /items" matches nothing; methods are in capitals: "GET /items"'
    ]
  ] as const)("a script that could answer nothing is refused where it is written: %#", (script, message) => {
    assert.throws(() => ScriptedTransport.layer(script as never), RangeError, message)
  })

  it.effect("comes part by part, in the time of the test", () =>
    Effect.gen(function* () {
      const answer = yield* opened
      assert.deepStrictEqual([answer.status, answer.headers], [206, { etag: "7" }])
      const read: Array<string> = []
      const reading = yield* fork(
        Stream.runForEach(answer.stream, (bytes) => Effect.sync(() => void read.push(text(bytes))))
      )
      assert.deepStrictEqual(read, ["one", "two"])
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(read, ["one", "two", "three"])
      yield* Fiber.join(reading)
      assert.deepStrictEqual((yield* seen).aborted, [])
    }).pipe(
      scripted(
        stream(["one", new TextEncoder().encode("two"), pause("2 seconds"), "three"], {
          status: 206,
          headers: { etag: "7" }
        })
      )
    )
  )

  it.effect("ends as it is told: cut off, with a reason, or never", () => {
    const stalled = new Reason.BodyTimeout({ endpoint: "stock.internal:443", limit: HttpPolicy.defaults.deadline })
    return Effect.gen(function* () {
      const ends = Effect.flatMap(opened, ({ stream }) => Effect.flip(Stream.runDrain(stream)))
      const cut = yield* ends
      assert.deepInclude(cut, { _tag: "ResponseTruncated", endpoint: "stock.internal:443" })
      assert.strictEqual(yield* ends, stalled)
      assert.deepStrictEqual((yield* seen).aborted, [])
      const scope = yield* Scope.make()
      const { stream: endless } = yield* Scope.provide(opened, scope)
      const reading = yield* fork(Stream.runDrain(endless))
      yield* TestClock.adjust("1 day")
      assert.isUndefined(reading.pollUnsafe())
      yield* Fiber.interrupt(reading)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* seen).aborted.length, 1)
    }).pipe(
      scripted(
        stream(["one"], { end: "truncated" }),
        stream(["one"], { end: stalled }),
        stream(["one"], { end: "hang" })
      )
    )
  })

  it.effect("that is not read to its end is seen as aborted when its scope closes", () =>
    Effect.gen(function* () {
      yield* Effect.scoped(opened)
      yield* Effect.scoped(Effect.flatMap(opened, ({ stream }) => Stream.runDrain(Stream.take(stream, 1))))
      yield* Effect.scoped(Effect.flatMap(opened, ({ stream }) => Stream.runDrain(stream)))
      assert.strictEqual((yield* seen).aborted.length, 2)
      assert.strictEqual((yield* seen).requests.length, 3)
    }).pipe(scripted(stream(["one", "two"])))
  )

  it.effect("read whole has all of its parts, when the last has come; or its failure", () =>
    Effect.gen(function* () {
      const call = yield* fork(send)
      yield* TestClock.adjust("1 second")
      assert.isUndefined(call.pollUnsafe())
      yield* TestClock.adjust("2 seconds")
      const { body, bodyComplete, status } = yield* Fiber.join(call)
      assert.deepStrictEqual([status, text(body), bodyComplete], [200, "onetwo", true])
      assert.strictEqual((yield* Effect.flip(send))._tag, "ResponseTruncated")
      const cut = yield* fork(send)
      yield* Fiber.interrupt(cut)
      const { aborted, interrupted } = yield* seen
      assert.deepStrictEqual([interrupted.length, aborted.length], [1, 0])
    }).pipe(
      scripted(
        after("1 second", stream(["one", pause("2 seconds"), "two"])),
        stream(["one"], { end: "truncated" }),
        stream(["one"], { end: "hang" })
      )
    )
  )

  it.effect("with an error status comes whole", () =>
    Effect.gen(function* () {
      const answer = yield* open
      assert.deepStrictEqual("body" in answer && text(answer.body), "not here")
      assert.deepStrictEqual((yield* seen).aborted, [])
    }).pipe(scripted(stream(["not ", "here"], { status: 404 })))
  )
})

describe("opened", () => {
  it.effect("every other step is what it is, with its body as a stream", () =>
    Effect.gen(function* () {
      const answer = yield* opened
      assert.deepStrictEqual((yield* Stream.runCollect(answer.stream)).map(text), ['{"a":1}'])
      const error = yield* open
      assert.isTrue("body" in error)
      assert.strictEqual((yield* Effect.flip(open))._tag, "ConnectionRefused")
      const waiting = yield* fork(open)
      yield* Fiber.interrupt(waiting)
      assert.strictEqual((yield* seen).interrupted.length, 1)
    }).pipe(
      scripted(
        json({ a: 1 }),
        status(503),
        fail(new Reason.ConnectionRefused({ endpoint: "stock.internal:443", phase: "connect" })),
        hang
      )
    )
  )
})
