/** How counters that upstreams keep themselves are read as counters that only go up. */

import type { Reading } from "./stageReadings.ts"

/** The counts of one label set. */
interface Counter {
  readonly reading: Reading
  /** Of upstreams that have left, and of counts that began again. */
  before: number
  /** The latest count of each upstream that lives. */
  readonly latest: Map<object, number>
  leftAtMillis: number | undefined
}

/**
 * Counts that upstreams keep themselves, one for each label set. They only go up: an upstream that counts anew, because its policy was
 * reloaded or because it came back, goes on where the last one of its name was, and two of one name are counted together. A count that
 * nobody adds to any more is forgotten after a while.
 */
export class UpstreamCounters {
  private readonly counters = new Map<string, Counter>()
  private readonly keepMillis: number

  constructor(keepMillis: number) {
    this.keepMillis = keepMillis
  }

  has(key: string): boolean {
    return this.counters.has(key)
  }

  note(key: string, upstream: object, reading: Reading): void {
    let counter = this.counters.get(key)
    if (counter === undefined) {
      counter = { reading, before: 0, latest: new Map(), leftAtMillis: undefined }
      this.counters.set(key, counter)
    }
    const last = counter.latest.get(upstream)
    if (last !== undefined && reading.value < last) counter.before += last
    counter.latest.set(upstream, reading.value)
    counter.leftAtMillis = undefined
  }

  /** The counts, after all that live have been noted; `isNoted` says whether one was. */
  readings(nowMillis: number, isNoted: (key: string, upstream: object) => boolean): ReadonlyMap<string, Reading> {
    const found = new Map<string, Reading>()
    for (const [key, counter] of this.counters) {
      let value = 0
      for (const [upstream, latest] of counter.latest) {
        if (isNoted(key, upstream)) value += latest
        else {
          counter.before += latest
          counter.latest.delete(upstream)
        }
      }
      if (counter.latest.size === 0) {
        counter.leftAtMillis ??= nowMillis
        if (nowMillis - counter.leftAtMillis >= this.keepMillis) {
          this.counters.delete(key)
          continue
        }
      }
      found.set(key, { ...counter.reading, value: counter.before + value })
    }
    return found
  }
}
