import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Logger, Queue, Stream } from "effect"
import { HttpPolicy, PolicySource, Upstream } from "holdfast"
import { ScriptedTransport } from "holdfast/testing"

const layers = Layer.mergeAll(NodeFileSystem.layer, ScriptedTransport.layer({}), Logger.layer([]))

describe("a policy in a real file", () => {
  it.live("is put in force when it is written, kept when it is broken, and found again after it was exchanged", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      const path = `${folder}/stock.json`
      const stock = yield* Upstream.make("stock", { baseUrl: "https://stock.internal" })
      const changes = yield* Queue.unbounded<PolicySource.Change>()
      yield* PolicySource.follow(stock, PolicySource.file(path, { every: "20 millis" })).pipe(
        Stream.runForEach((change) => Queue.offer(changes, change)),
        Effect.forkScoped
      )
      const after = (change: Effect.Effect<void, unknown>) => Effect.andThen(change, Queue.take(changes))
      const deadline = () => HttpPolicy.describe(stock.policy).split(" → ")[0]

      const first = yield* after(replace(files, path, '{ "deadline": "7 seconds" }'))
      assert.deepStrictEqual([first._tag, deadline()], ["Applied", "deadline 7s"])
      const broken = yield* after(replace(files, path, '{ "deadline": 7 }'))
      assert.deepStrictEqual([broken._tag, deadline()], ["Rejected", "deadline 7s"])
      yield* files.remove(path)
      yield* Effect.sleep("60 millis")
      const last = yield* after(replace(files, path, '{ "deadline": "9 seconds" }'))
      assert.deepStrictEqual([last._tag, deadline()], ["Applied", "deadline 9s"])
      assert.strictEqual(yield* Queue.size(changes), 0)
    }).pipe(Effect.scoped, Effect.provide(layers))
  )
})

describe("the policies of several upstreams in a real file", () => {
  class Payments extends Upstream.Service<Payments>()("payments", { baseUrl: "https://payments.internal" }) {}
  class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}

  it.live("are in force before the first call, follow the file, and outlive one that is half written", () =>
    Effect.gen(function* () {
      const files = yield* FileSystem.FileSystem
      const folder = yield* files.makeTempDirectoryScoped()
      const path = `${folder}/policies.json`
      const text = (deadline: string) =>
        JSON.stringify({
          $schema: "./node_modules/holdfast/holdfast-upstreams.schema.json",
          upstreams: { payments: { preset: "none", deadline }, stock: { preset: "none", deadline: "7s" } }
        })
      yield* files.writeFileString(path, text("5s"))

      const lines = yield* Queue.unbounded<string>()
      const logger = Logger.make(({ message }) => Queue.offerUnsafe(lines, String(message)))
      const upstreams = Layer.mergeAll(Payments.layer, Stock.layer).pipe(
        Layer.provide([PolicySource.layer(path, { every: "20ms" }), ScriptedTransport.layer({})])
      )
      /** The next line that is logged: it comes when the file has been read. */
      const next = Effect.map(Queue.take(lines), (line) => line.split("\n")[0])

      yield* Effect.gen(function* () {
        const [payments, stock] = [yield* Payments, yield* Stock]
        const inForce = () => [payments, stock].map(({ policy }) => HttpPolicy.describe(policy).split(" → ")[0])
        assert.deepStrictEqual(inForce(), ["deadline 5s", "deadline 7s"])
        yield* Effect.andThen(Queue.take(lines), Queue.take(lines))

        yield* files.writeFileString(path, text("6s").slice(0, 60))
        assert.strictEqual(yield* next, `${path} is not right, and all keep their policies`)
        assert.deepStrictEqual(inForce(), ["deadline 5s", "deadline 7s"])

        yield* replace(files, path, text("6s"))
        assert.strictEqual(yield* next, "payments has a new policy: deadline 6s")
        assert.deepStrictEqual(inForce(), ["deadline 6s", "deadline 7s"])
      }).pipe(Effect.provide(Layer.provideMerge(upstreams, Logger.layer([logger]))))
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer))
  )

  it.live("fail the layer when the file is not there", () =>
    Effect.gen(function* () {
      const error = yield* Layer.build(
        Stock.layer.pipe(Layer.provide(PolicySource.layer("/nowhere/policies.json")))
      ).pipe(Effect.scoped, Effect.flip, Effect.provide(layers))
      assert.strictEqual(error._tag, "PolicyFileError")
      assert.match(error.message, /^\/nowhere\/policies\.json: cannot be read: NotFound/)
    })
  )
})

/** As whoever mounts configuration does it: written beside, and put in its place whole. */
const replace = (files: FileSystem.FileSystem, path: string, text: string) =>
  Effect.andThen(files.writeFileString(`${path}.new`, text), files.rename(`${path}.new`, path))
