/**
 * When to say that items are dropped: once when it begins, and once when it is over, however many batches lie between. It is over
 * when a batch arrives and none was dropped for a while, so that a receiver which takes every other batch is one episode.
 */

import type { DropReason } from "./deliveryQueue.ts"

/** So long must nothing have been dropped before it is over. */
export const quietMillis = 30_000

export interface Over {
  readonly millis: number
  readonly dropped: ReadonlyMap<DropReason, number>
}

export class DropEpisode {
  private begunMillis: number | undefined
  private lastMillis = 0
  private readonly dropped = new Map<DropReason, number>()

  /** Items were dropped: whether it has begun with them. */
  noteDropped(nowMillis: number, reason: DropReason, items: number): boolean {
    const begins = this.begunMillis === undefined
    if (begins) this.begunMillis = nowMillis
    this.lastMillis = nowMillis
    this.dropped.set(reason, (this.dropped.get(reason) ?? 0) + items)
    return begins
  }

  /** A batch arrived: gives the episode that is over with it. */
  noteArrived(nowMillis: number): Over | undefined {
    if (this.begunMillis === undefined || nowMillis - this.lastMillis < quietMillis) return undefined
    const over = { millis: this.lastMillis - this.begunMillis, dropped: new Map(this.dropped) }
    this.begunMillis = undefined
    this.dropped.clear()
    return over
  }
}
