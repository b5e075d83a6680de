import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, Metric, Schema } from "effect"
import { Distribution, makeTable, type Owner, Sum } from "../src/internal/metrics/series.ts"

/** An owner who remembers how to leave. */
const owning = (isBeyond = false) => {
  const removals: Array<() => void> = []
  let reads = 0
  const owner: Owner = { isBeyond, holds: (remove) => void removals.push(remove), wasRead: () => void reads++ }
  return { owner, leave: () => removals.splice(0).forEach((remove) => remove()), reads: () => reads }
}

/** A table, and what a reader of its registry sees of a metric. */
const tableOf = (maxSeries: number) => {
  const context = Context.make(Metric.MetricRegistry, new Map())
  const read = (id: string) =>
    Metric.snapshotUnsafe(context)
      .filter((snapshot) => snapshot.id === id)
      .map(({ attributes = {}, state }) => ({ of: attributes["holdfast.upstream"] ?? "the rest", attributes, state }))
  return { table: makeTable(context, maxSeries), read }
}

const upstream = (name: string) => ({ "holdfast.upstream": name })

describe("the series of a metric", () => {
  it("are at most as many as may be, and the one for the rest is one of them", () => {
    const { read, table } = tableOf(3)
    const { owner } = owning()
    const opened = ["a", "b", "c", "d"].map((name) => table.sum("holdfast.calls", upstream(name), owner))
    assert.deepStrictEqual(
      opened.map(({ isOwn }) => isOwn),
      [true, true, false, false]
    )
    for (const { series } of opened) series.value++
    assert.deepStrictEqual(
      read("holdfast.calls").map(({ of, state }) => [of, state]),
      [
        ["a", { count: 1, incremental: true }],
        ["b", { count: 1, incremental: true }],
        ["the rest", { count: 2, incremental: true }]
      ]
    )
    assert.deepInclude(read("holdfast.calls")[2]?.attributes, { "otel.metric.overflow": "true" })
  })

  it("share their bound and the series for the rest with counts that are kept elsewhere", () => {
    const { read, table } = tableOf(3)
    const { owner } = owning()
    const room = table.room("holdfast.hedges")
    assert.isTrue(table.sum("holdfast.hedges", upstream("a"), owner).isOwn)
    assert.isTrue(room.take())
    assert.isFalse(table.room("holdfast.hedges").take())
    const beyond = table.sum("holdfast.hedges", upstream("b"), owner)
    assert.isFalse(beyond.isOwn)
    beyond.series.value++
    room.addToRest(2)
    assert.deepStrictEqual(
      read("holdfast.hedges").map(({ of, state }) => [of, state]),
      [
        ["a", { count: 0, incremental: true }],
        ["the rest", { count: 3, incremental: true }]
      ]
    )
    room.give()
    assert.isTrue(table.sum("holdfast.hedges", upstream("c"), owner).isOwn)
  })

  it("are bounded for each metric apart, of either kind, and of one label set there is one", () => {
    const { read, table } = tableOf(2)
    const { owner } = owning()
    const first = table.sum("holdfast.calls", { "holdfast.upstream": "a", "holdfast.outcome": "success" }, owner)
    const again = table.sum("holdfast.calls", { "holdfast.outcome": "success", "holdfast.upstream": "a" }, owner)
    assert.strictEqual(first.series, again.series)
    assert.isTrue(again.isOwn)
    assert.isTrue(table.histogram("holdfast.call.duration", upstream("a"), owner).isOwn)
    assert.isFalse(table.histogram("holdfast.call.duration", upstream("b"), owner).isOwn)
    assert.lengthOf(read("holdfast.calls"), 1)
    assert.lengthOf(read("holdfast.call.duration"), 2)
  })

  it("of an owner for whom there is no room are the one for the rest, which nobody takes away", () => {
    const { read, table } = tableOf(10)
    const beyond = owning(true)
    const opened = table.sum("holdfast.calls", upstream("a"), beyond.owner)
    assert.isFalse(opened.isOwn)
    beyond.leave()
    assert.deepStrictEqual(
      read("holdfast.calls").map(({ of }) => of),
      ["the rest"]
    )
    assert.strictEqual(beyond.reads(), 0)
  })

  it("leave with their owner, and make room", () => {
    const { read, table } = tableOf(2)
    const one = owning()
    table.sum("holdfast.calls", upstream("a"), one.owner).series.value = 7
    assert.isFalse(table.sum("holdfast.calls", upstream("b"), owning().owner).isOwn)
    assert.strictEqual(one.reads(), 0)
    read("holdfast.calls")
    assert.strictEqual(one.reads(), 1)
    one.leave()
    const next = table.sum("holdfast.calls", upstream("a"), owning().owner)
    assert.isTrue(next.isOwn)
    assert.strictEqual(next.series.value, 0)
    assert.lengthOf(read("holdfast.calls"), 2)
  })

  it("leave, once they are closed, when they have been read", () => {
    const { read, table } = tableOf(5)
    const { owner } = owning()
    table.sum("holdfast.calls", upstream("a"), owner).series.value = 3
    table.histogram("holdfast.call.duration", upstream("a"), owner)
    table.close()
    assert.deepStrictEqual(
      read("holdfast.calls").map(({ state }) => state),
      [{ count: 3, incremental: true }]
    )
    assert.deepStrictEqual(read("holdfast.calls"), [])
    assert.deepStrictEqual(read("holdfast.call.duration"), [])
  })

  it("say whether they only go up", () => {
    const { table } = tableOf(5)
    const { owner } = owning()
    assert.isTrue(table.sum("holdfast.calls", {}, owner).series.isMonotonic)
    assert.isFalse(table.sum("http.client.active_requests", {}, owner).series.isMonotonic)
    assert.deepStrictEqual(new Sum(false).state(), { count: 0, incremental: false })
  })
})

