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

/** As whoever mounts configuration does it: written beside, and put in its place whole. */
const replace = (files: FileSystem.FileSystem, path: string, text: string) =>
  Effect.andThen(files.writeFileString(`${path}.new`, text), files.rename(`${path}.new`, path))
