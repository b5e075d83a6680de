import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import * as Queue from "../src/internal/otlp/deliveryQueue.ts"

const lost = <B>(queue: Queue.DeliveryQueue<B>): number =>
  Object.values(queue.dropped).reduce((total, items) => total + items, 0)

const step = Schema.Union([
  Schema.Struct({
    _tag: Schema.Literal("offer"),
    items: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })),
    bytes: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 40 }))
  }),
  Schema.Struct({ _tag: Schema.Literal("take") }),
  Schema.Struct({
    _tag: Schema.Literal("settle"),
    reason: Schema.Literals(["arrived", "refused", "exhausted"]),
    rejected: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 })),
    items: Schema.UndefinedOr(Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 9 })))
  }),
  Schema.Struct({ _tag: Schema.Literal("lose") })
])

describe("the queue of a delivery", () => {
  it.prop(
    "accounts for every item and keeps its bounds, whatever happens in whatever order",
    [Schema.Array(step)],
    ([steps]) => {
      const queue = Queue.makeDeliveryQueue<number>({ maxBytes: 60, maxBatches: 4 })
      let given = 0
      for (const [index, step] of steps.entries()) {
        switch (step._tag) {
          case "offer":
            given += step.items
            Queue.offer(queue, step.items, step.bytes, index)
            break
          case "take":
            if (queue.sending === undefined) Queue.take(queue)
            break
          case "settle":
            Queue.settle(queue, step.reason, step.rejected, step.items)
            break
          case "lose":
            given += 2
            Queue.lose(queue, "unencodable", 2)
            break
        }
        const held = [...queue.waiting, ...(queue.sending === undefined ? [] : [queue.sending])]
        assert.strictEqual(queue.offered, given)
        assert.strictEqual(queue.arrived + lost(queue) + Queue.pendingItems(queue), given)
        assert.strictEqual(
          queue.bytes,
          held.reduce((total, { bytes }) => total + bytes, 0)
        )
        assert.isAtMost(queue.bytes, 60)
        assert.isAtMost(held.length, 4)
        const sequences = queue.waiting.map(({ sequence }) => sequence)
        assert.deepStrictEqual(
          sequences,
          sequences.toSorted((a, b) => a - b)
        )
        assert.strictEqual(
          Queue.oldestPending(queue),
          held.length === 0 ? undefined : Math.min(...held.map(({ sequence }) => sequence))
        )
      }
      Queue.abandon(queue)
      assert.deepInclude(queue, { bytes: 0, sending: undefined })
      assert.strictEqual(queue.arrived + lost(queue), given)
    }
  )

  it("drops the oldest for what is newer, and never the batch that is being sent", () => {
    const queue = Queue.makeDeliveryQueue<string>({ maxBytes: 30, maxBatches: 10 })
    Queue.offer(queue, 1, 10, "first")
    Queue.take(queue)
    Queue.offer(queue, 2, 10, "second")
    Queue.offer(queue, 3, 10, "third")
    assert.strictEqual(Queue.offer(queue, 4, 10, "fourth"), 2)
    assert.strictEqual(queue.sending?.content, "first")
    assert.deepStrictEqual(
      queue.waiting.map(({ content }) => content),
      ["third", "fourth"]
    )
    assert.strictEqual(Queue.offer(queue, 5, 20, "fifth"), 7)
    assert.strictEqual(queue.dropped.overflow, 9)
  })

  it("drops a batch for which nothing could make room, and nothing for its sake", () => {
    const queue = Queue.makeDeliveryQueue<string>({ maxBytes: 30, maxBatches: 10 })
    Queue.offer(queue, 1, 10, "first")
    Queue.take(queue)
    Queue.offer(queue, 2, 10, "second")
    assert.strictEqual(Queue.offer(queue, 7, 31, "more than it holds"), 7)
    assert.strictEqual(Queue.offer(queue, 7, 21, "more than there is beside the first"), 7)
    assert.strictEqual(Queue.pendingItems(queue), 3)
  })

  it("holds a batch that is done with in pieces until the last of them is", () => {
    const queue = Queue.makeDeliveryQueue<string>({ maxBytes: 30, maxBatches: 10 })
    Queue.offer(queue, 7, 10, "batch")
    Queue.take(queue)
    assert.strictEqual(Queue.settle(queue, "arrived", 1, 4), 1)
    assert.deepInclude(queue, { arrived: 3, bytes: 10 })
    assert.strictEqual(Queue.settle(queue, "refused", 0, 3), 3)
    assert.deepInclude(queue, { arrived: 3, bytes: 0, sending: undefined })
  })

  it("holds as many batches as it may, the one that is being sent among them", () => {
    const queue = Queue.makeDeliveryQueue<string>({ maxBytes: 100, maxBatches: 3 })
    for (const name of ["first", "second", "third"]) assert.strictEqual(Queue.offer(queue, 1, 1, name), 0)
    assert.strictEqual(Queue.offer(queue, 1, 1, "fourth"), 1)
    Queue.take(queue)
    assert.strictEqual(Queue.offer(queue, 1, 1, "fifth"), 1)
    assert.deepStrictEqual(
      [queue.sending, ...queue.waiting].map((batch) => batch?.content),
      ["second", "fourth", "fifth"]
    )
    Queue.settle(queue, "arrived")
    Queue.take(queue)
    assert.strictEqual(Queue.offer(queue, 1, 1, "sixth"), 0)
  })

  it("counts all of a batch that arrived unless it is told of rejected items", () => {
    const queue = Queue.makeDeliveryQueue<string>({ maxBytes: 30, maxBatches: 10 })
    Queue.offer(queue, 7, 10, "batch")
    Queue.take(queue)
    assert.strictEqual(Queue.settle(queue, "arrived"), 0)
    assert.deepInclude(queue, { arrived: 7, sending: undefined })
    assert.strictEqual(queue.dropped.partial, 0)
    assert.strictEqual(Queue.settle(queue, "arrived"), 0, "nothing is being sent")
    assert.strictEqual(queue.arrived, 7)
  })

  it("counts no more as rejected than a batch has", () => {
    const queue = Queue.makeDeliveryQueue<string>({ maxBytes: 30, maxBatches: 10 })
    Queue.offer(queue, 7, 1, "batch")
    Queue.take(queue)
    assert.strictEqual(Queue.settle(queue, "arrived", 70), 7)
    assert.deepInclude(queue, { offered: 7, arrived: 0 })
  })
})
