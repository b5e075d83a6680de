/**
 * What a client keeps of origins that it calls once: many at once, then ten times as many one after another, each with every stage that
 * is kept for an endpoint. A program of its own, because the heap of a test runner is everybody's. Run with `--expose-gc` and how many
 * origins there are one after another; prints its figures as JSON.
 */
import { Clock, Effect } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { HttpPolicy } from "holdfast"
import { ResilientClient } from "holdfast/client"

const origins = Number(process.argv[2])
const burst = origins / 10

const collect = (globalThis as { gc?: () => void }).gc
if (collect === undefined) throw new Error("run it with --expose-gc")

/** Megabytes of heap and of array buffers, which latency histograms are. */
const megabytes = Effect.promise(async () => {
  for (let round = 0; round < 3; round++) {
    collect()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { arrayBuffers, heapUsed } = process.memoryUsage()
  return Number(((heapUsed + arrayBuffers) / 2 ** 20).toFixed(1))
})

let aheadMillis = 0

/** The real clock, which the program can put forward: nobody waits for ten minutes of idleness. */
const ahead = (clock: Clock.Clock): Clock.Clock => {
  const nanos = (): bigint => BigInt(aheadMillis) * 1_000_000n
  return {
    currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + aheadMillis,
    currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + nanos(),
    monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe() + nanos(),
    currentTimeMillis: Effect.sync(() => clock.currentTimeMillisUnsafe() + aheadMillis),
    currentTimeNanos: Effect.sync(() => clock.currentTimeNanosUnsafe() + nanos()),
    monotonicTimeNanos: Effect.sync(() => clock.monotonicTimeNanosUnsafe() + nanos()),
    sleep: (duration) => clock.sleep(duration)
  }
}

const answering = HttpClient.make((request) =>
  Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(null, { status: 200 })))
)

const program = Effect.gen(function* () {
  const client = answering.pipe(
    ResilientClient.withPolicy({
      policy: HttpPolicy.standard({ throttle: {}, bulkhead: {}, adaptiveConcurrency: {}, rateLimit: { limit: 1e9 } })
    })
  )
  const call = (number: number) => client.get(`https://tenant-${number}.internal/`)
  for (let warm = 0; warm < 2000; warm++) yield* call(0)
  const before = yield* megabytes

  for (let number = 0; number < burst; number++) yield* call(number)
  const full = yield* megabytes

  // each generation is forgotten when the next but one begins
  aheadMillis += 20 * 60_000
  yield* call(0)
  const idle = yield* megabytes

  // spread over time, 2 a second: what lives is what was used of late
  let most = 0
  for (let number = burst; number < burst + origins; number++) {
    aheadMillis += 500
    yield* call(number)
    if (number % (origins / 4) === 0) most = Math.max(most, yield* megabytes)
  }
  aheadMillis += 20 * 60_000
  yield* call(0)
  const idleAgain = yield* megabytes
  return { burst, origins, before, full, idle, most, idleAgain }
})

const figures = await Effect.runPromise(
  Effect.flatMap(Clock.Clock, (clock) => Effect.provideService(program, Clock.Clock, ahead(clock)))
)
console.log(JSON.stringify(figures))
