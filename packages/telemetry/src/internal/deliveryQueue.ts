/**
 * What waits to be sent of one signal, bounded in bytes and in batches, and the count of what became of everything. No Effect, no
 * clock.
 *
 * When it is full, the oldest batch makes room: after an outage an operator looks at what is happening now, and the newest
 * values of cumulative metrics hold all the earlier ones.
 */

/** Why items never arrived. */
export type DropReason = "overflow" | "refused" | "exhausted" | "partial" | "unencodable" | "shutdown"

export const dropReasons: ReadonlyArray<DropReason> = [
  "overflow",
  "refused",
  "exhausted",
  "partial",
  "unencodable",
  "shutdown"
]

export interface Batch<B> {
  /** Counts up from 1, in the order in which they were offered. */
  readonly sequence: number
  readonly items: number
  readonly bytes: number
  readonly content: B
}

export interface Bounds {
  readonly maxBytes: number
  readonly maxBatches: number
}

export interface DeliveryQueue<B> {
  readonly bounds: Bounds
  readonly waiting: Array<Batch<B>>
  /** The batch that is being sent. It has left the queue, and still counts against its bounds. */
  sending: Batch<B> | undefined
  /** Bytes that wait or are being sent. */
  bytes: number
  lastSequence: number
  /** Items that were handed over: `arrived`, all of `dropped`, and what waits or is being sent. */
  offered: number
  arrived: number
  readonly dropped: Record<DropReason, number>
}

export const makeDeliveryQueue = <B>(bounds: Bounds): DeliveryQueue<B> => ({
  bounds,
  waiting: [],
  sending: undefined,
  bytes: 0,
  lastSequence: 0,
  offered: 0,
  arrived: 0,
  dropped: { overflow: 0, refused: 0, exhausted: 0, partial: 0, unencodable: 0, shutdown: 0 }
})

const held = <B>(queue: DeliveryQueue<B>): number => queue.waiting.length + (queue.sending === undefined ? 0 : 1)

const drop = <B>(queue: DeliveryQueue<B>, reason: DropReason, items: number): void => {
  queue.dropped[reason] += items
}

/**
 * Takes a batch in, and gives how many items were dropped for it: those of the oldest batches, or its own where it would not fit
 * into an empty queue, or beside the one that is being sent.
 */
export const offer = <B>(queue: DeliveryQueue<B>, items: number, bytes: number, content: B): number => {
  const { maxBatches, maxBytes } = queue.bounds
  queue.offered += items
  let dropped = 0
  while (queue.waiting.length > 0 && (held(queue) >= maxBatches || queue.bytes + bytes > maxBytes)) {
    const oldest = queue.waiting.shift()
    if (oldest === undefined) break
    queue.bytes -= oldest.bytes
    dropped += oldest.items
  }
  if (held(queue) >= maxBatches || queue.bytes + bytes > maxBytes) dropped += items
  else {
    queue.bytes += bytes
    queue.waiting.push({ sequence: ++queue.lastSequence, items, bytes, content })
  }
  drop(queue, "overflow", dropped)
  return dropped
}

/** Counts items that could not be made a batch of. */
export const lose = <B>(queue: DeliveryQueue<B>, reason: DropReason, items: number): void => {
  queue.offered += items
  drop(queue, reason, items)
}

/** The oldest batch, which is being sent from now on. Only when none is. */
export const take = <B>(queue: DeliveryQueue<B>): Batch<B> | undefined => {
  queue.sending = queue.waiting.shift()
  return queue.sending
}

/** The batch that was sent is done with: it arrived, but for so many items, or was dropped as a whole. */
export const settle = <B>(queue: DeliveryQueue<B>, reason: DropReason | "arrived", rejected = 0): number => {
  const batch = queue.sending
  if (batch === undefined) return 0
  queue.sending = undefined
  queue.bytes -= batch.bytes
  if (reason !== "arrived") {
    drop(queue, reason, batch.items)
    return batch.items
  }
  const lost = Math.min(rejected, batch.items)
  queue.arrived += batch.items - lost
  drop(queue, "partial", lost)
  return lost
}

/** Drops all that there is, and gives how many items that were. */
export const abandon = <B>(queue: DeliveryQueue<B>): number => {
  let lost = settle(queue, "shutdown")
  for (const batch of queue.waiting.splice(0)) {
    queue.bytes -= batch.bytes
    drop(queue, "shutdown", batch.items)
    lost += batch.items
  }
  return lost
}

/** The oldest batch that is not done with. */
export const oldestPending = <B>(queue: DeliveryQueue<B>): number | undefined =>
  (queue.sending ?? queue.waiting[0])?.sequence

/** Items that wait or are being sent. */
export const pendingItems = <B>(queue: DeliveryQueue<B>): number =>
  queue.waiting.reduce((total, batch) => total + batch.items, queue.sending?.items ?? 0)
