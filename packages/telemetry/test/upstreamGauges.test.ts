import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Metric } from "effect"
import type { Registered, Snapshot } from "@holdfast/http/UpstreamRegistry"
import { makeTable } from "../src/internal/metrics/series.ts"
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
  const { maxSeries = 100 } = options
  const table = makeTable(context, maxSeries, () => gauges.look())
  const gauges = makeUpstreamGauges(context, {
    maxSeries,
    roomOf: table.room,
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

  it("that count and find no place are counted in the series for the rest, and those that had one go on in it", () => {
    const { gauges, read } = gaugesOf({ maxSeries: 3 })
    const [one, third] = [
      always("one", { bodies: { ...bodies, found: 1 } }),
      always("third", { bodies: { ...bodies, found: 5 } })
    ]
    gauges.add(one)
    gauges.add(always("other"))
    gauges.remove(one)
    gauges.add(third)
    gauges.add(always("one", { bodies: { ...bodies, found: 2 } }))
    gauges.add(always("fourth", { bodies: { ...bodies, found: 7 } }))
    gauges.remove(third)
    gauges.add(third)
    const shown = new Map<string | undefined, unknown>([
      ["one", 3],
      ["other", 0],
      [undefined, 5 + 7 + 5]
    ])
    assert.deepStrictEqual(new Map(read("holdfast.body.forgotten")), shown)
    assert.deepStrictEqual(new Map(read("holdfast.body.forgotten")), shown, "nothing is counted twice")
    assert.deepStrictEqual(read("holdfast.body.open"), [
      ["other", 0],
      ["one", 0],
      ["fourth", 0]
    ])
  })

  it("that count take the place of one that was kept long enough, and count in it what comes from there on", () => {
    const { gauges, pass, read } = gaugesOf({ maxSeries: 2 })
    let found = 4
    const first = always("first", { bodies: { ...bodies, found: 1 } })
    gauges.add(first)
    gauges.add({ snapshot: Effect.sync(() => snapshot("second", { bodies: { ...bodies, found } })) })
    gauges.remove(first)
    pass(1000)
    gauges.look()
    assert.deepStrictEqual(
      new Map(read("holdfast.body.forgotten")),
      new Map<string | undefined, unknown>([
        [undefined, 4],
        ["second", 0]
      ])
    )
    found = 6
    assert.deepStrictEqual(
      new Map(read("holdfast.body.forgotten")),
      new Map<string | undefined, unknown>([
        [undefined, 4],
        ["second", 2]
      ])
    )
  })

  it("are as many as the bound, however many come and go", () => {
    const { gauges, read } = gaugesOf({ maxSeries: 10 })
    for (let index = 0; index < 200; index++) {
      const passing = always(`tenant${index}`, { bodies: { ...bodies, found: 1 } })
      gauges.add(passing)
      gauges.remove(passing)
    }
    const counts = read("holdfast.body.forgotten")
    assert.lengthOf(counts, 10)
    assert.strictEqual(
      counts.reduce((sum, [, count]) => sum + Number(count), 0),
      200
    )
  })

  it("are read once when their upstream comes and once when it leaves, whatever others there are", () => {
    const { gauges } = gaugesOf({ maxSeries: 1000 })
    let looks = 0
    const counted = (name: string): Registered => ({
      snapshot: Effect.sync(() => {
        looks++
        return snapshot(name)
      })
    })
    const all = Array.from({ length: 50 }, (_, index) => counted(`tenant${index}`))
    for (const upstream of all) gauges.add(upstream)
    assert.strictEqual(looks, 50)
    for (const upstream of all) gauges.remove(upstream)
    assert.strictEqual(looks, 100)
  })

  it("that count go on from where they were, each time their upstream begins to count anew", () => {
    const { gauges, read } = gaugesOf()
    let found = 0
    gauges.add({ snapshot: Effect.sync(() => snapshot("stock", { bodies: { ...bodies, found } })) })
    const told = [5, 2, 3, 1, 1].map((now) => {
      found = now
      return read("holdfast.body.forgotten")
    })
    assert.deepStrictEqual(
      told,
      [5, 7, 8, 9, 9].map((count) => [["stock", count] as const])
    )
  })

  it("that one upstream tells twice are added up where they count, and the first of them otherwise", () => {
    const { gauges, read } = gaugesOf()
    const twice = [2, 3].map((found) => snapshot("stock", { bodies: { open: found, unread: 0, found } }))
    gauges.add({ snapshot: Effect.succeed(twice) })
    for (let looks = 0; looks < 2; looks++) {
      assert.deepStrictEqual(read("holdfast.body.forgotten"), [["stock", 5]])
      assert.deepStrictEqual(read("holdfast.body.open"), [["stock", 2]])
    }
  })

  it("that count are kept as long again after an upstream that came back has left again", () => {
    const { gauges, pass, read } = gaugesOf()
    const comeAndGo = (found: number) => {
      const stock = always("stock", { bodies: { ...bodies, found } })
      gauges.add(stock)
      gauges.remove(stock)
    }
    comeAndGo(3)
    pass(900)
    comeAndGo(1)
    pass(999)
    gauges.look()
    assert.deepStrictEqual(read("holdfast.body.forgotten"), [["stock", 4]])
    pass(1)
    comeAndGo(2)
    assert.deepStrictEqual(read("holdfast.body.forgotten"), [["stock", 2]], "what is forgotten begins anew")
  })

  it("of two that say the same are the first one's, and take no room from others", () => {
    const { gauges, read } = gaugesOf({ maxSeries: 3 })
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
    const { room: roomOf } = makeTable(context, 10)
    makeUpstreamGauges(context, { maxSeries: 10, roomOf, keepMillis: 0, nowMillis: () => 0 }).add(
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
