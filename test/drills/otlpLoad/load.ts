/**
 * A thousand calls a second, in turns of a second: with spans that nobody exports, and with every span exported to a receiver that
 * says nothing. Prints, as JSON, the latencies and the processor time of the calls of both, the memory that the exporter took, and what became of all spans once the
 * receiver was well again. A program of its own, because the heap of a test runner is everybody's. Run with `--expose-gc` and: how
 * many seconds there are of each, the bytes of the exporter's queue, and `effect` for Effect's own exporter, to compare.
 */
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { Context, Effect, Exit, Layer, Scope, Tracer } from "effect"
import { FetchHttpClient } from "effect/http"
import * as EffectOtlp from "effect/observability/Otlp"
import { HttpPolicy, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { Otlp } from "holdfast/telemetry"

const seconds = Number(process.argv[2] ?? 5)
const queueBytes = Number(process.argv[3] ?? 4 * 2 ** 20)
const isEffects = process.argv[4] === "effect"

const collect = (globalThis as { gc?: () => void }).gc
if (collect === undefined) throw new Error("run it with --expose-gc")

const megabytes = (): number => {
  collect()
  const { arrayBuffers, external, heapUsed } = process.memoryUsage()
  return (heapUsed + Math.max(external, arrayBuffers)) / 2 ** 20
}

class Payments extends Upstream.Service<Payments>()("payments", { baseUrl: "http://127.0.0.1" }) {}

const perSecond = 1000
const tickMillis = 10

interface Turn {
  readonly latencies: ReadonlyArray<number>
  /** Of the processor, a call. */
  readonly microseconds: number
}

/** Calls at a steady rate, whatever becomes of them; gives how long they took. */
const load = (call: () => Promise<void>, forMillis: number) =>
  new Promise<Turn>((resolve, reject) => {
    const processor = process.cpuUsage()
    const latencies: Array<number> = []
    const started = performance.now()
    let made = 0
    let running = 0
    const timer = setInterval(() => {
      const millis = performance.now() - started
      if (millis >= forMillis) {
        clearInterval(timer)
        const settle = (): void => {
          if (running > 0) return void setTimeout(settle, 5)
          const { system, user } = process.cpuUsage(processor)
          resolve({ latencies, microseconds: (user + system) / made })
        }
        return settle()
      }
      const due = Math.floor((millis / 1000) * perSecond) - made
      for (let index = 0; index < due; index++) {
        made++
        running++
        const began = performance.now()
        call().then(() => {
          running--
          latencies.push(performance.now() - began)
        }, reject)
      }
    }, tickMillis)
  })

const quantile = (latencies: ReadonlyArray<number>, at: number): number =>
  latencies.toSorted((a, b) => a - b)[Math.floor(latencies.length * at)] ?? NaN

const servers = spawn(process.execPath, [fileURLToPath(new URL("servers.ts", import.meta.url))], {
  stdio: ["pipe", "pipe", "inherit"]
})
const said = createInterface({ input: servers.stdout })[Symbol.asyncIterator]()
const line = async (): Promise<string> => {
  const { value } = await said.next()
  return String(value)
}
// what the servers print
const urls = JSON.parse(await line()) as { readonly upstream: string; readonly receiver: string }

const upstreamLayer = Payments.layerWith({
  baseUrl: urls.upstream,
  policy: HttpPolicy.standard({ retry: { maxAttempts: 1 } })
}).pipe(Layer.provide(NodeTransport.layer()))

const callOf = (payments: Payments["Service"]) => payments.get("/charges/{id}", { params: { id: "ch_1" } })

/** Builds a client above the telemetry; gives how to call it, how many spans it made, what it has, and how to close it. */
const client = async <A>(telemetry: Layer.Layer<A>) => {
  const scope = Effect.runSync(Scope.make())
  let spans = 0
  const counted = Layer.effect(
    Tracer.Tracer,
    Effect.map(Effect.tracer, (tracer) =>
      Tracer.make({
        span: (options) => {
          spans++
          return tracer.span(options)
        }
      })
    )
  )
  const layers = upstreamLayer.pipe(Layer.provideMerge(counted), Layer.provideMerge(telemetry))
  const context = await Effect.runPromise(Layer.buildWithScope(layers, scope))
  const run = Effect.runPromiseWith(context)
  // on a machine that is busy a call may fail, and be refused after others that did
  const program = Effect.ignore(Effect.flatMap(Payments, callOf))
  return {
    context,
    spans: () => spans,
    call: () => run(program),
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}

const ours = Otlp.layerFetch({
  url: urls.receiver,
  resource: { serviceName: "load" },
  signals: ["traces"],
  timeout: "2 seconds",
  maxQueueBytes: queueBytes,
  shutdownTimeout: "30 seconds"
})
const effects = EffectOtlp.layerProtobuf({ baseUrl: urls.receiver, resource: { serviceName: "load" } }).pipe(
  Layer.provide(FetchHttpClient.layer)
)

/** The same spans, for nobody. */
const plain = await client(
  Layer.succeed(Tracer.Tracer, Tracer.make({ span: (options) => new Tracer.NativeSpan(options) }))
)
const exporting = isEffects ? await client(effects) : await client(ours)
const exporter = Context.getOption(exporting.context as Context.Context<never>, Otlp.Exporter)

// everything is compiled before anything is measured
await load(plain.call, 1500)
await load(exporting.call, 1500)
const before = megabytes()
let most = before
let calls = 0
const turns: { readonly [side in "without" | "exporting"]: Array<Turn> } = { without: [], exporting: [] }
for (let second = 0; second < seconds; second++) {
  turns.without.push(await load(plain.call, 1000))
  const turn = await load(exporting.call, 1000)
  turns.exporting.push(turn)
  calls += turn.latencies.length
  most = Math.max(most, megabytes())
}

servers.stdin.write("well\n")
await plain.close()
// sends what is left
await exporting.close()
servers.stdin.write("count\n")
const arrived = Number(await line())
const stats = exporter._tag === "Some" ? await Effect.runPromise(exporter.value.stats) : undefined
servers.kill()

/** The quarter of the turns that were least disturbed by what else the machine does. */
const best = (figure: (turn: Turn) => number) => ({
  without: quantile(turns.without.map(figure), 0.25),
  exporting: quantile(turns.exporting.map(figure), 0.25)
})
console.log(
  JSON.stringify({
    calls,
    p50: best(({ latencies }) => quantile(latencies, 0.5)),
    p99: best(({ latencies }) => quantile(latencies, 0.99)),
    microseconds: best(({ microseconds }) => microseconds),
    megabytes: most - before,
    made: exporting.spans(),
    arrived,
    stats: stats?.traces
  })
)
