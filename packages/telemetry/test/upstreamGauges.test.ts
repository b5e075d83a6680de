import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Metric } from "effect"
import type { Registered, Snapshot } from "@holdfast/http/UpstreamRegistry"
import { makeUpstreamGauges } from "../src/internal/metrics/upstreamGauges.ts"

const bodies = { open: 0, unread: 0, found: 0 }

const snapshot = (name: string, more: Partial<Snapshot> = {}): Snapshot => ({
  name,
  policy: "",
  bodies,
  endpoints: [],
  ...more
})

const always = (name: string, more?: Partial<Snapshot>): Registered => ({
  snapshot: Effect.succeed(snapshot(name, more))
})

/** Gauges of a registry of their own, and what somebody reads there: a name of an upstream, and its figure. */
const gaugesOf = (options: { readonly maxSeries?: number; readonly keepMillis?: number } = {}) => {
  const context = Context.make(Metric.MetricRegistry, new Map())
  let nowMillis = 0
  const gauges = makeUpstreamGauges(context, {
    maxSeries: options.maxSeries ?? 100,
    keepMillis: options.keepMillis ?? 1000,
    nowMillis: () => nowMillis
  })
  const read = (id: string) =>
    Metric.snapshotUnsafe(context).flatMap(({ attributes = {}, id: found, state }) =>
      found !== id
        ? []
        : [
            [
              attributes["holdfast.upstream"],
              "count" in state ? state.count : "value" in state ? state.value : undefined
            ] as const
          ]
    )
  return { gauges, read, pass: (millis: number) => void (nowMillis += millis) }
}

