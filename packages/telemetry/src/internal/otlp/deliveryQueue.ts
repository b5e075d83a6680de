/**
 * The batches of one signal that wait to be sent, bounded in bytes and in number, and the counts of all items. No Effect, no
 * clock.
 *
 * When it is full, the oldest batch makes room: after an outage an operator looks at the present, and the newest values of
 * cumulative metrics hold all the earlier ones.
 */

/** Why items never arrived. */
export type DropReason = "overflow" | "oversized" | "refused" | "exhausted" | "partial" | "unencodable" | "shutdown"

export const dropReasons: ReadonlyArray<DropReason> = [
  "overflow",
  "oversized",
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
  /** Items that were handed over: `arrived`, all of `dropped`, and the items that wait or are being sent. */
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
  dropped: { overflow: 0, oversized: 0, refused: 0, exhausted: 0, partial: 0, unencodable: 0, shutdown: 0 }
})

const held = <B>(queue: DeliveryQueue<B>): number => queue.waiting.length + (queue.sending === undefined ? 0 : 1)

const drop = <B>(queue: DeliveryQueue<B>, reason: DropReason, items: number): void => {
  queue.dropped[reason] += items
}

/**
 * Takes a batch in, and gives how many items were dropped for it: those of the oldest batches, or its own where it would not fit
 * beside the one that is being sent, even in an empty queue.
 */
export const offer = <B>(queue: DeliveryQueue<B>, items: number, bytes: number, content: B): number => {
  const { maxBatches, maxBytes } = queue.bounds
  queue.offered += items
  const { sending } = queue
  let dropped = 0
  if ((sending === undefined ? 0 : 1) >= maxBatches || (sending?.bytes ?? 0) + bytes > maxBytes) dropped = items
  else {
    while (held(queue) >= maxBatches || queue.bytes + bytes > maxBytes) {
      const oldest = queue.waiting.shift()
      if (oldest === undefined) break
      queue.bytes -= oldest.bytes
      dropped += oldest.items
    }
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

/**
 * So many items of the batch that is being sent are done with, all that are left of it unless told: they arrived, but for some that
 * were rejected, or were dropped. Gives how many of them were.
 */
export const settle = <B>(
  queue: DeliveryQueue<B>,
  reason: DropReason | "arrived",
  rejected = 0,
  items = Infinity
): number => {
  const batch = queue.sending
  if (batch === undefined) return 0
  const settled = Math.min(items, batch.items)
  if (settled < batch.items) queue.sending = { ...batch, items: batch.items - settled }
  else {
    queue.sending = undefined
    queue.bytes -= batch.bytes
  }
  const lost = reason === "arrived" ? Math.min(rejected, settled) : settled
  queue.arrived += settled - lost
  drop(queue, reason === "arrived" ? "partial" : reason, lost)
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