describe("a histogram", () => {
  const boundaries = [1, 2.5, 10]

  it("has in each bucket what is above the boundary before, and up to its own, and counts the rest in its count alone", () => {
    const histogram = new Distribution(boundaries)
    const places = [0, 1, 1.1, 2.5, 2.6, 10, 10.1, 1e9].map((value) => histogram.record(value))
    assert.deepStrictEqual(places, [0, 0, 1, 1, 2, 2, 3, 3])
    const { buckets, count } = histogram.state()
    assert.deepStrictEqual(buckets, [
      [1, 2],
      [2.5, 4],
      [10, 6]
    ])
    assert.strictEqual(count, 8)
  })

  it("knows the sum, the least and the most of what it took, and 0 of nothing", () => {
    const histogram = new Distribution(boundaries)
    const empty = { count: 0, sum: 0, min: 0, max: 0 }
    assert.deepInclude(histogram.state(), empty)
    for (const none of [Number.NaN, -1, Infinity, -Infinity]) assert.strictEqual(histogram.record(none), -1)
    assert.deepInclude(histogram.state(), empty)
    for (const value of [4, 3, 20]) histogram.record(value)
    assert.deepInclude(histogram.state(), { count: 3, sum: 27, min: 3, max: 20 })
  })

  it("has the last exemplar of each bucket, of the one above all boundaries too, and none where there is none", () => {
    const histogram = new Distribution(boundaries)
    assert.notProperty(histogram.state(), "exemplars")
    const exemplar = (value: number) => ({ value, traceId: "t", spanId: "s", epochMillis: 1 })
    histogram.exemplify(0, exemplar(0.5))
    histogram.exemplify(0, exemplar(0.7))
    histogram.exemplify(3, exemplar(11))
    const { exemplars } = histogram.state()
    assert.deepStrictEqual(exemplars, [exemplar(0.7), undefined, undefined, exemplar(11)])
    histogram.exemplify(1, exemplar(2))
    assert.isUndefined(exemplars?.[1], "what was read stays as it was read")
  })

  it.prop(
    "puts every value where a search from the first boundary on would",
    [
      Arbitrary.array(Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))), {
        maxLength: 12
      }),
      Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 41 })))
    ],
    ([numbers, value]) => {
      const sorted = [...new Set(numbers)].sort((one, other) => one - other)
      const found = sorted.findIndex((boundary) => value <= boundary)
      assert.strictEqual(new Distribution(sorted).record(value), found < 0 ? sorted.length : found)
    }
  )
})
