import { assert, describe, it } from "@effect/vitest"
import { DropEpisode, quietMillis } from "../src/internal/otlp/dropEpisode.ts"

describe("an episode of drops", () => {
  it("begins once, however many batches are dropped and arrive in turn", () => {
    const episode = new DropEpisode()
    assert.isTrue(episode.noteDropped(0, "refused", 1))
    for (let second = 1; second < 100; second++) {
      assert.isFalse(episode.noteDropped(second * 1000, "refused", 1))
      assert.isUndefined(episode.noteArrived(second * 1000 + 500))
    }
  })

  it("is over with the first batch that arrives after a quiet while, and says what was dropped", () => {
    const episode = new DropEpisode()
    episode.noteDropped(1000, "overflow", 5)
    episode.noteDropped(4000, "exhausted", 2)
    episode.noteDropped(5000, "overflow", 1)
    assert.isUndefined(episode.noteArrived(5000 + quietMillis - 1))
    const over = episode.noteArrived(5000 + quietMillis)
    assert.strictEqual(over?.millis, 4000)
    assert.deepStrictEqual(
      [...(over?.dropped ?? [])],
      [
        ["overflow", 6],
        ["exhausted", 2]
      ]
    )
    assert.isUndefined(episode.noteArrived(6000 + quietMillis), "once")
    assert.isTrue(episode.noteDropped(7000 + quietMillis, "refused", 1), "and the next one begins afresh")
  })

  it("needs half a minute of quiet to be over", () => {
    assert.strictEqual(quietMillis, 30_000)
  })

  it("of a later time has nothing of the one before", () => {
    const episode = new DropEpisode()
    episode.noteDropped(0, "overflow", 5)
    episode.noteArrived(quietMillis)
    episode.noteDropped(100_000, "refused", 2)
    const over = episode.noteArrived(100_000 + quietMillis)
    assert.strictEqual(over?.millis, 0)
    assert.deepStrictEqual([...(over?.dropped ?? [])], [["refused", 2]])
  })

  it("is none when nothing was dropped", () => {
    assert.isUndefined(new DropEpisode().noteArrived(1e9))
  })
})
