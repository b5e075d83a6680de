/**
 * Ten thousand calls, 64 at a time, to a server that dies and comes back all the while. A program of its own, because the heap
 * and the handles of a test runner are everybody's. Run with `--expose-gc` and the server's url; prints its figures as JSON.
 */
import { Effect, Layer, Schema } from "effect"
import { HttpPolicy, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { heldResources, leftBehind } from "../../support/resources.ts"

const calls = 10_000
const atOnce = 64
/** Every fifth call is a POST without a key. */
const isPost = (id: number): boolean => id % 5 === 0
const sampleEvery = 250

const collect = (globalThis as { gc?: () => void }).gc
if (collect === undefined) throw new Error("run it with --expose-gc")
const [url] = process.argv.slice(2)
if (url === undefined) throw new Error("run it with the url of the server")

/**
 * What it promises: a GET is made again for as long as the server may be away, some seconds. The budget allows all of it:
 * every call in flight may be a retry, and none has to be paid for by calls that went well. A POST is made again only when
 * none of it can have been sent.
 */
const policy = HttpPolicy.standard({
  deadline: "60 seconds",
  attemptTimeout: "10 seconds",
  breaker: false,
  retry: {
    maxAttempts: 100,
    backoff: { base: "20 millis", cap: "250 millis" },
    nonIdempotent: "unsent",
    budget: { ratio: 10, minimumPerSecond: 1_000, inFlightRatio: 1, minimumInFlight: atOnce }
  }
})

const Answer = Schema.Struct({ id: Schema.Int })

const lost: Array<string> = []
const acknowledged: Array<number> = []
const failedPosts = new Map<string, number>()
const heapMegabytes: Array<number> = []
const handles: Array<number> = []
let ended = 0
let retried = 0

const sum = (counts: ReadonlyMap<string, number>): number => [...counts.values()].reduce((all, count) => all + count, 0)

const sample = Effect.sync(() => {
  ended += 1
  if (ended % sampleEvery !== 0) return
  collect()
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  heapMegabytes.push((heapUsed + arrayBuffers) / 2 ** 20)
  handles.push(sum(heldResources()))
})

const before = heldResources()

await Effect.runPromise(
  Effect.scoped(
    Effect.gen(function* () {
      const transport = yield* Layer.build(NodeTransport.layer({ connections: atOnce, drainTimeout: "1 second" }))
      const ledger = yield* Upstream.make("ledger", { baseUrl: url, policy }).pipe(Effect.provide(transport))
      const call = (id: number): Effect.Effect<void> =>
        (isPost(id)
          ? ledger.post("/{id}", { params: { id }, json: { id }, decode: Answer })
          : ledger.get("/{id}", { params: { id }, decode: Answer })
        ).pipe(
          Effect.matchEffect({
            onSuccess: (answer) =>
              Effect.sync(() => {
                if (answer.id !== id) lost.push(`${id} was answered with ${answer.id}`)
                else if (isPost(id)) acknowledged.push(id)
              }),
            onFailure: ({ attempts, reason, retryStopped }) =>
              Effect.sync(() => {
                if (isPost(id)) failedPosts.set(reason._tag, (failedPosts.get(reason._tag) ?? 0) + 1)
                else lost.push(`GET ${id}: ${reason._tag} after ${attempts} attempts (${retryStopped ?? "no reason"})`)
              })
          }),
          Effect.andThen(sample)
        )
      yield* Effect.forEach(
        Array.from({ length: calls }, (_, id) => id),
        call,
        { concurrency: atOnce, discard: true }
      )
      retried = (yield* ledger.snapshot).budget?.granted ?? 0
    })
  )
)

const left = await Effect.runPromise(leftBehind(before))

console.log(
  JSON.stringify({
    calls,
    retried,
    lost,
    acknowledged,
    failedPosts: Object.fromEntries(failedPosts),
    heapMegabytes,
    handles,
    left
  })
)
