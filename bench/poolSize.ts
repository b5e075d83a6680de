/**
 * What the size of a pool does: calls that arrive at random at a steady rate, an upstream that takes 20 ms for each whatever its
 * load, and pools around the size that Little's law gives: rate times time. `docs/transport.md` tells what follows from it.
 *
 * Run it with `npm run bench:pool`; `-- --quick` in seconds.
 */
import { fork } from "node:child_process"
import { once } from "node:events"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import * as Effect from "effect/Effect"
import type * as Transport from "@holdfast/http/Transport"
import * as NodeTransport from "@holdfast/node/NodeTransport"
import * as Duration from "effect/Duration"

const perSecond = 400
const upstreamMillis = 20
const sizes = [6, 7, 8, 9, 10, 12, 16, 24, 64]

if (process.argv[2] === "upstream") {
  const server = createServer({ keepAliveTimeout: 60_000 }, (_, response) => {
    setTimeout(() => response.end("done"), upstreamMillis)
  })
  server.listen(0, "127.0.0.1", () => {
    const address = server.address()
    process.send?.(typeof address === "object" && address !== null ? address.port : 0)
  })
  process.on("disconnect", () => process.exit(0))
} else {
  await measure(process.argv.includes("--quick") ? 1_000 : 10_000)
}

async function measure(millis: number): Promise<void> {
  const upstream = fork(fileURLToPath(import.meta.url), ["upstream"])
  const [port]: Array<number> = await once(upstream, "message")
  const origin = `http://127.0.0.1:${port}`
  console.log(
    `${perSecond} calls/s at random, ${upstreamMillis} ms each: ${(perSecond * upstreamMillis) / 1000} busy at a time\n`
  )
  console.log(
    "| connections | p50 ms | p99 ms | waited for one | p99 of the wait, ms | most waiting | opened | refused |"
  )
  console.log(
    "| ----------: | -----: | -----: | -------------: | ------------------: | -----------: | -----: | ------: |"
  )
  for (const connections of sizes) console.log(row(connections, await sample(origin, connections, millis)))
  upstream.disconnect()
}

interface Sample {
  readonly took: ReadonlyArray<number>
  readonly waited: ReadonlyArray<number>
  readonly mostWaiting: number
  readonly opened: number
  readonly refused: number
}

async function sample(origin: string, connections: number, millis: number): Promise<Sample> {
  const took: Array<number> = []
  const waited: Array<number> = []
  let mostWaiting = 0
  const program = Effect.gen(function* () {
    const { pools, transport } = yield* NodeTransport.make({ connections, maxWait: "1 second", maxQueue: 400 })
    const request = (onTimings: Transport.Request["onTimings"]): Transport.Request => ({
      upstream: "upstream",
      operation: "GET /",
      resend: 0,
      method: "GET",
      origin,
      path: "/",
      headers: {},
      body: undefined,
      expectedStatus: [],
      limits: { responseBytes: 1e6, errorBytes: 1e4, drainBytes: 1e5, drainTime: Duration.seconds(1) },
      onTimings
    })
    const call = (counted: boolean): Effect.Effect<unknown> =>
      Effect.suspend(() => {
        const begun = performance.now()
        const timed = transport.send(
          request(({ connectMillis, queueMillis }) => {
            // whoever a connection is made for waits too, once, and not for others
            if (counted && connectMillis === undefined) waited.push(queueMillis ?? 0)
          })
        )
        return Effect.andThen(
          Effect.exit(timed),
          Effect.sync(() => counted && took.push(performance.now() - begun))
        )
      })
    // arrivals of a Poisson process, from a generator of our own: every size gets the same ones
    let seed = 42
    const random = (): number => (seed = (seed * 48_271) % 2_147_483_647) / 2_147_483_647
    yield* Effect.callback<void>((resume) => {
      const begun = performance.now()
      const warmMillis = 500
      let next = begun
      const tick = setInterval(() => {
        const now = performance.now()
        for (; next <= now; next -= (Math.log(random()) * 1000) / perSecond) {
          Effect.runFork(call(now - begun > warmMillis))
        }
        mostWaiting = Math.max(mostWaiting, Effect.runSync(pools.snapshot)[0]?.waiting ?? 0)
        if (now - begun < warmMillis + millis) return
        clearInterval(tick)
        resume(Effect.void)
      }, 1)
    })
    yield* Effect.sleep("1500 millis")
    const [pool] = yield* pools.snapshot
    return { took, waited, mostWaiting, opened: pool?.opened ?? 0, refused: pool?.refused ?? 0 }
  })
  return Effect.runPromise(Effect.scoped(program))
}

function quantile(values: ReadonlyArray<number>, q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0
}

function row(connections: number, { mostWaiting, opened, refused, took, waited }: Sample): string {
  const share = waited.filter((millis) => millis >= 1).length / Math.max(1, waited.length)
  const cells = [
    connections,
    quantile(took, 0.5).toFixed(1),
    quantile(took, 0.99).toFixed(1),
    `${(100 * share).toFixed(1)} %`,
    quantile(waited, 0.99).toFixed(1),
    mostWaiting,
    opened,
    refused
  ]
  return `| ${cells.join(" | ")} |`
}
