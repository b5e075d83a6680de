import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Metric } from "effect"
import type * as Transport from "@holdfast/http/Transport"
import type { Pool, PoolFigures } from "../src/internal/pool/pool.ts"
import { registerPool } from "../src/internal/pool/poolMetrics.ts"
import { Pools } from "../src/internal/pool/pools.ts"

const figures: PoolFigures = {
  connections: 20,
  open: 9,
  idle: 4,
  opening: 2,
  retiring: 3,
  inFlight: 5,
  waiting: 6,
  opened: 30,
  failed: 0,
  refused: 0
}

const requestTo = (upstream: string, origin: string): Transport.Request => ({
  upstream,
  operation: "GET /",
  resend: 0,
  method: "GET",
  origin,
  path: "/",
  headers: {},
  body: undefined,
  expectedStatus: [],
  limits: { responseBytes: 1, errorBytes: 1, drainBytes: 1, drainTime: Duration.zero }
})

/** Pools of a transport, each of which says of itself what the test wants, and what was asked of them. */
const making = () => {
  const context = Context.make(Metric.MetricRegistry, new Map())
  const asked: Array<string> = []
  const empty = new Set<string>()
  const closed: Array<(protocol: "http/1.1" | "http/2", millis: number) => void> = []
  const pools = new Pools(context, (origin, onConnectionClosed) => {
    closed.push(onConnectionClosed)
    asked.push(`make ${origin}`)
    const pool: Pick<Pool, "isEmpty" | "figures" | "renew" | "destroy"> = {
      get isEmpty() {
        return empty.has(origin)
      },
      figures: () => figures,
      renew: () => void asked.push(`renew ${origin}`),
      destroy: () => {
        asked.push(`destroy ${origin}`)
        return Promise.resolve()
      }
    }
    // all that is asked of a pool here
    return pool as Pool
  })
  const gauges = () => new Set(Metric.snapshotUnsafe(context).map(({ attributes }) => attributes?.["server.address"]))
  const durations = () =>
    Metric.snapshotUnsafe(context).flatMap(({ attributes = {}, id, state }) =>
      id === "http.client.connection.duration"
        ? [{ upstream: attributes["holdfast.upstream"], version: attributes["network.protocol.version"], state }]
        : []
    )
  return { pools, asked, empty, gauges, closed, durations }
}

describe("the pools of a transport", () => {
  it("are one for each upstream at each endpoint, made when it is first called", () => {
    const { asked, pools } = making()
    const [a, b] = ["http://a.test", "http://b.test:81"]
    const first = pools.of(requestTo("stock", a))
    assert.strictEqual(pools.of(requestTo("stock", a)), first)
    assert.notStrictEqual(pools.of(requestTo("payments", a)), first)
    assert.notStrictEqual(pools.of(requestTo("stock", b)), first)
    assert.deepStrictEqual(asked, [`make ${a}`, `make ${a}`, `make ${b}`])
    assert.deepStrictEqual(
      pools.snapshot().map(({ endpoint, open, upstream }) => [upstream, endpoint, open]),
      [
        ["stock", "a.test:80", 9],
        ["payments", "a.test:80", 9],
        ["stock", "b.test:81", 9]
      ]
    )
  })

  it("tell the metric registry, each for its upstream, how long its connections lived", () => {
    const { closed, durations, pools } = making()
    for (const upstream of ["stock", "payments"]) pools.of(requestTo(upstream, "http://a.test"))
    assert.deepStrictEqual(durations(), [])
    closed[1]?.("http/2", 2500)
    assert.lengthOf(durations(), 1)
    assert.deepInclude(durations()[0], { upstream: "payments", version: "2" })
    assert.deepInclude(durations()[0]?.state, { count: 1, sum: 2.5 })
  })

  it("are renewed and destroyed all of them, and leave the metric registry with that", async () => {
    const { asked, gauges, pools } = making()
    for (const name of ["a", "b"]) pools.of(requestTo("stock", `http://${name}.test`))
    asked.length = 0
    pools.renew()
    assert.deepStrictEqual(gauges(), new Set(["a.test", "b.test"]))
    await pools.destroy()
    assert.deepStrictEqual(asked, [
      "renew http://a.test",
      "renew http://b.test",
      "destroy http://a.test",
      "destroy http://b.test"
    ])
    assert.deepStrictEqual(gauges(), new Set())
  })

  it("are kept though nobody uses them, but for when there are a thousand and more", () => {
    const { asked, empty, gauges, pools } = making()
    const origin = (index: number) => `http://h${index}.test`
    for (const index of [0, 2]) empty.add(origin(index))
    for (let index = 0; index < 1024; index++) pools.of(requestTo("stock", origin(index)))
    assert.lengthOf(pools.snapshot(), 1024)
    pools.of(requestTo("stock", origin(5)))
    assert.lengthOf(pools.snapshot(), 1024)
    pools.of(requestTo("stock", origin(1024)))
    assert.lengthOf(pools.snapshot(), 1023)
    for (const index of [0, 2]) assert.isFalse(gauges().has(`h${index}.test`))
    assert.isTrue(gauges().has("h1.test"))
    assert.lengthOf(asked, 1025)
  })
})

