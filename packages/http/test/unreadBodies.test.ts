import { Effect, Exit, Fiber, Logger, Scope, Stream } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import type * as HttpPolicy from "../src/HttpPolicy.ts"
import * as Upstream from "../src/Upstream.ts"
import * as UpstreamVersions from "../src/UpstreamVersions.ts"
import { fork, upstream } from "./support/stock.ts"

const { after, pause, stream } = ScriptedTransport

const script = { "*": [stream(["one", pause("1 hour"), "two"])] }

interface Line {
  readonly level: string
  readonly message: string
}

/** Calls against a script, and keeps what is logged. */
const logging =
  (options: Partial<Upstream.Options> = {}, policy: HttpPolicy.Options = {}) =>
  <A, E>(
    use: (
      api: Upstream.Upstream,
      lines: ReadonlyArray<Line>
    ) => Effect.Effect<A, E, ScriptedTransport.ScriptedRequests | Scope.Scope>
  ) =>
    Effect.suspend(() => {
      const lines: Array<Line> = []
      const logger = Logger.make(({ logLevel, message }) => {
        lines.push({ level: logLevel, message: Array.isArray(message) ? message.join(" ") : String(message) })
      })
      return upstream(script, policy, options)((api) => use(api, lines)).pipe(Effect.provide(Logger.layer([logger])))
    })

const firstLine = ({ level, message }: Line) => `${level} ${message.split("\n")[0]}`

const asked = (api: Upstream.Upstream) =>
  api.streaming.get("/exports/{id}", { params: { id: 1 }, headers: { "x-request-id": "r-1" } })

const read = (answer: { readonly stream: Stream.Stream<Uint8Array, unknown> }) => fork(Stream.runDrain(answer.stream))

describe("an open body that nobody reads", () => {
  it.effect("is found after 30 seconds, once, with who asked for it", () =>
    logging()((api, lines) =>
      Effect.gen(function* () {
        yield* asked(api)
        yield* TestClock.adjust("29999 millis")
        assert.deepStrictEqual(lines, [])
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 1, unread: 1, found: 0 })
        yield* TestClock.adjust("1 millis")
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(lines.map(firstLine), [
          "Warn stock: the body of GET /exports/{id} (request r-1) was opened 30s ago, and is neither read nor released; it was asked for"
        ])
        const frames = lines[0]?.message.split("\n").slice(1) ?? []
        assert.match(frames[0] ?? "", /\basked\b.*unreadBodies\.test\.ts/)
        assert.isAtMost(frames.length, 8)
        assert.notMatch(frames.join("\n"), /node_modules\/effect|packages\/http\/src|node:|\(<anonymous>\)$/m)
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 1, unread: 1, found: 1 })
      })
    )
  )

  it.effect("is told when it comes back, and after how long: read, released, or ended by its deadline", () =>
    logging(
      { unreadAfter: "10 seconds" },
      { deadline: "1 minute" }
    )((api, lines) =>
      Effect.gen(function* () {
        const late = yield* asked(api)
        const scope = yield* Scope.make()
        yield* Scope.provide(asked(api), scope)
        yield* asked(api)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(lines.length, 3)
        yield* TestClock.adjust("5 seconds")
        yield* read(late)
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 3, unread: 2, found: 3 })
        yield* TestClock.adjust("5 seconds")
        yield* Scope.close(scope, Exit.void)
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 2, unread: 1, found: 3 })
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(lines.slice(3).map(firstLine), [
          "Info stock: the body of GET /exports/{id} (request r-1) which was found unread, is read after 15s",
          "Info stock: the body of GET /exports/{id} (request r-1) which was found unread, is released unread after 20s",
          "Info stock: the body of GET /exports/{id} (request r-1) which was found unread, is aborted by the deadline after 1m"
        ])
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 0, unread: 0, found: 3 })
      })
    )
  )

  it.effect("is found by its deadline, when that comes first", () =>
    logging(
      {},
      { deadline: "10 seconds" }
    )((api, lines) =>
      Effect.gen(function* () {
        yield* asked(api)
        yield* TestClock.adjust("10 seconds")
        assert.deepStrictEqual(lines.map(firstLine), [
          "Warn stock: the body of GET /exports/{id} (request r-1) was not read before the deadline passed, and was aborted 10s after it was opened; it was asked for"
        ])
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 0, unread: 0, found: 1 })
        assert.strictEqual((yield* ScriptedTransport.seen).aborted.length, 1)
      })
    )
  )

  it.effect("is not one that is read, however slowly, nor one that was released in time", () =>
    logging(
      {},
      { deadline: "10 minutes" }
    )((api, lines) =>
      Effect.gen(function* () {
        const slow = yield* read(yield* asked(api))
        yield* Effect.scoped(asked(api))
        yield* Stream.runDrain(Stream.take((yield* asked(api)).stream, 1))
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 1, unread: 0, found: 0 })
        yield* TestClock.adjust("1 hour")
        yield* Fiber.await(slow)
        assert.deepStrictEqual(lines, [])
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 0, unread: 0, found: 0 })
      })
    )
  )

  it.effect("is not looked for where nobody asks for that, and its deadline still ends it", () =>
    logging(
      { unreadAfter: false },
      { deadline: "1 minute" }
    )((api, lines) =>
      Effect.gen(function* () {
        yield* asked(api)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(lines, [])
        assert.deepStrictEqual((yield* api.snapshot).bodies, { open: 0, unread: 0, found: 0 })
      })
    )
  )

  it.effect("counts from when its headers came", () =>
    upstream(
      { "*": [after("20 seconds", stream(["one"]))] },
      {}
    )((api) =>
      Effect.gen(function* () {
        yield* fork(Effect.andThen(api.streaming.get("/exports"), Effect.never))
        yield* TestClock.adjust("20 seconds")
        yield* TestClock.adjust("29 seconds")
        assert.strictEqual((yield* api.snapshot).bodies.found, 0)
        yield* TestClock.adjust("1 second")
        assert.strictEqual((yield* api.snapshot).bodies.found, 1)
      })
    ).pipe(Effect.provide(Logger.layer([])))
  )

  it.effect("names who asked the versions of an upstream, too", () =>
    Effect.gen(function* () {
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      yield* Effect.gen(function* () {
        const stock = yield* UpstreamVersions.make("stock", { version: "1", baseUrl: "https://stock.internal" })
        yield* asked(stock.current)
        yield* TestClock.adjust("30 seconds")
      }).pipe(Effect.scoped, Effect.provide([ScriptedTransport.layer(script), Logger.layer([logger])]))
      assert.match(lines[0]?.split("\n")[1] ?? "", /\basked\b.*unreadBodies\.test\.ts/)
      assert.notMatch(lines[0] ?? "", /UpstreamVersions\.ts/)
    })
  )

  it.effect("needs a time longer than zero to be found", () =>
    Effect.sync(() => {
      for (const unreadAfter of [0, "-1 seconds"] as const) {
        assert.throws(
          () => Upstream.make("stock", { baseUrl: "https://stock.internal", unreadAfter }),
          RangeError,
          "Upstream stock: unreadAfter must be longer than zero, or false"
        )
      }
    })
  )
})
