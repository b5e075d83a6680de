/** Traffic without a clock that runs: arrivals and ends are numbers, so that a minute of 2000 calls a second takes a moment. */

/** Random numbers that are the same in every run (mulberry32). */
export const seeded = (seed: number): (() => number) => {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

/** How long calls take, at a share of the time between 0 and 1. */
export const latencies: { readonly [kind: string]: (random: () => number, passed: number) => number } = {
  flat: (random) => 18 + 4 * random(),
  // log-normal, σ 0.9: a median of 15 ms, a 99th percentile of 120 ms
  "heavy tail": (random) =>
    15 * Math.exp(0.9 * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())),
  step: (random, passed) => (passed < 0.6 ? 1 : 3) * (18 + 4 * random())
}

interface Item<A> {
  readonly atMillis: number
  readonly value: A
}

/** What is still to happen, the first on top: a binary heap. */
export class Agenda<A> {
  private readonly items: Array<Item<A>> = []

  add(atMillis: number, value: A): void {
    const { items } = this
    let at = items.length
    const item = { atMillis, value }
    items.push(item)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = items[above]
      if (parent === undefined || parent.atMillis <= atMillis) break
      items[at] = parent
      at = above
    }
    items[at] = item
  }

  /** Takes the first, if it is due. */
  due(nowMillis: number): Item<A> | undefined {
    const { items } = this
    const [first] = items
    if (first === undefined || first.atMillis > nowMillis) return undefined
    const last = items.pop()
    if (last === undefined || items.length === 0) return first
    let at = 0
    for (;;) {
      const [left, right] = [items[2 * at + 1], items[2 * at + 2]]
      if (left === undefined) break
      const isRight = right !== undefined && right.atMillis < left.atMillis
      const child = isRight ? right : left
      if (child.atMillis >= last.atMillis) break
      items[at] = child
      at = 2 * at + (isRight ? 2 : 1)
    }
    items[at] = last
    return first
  }
}