describe("what a pool has in the metric registry", () => {
  const registered = () => {
    const context = Context.make(Metric.MetricRegistry, new Map())
    const pool = registerPool(context, { upstream: "stock", host: "h.test", port: "81", figures: () => figures })
    const read = () =>
      Metric.snapshotUnsafe(context).map(({ attributes = {}, id, state }) => ({
        id,
        attributes,
        state: state as unknown
      }))
    return { pool, read }
  }

  it("is every figure of it as it is when somebody reads, with where it leads", () => {
    const { read } = registered()
    const found = read().map(({ attributes, id, state }) => {
      assert.deepInclude(attributes, {
        "holdfast.upstream": "stock",
        "server.address": "h.test",
        "server.port": "81"
      })
      return [id, attributes["http.connection.state"], attributes["unit"], state]
    })
    assert.deepStrictEqual(found, [
      ["http.client.open_connections", "active", "{connection}", { value: 8 }],
      ["http.client.open_connections", "idle", "{connection}", { value: 4 }],
      ["holdfast.pool.limit", undefined, "{connection}", { value: 20 }],
      ["holdfast.pool.opening", undefined, "{connection}", { value: 2 }],
      ["holdfast.pool.retiring", undefined, "{connection}", { value: 3 }],
      ["holdfast.pool.in_flight", undefined, "{request}", { value: 5 }],
      ["holdfast.pool.waiting", undefined, "{request}", { value: 6 }]
    ])
  })

  it("is how long its connections lived, in seconds, for each protocol apart", () => {
    const { pool, read } = registered()
    pool.connectionClosed("http/1.1", 1500)
    pool.connectionClosed("http/1.1", 500)
    pool.connectionClosed("http/2", 30_000)
    const found = read().flatMap(({ attributes, id, state }) =>
      id === "http.client.connection.duration"
        ? [[attributes["network.protocol.version"], attributes["unit"], state]]
        : []
    )
    assert.lengthOf(found, 2)
    assert.deepInclude(found[0]?.[2], { count: 2, sum: 2, min: 0.5, max: 1.5 })
    assert.deepInclude(found[1]?.[2], { count: 1, sum: 30 })
    const bounds = read().flatMap(({ id, state }) =>
      id === "http.client.connection.duration"
        ? // a histogram has buckets
          [(state as { readonly buckets: ReadonlyArray<readonly [number, number]> }).buckets.slice(0, 14)]
        : []
    )
    const seconds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]
    assert.deepStrictEqual(
      bounds.map((buckets) => buckets.map(([bound]) => bound)),
      [seconds, seconds]
    )
    assert.deepStrictEqual(
      found.map(([version, unit]) => [version, unit]),
      [
        ["1.1", "s"],
        ["2", "s"]
      ]
    )
  })

  it("is gone when it is forgotten", () => {
    const { pool, read } = registered()
    pool.connectionClosed("http/2", 1)
    pool.forget()
    assert.deepStrictEqual(read(), [])
  })
})