describe("the figures of upstreams in the registry", () => {
  it("of one that is added have a name, and one that cannot be read has none and is never asked again", () => {
    const { gauges, read } = gaugesOf()
    let looks = 0
    const broken: Registered = {
      snapshot: Effect.suspend(() => {
        looks++
        return Effect.die("no figures")
      })
    }
    assert.deepStrictEqual(gauges.add(broken), [])
    assert.deepStrictEqual(gauges.add(always("stock")), ["stock"])
    assert.deepStrictEqual(gauges.add({ snapshot: Effect.succeed([snapshot("a"), snapshot("b")]) }), ["a", "b"])
    read("holdfast.body.open")
    gauges.remove(broken)
    assert.strictEqual(looks, 1)
    assert.deepStrictEqual(
      read("holdfast.body.open").map(([name]) => name),
      ["stock", "a", "b"]
    )
  })

  it("are gone with their upstream, but for its counts, which are kept for a while", () => {
    const { gauges, pass, read } = gaugesOf()
    const stock = always("stock", { bodies: { open: 1, unread: 1, found: 3 } })
    gauges.add(stock)
    gauges.remove(stock)
    assert.deepStrictEqual(read("holdfast.body.open"), [])
    assert.deepStrictEqual(read("holdfast.body.forgotten"), [["stock", 3]])
    pass(999)
    assert.deepStrictEqual(read("holdfast.body.forgotten"), [["stock", 3]])
    pass(1)
    read("holdfast.body.forgotten")
    assert.deepStrictEqual(read("holdfast.body.forgotten"), [])
  })

  it("that were counted before go on counting where there is no room for more, and new ones do not", () => {
    const { gauges, read } = gaugesOf({ maxSeries: 2 })
    const [one, other] = [always("one", { bodies: { ...bodies, found: 1 } }), always("other")]
    gauges.add(one)
    gauges.add(other)
    gauges.remove(one)
    gauges.add(always("third", { bodies: { ...bodies, found: 5 } }))
    gauges.add(always("one", { bodies: { ...bodies, found: 2 } }))
    gauges.add(always("fourth", { bodies: { ...bodies, found: 7 } }))
    assert.deepStrictEqual(
      new Map(read("holdfast.body.forgotten")),
      new Map([
        ["one", 3],
        ["other", 0],
        ["third", 5]
      ])
    )
    assert.deepStrictEqual(read("holdfast.body.open"), [
      ["other", 0],
      ["third", 0]
    ])
  })

  it("of two that say the same are the first one's, and take no room from others", () => {
    const { gauges, read } = gaugesOf({ maxSeries: 2 })
    for (const open of [1, 2, 3]) gauges.add(always("stock", { bodies: { ...bodies, open, found: open } }))
    gauges.add(always("orders"))
    assert.deepStrictEqual(read("holdfast.body.open"), [
      ["stock", 1],
      ["orders", 0]
    ])
    assert.deepStrictEqual(read("holdfast.body.forgotten"), [
      ["stock", 6],
      ["orders", 0]
    ])
  })

  it("are read at one look for all that an export reads at once, and at another for the next", async () => {
    const { gauges, read } = gaugesOf()
    let looks = 0
    gauges.add({
      snapshot: Effect.sync(() => {
        looks++
        return snapshot("stock")
      })
    })
    looks = 0
    read("holdfast.body.open")
    assert.strictEqual(looks, 1)
    // a figure that is read a second time is of another export, within the same turn too
    read("holdfast.body.open")
    assert.strictEqual(looks, 2)
    await Promise.resolve()
    read("holdfast.body.open")
    assert.strictEqual(looks, 3)
  })

  it("are, when everything closes, what was counted, for the one export that is still to come", () => {
    const { gauges, read } = gaugesOf()
    let found = 1
    gauges.add({ snapshot: Effect.sync(() => snapshot("stock", { bodies: { open: 4, unread: 4, found } })) })
    const orders = always("orders", { bodies: { ...bodies, found: 7 } })
    gauges.add(orders)
    gauges.remove(orders)
    found = 2
    gauges.close()
    found = 3
    assert.deepStrictEqual(read("holdfast.body.forgotten"), [
      ["stock", 2],
      ["orders", 7]
    ])
    assert.deepStrictEqual(read("holdfast.body.forgotten"), [])
  })

  it("of what is open now are gone when everything closes", () => {
    const { gauges, read } = gaugesOf()
    gauges.add(always("stock", { bodies: { ...bodies, open: 4 } }))
    gauges.close()
    assert.deepStrictEqual(read("holdfast.body.open"), [])
  })

  it("of one that had none when it came are found when another series is read", () => {
    const { gauges, read } = gaugesOf()
    let snapshots: ReadonlyArray<Snapshot> = []
    gauges.add({ snapshot: Effect.sync(() => snapshots) })
    snapshots = [snapshot("one.internal:443")]
    assert.deepStrictEqual(read("holdfast.body.open"), [])
    gauges.look()
    assert.deepStrictEqual(read("holdfast.body.open"), [["one.internal:443", 0]])
  })

  it("are counters or gauges, with the unit and the words of the catalogue", () => {
    const context = Context.make(Metric.MetricRegistry, new Map())
    makeUpstreamGauges(context, { maxSeries: 10, keepMillis: 0, nowMillis: () => 0 }).add(
      always("stock", { version: "v2", bodies: { open: 1, unread: 0, found: 2 } })
    )
    const found = Metric.snapshotUnsafe(context).map(({ attributes, description, id, state, type }) => ({
      attributes,
      description: description !== undefined && description !== "",
      id,
      state,
      type
    }))
    const attributes = { "holdfast.upstream": "stock", "holdfast.upstream.version": "v2", unit: "{body}" }
    assert.deepStrictEqual(found, [
      { id: "holdfast.body.open", type: "Gauge", description: true, attributes, state: { value: 1 } },
      { id: "holdfast.body.unread", type: "Gauge", description: true, attributes, state: { value: 0 } },
      {
        id: "holdfast.body.forgotten",
        type: "Counter",
        description: true,
        attributes,
        state: { count: 2, incremental: true }
      }
    ])
  })
})
