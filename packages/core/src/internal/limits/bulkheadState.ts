/**
 * The bulkhead's state machine: so many permits, and a queue of bounded length for calls that come when they are taken.
 *
 * A permit that comes back goes straight to the first in the queue, so that no later call can take it first: while a call
 * waits, no permit is free. The queue is ordered by priority, and within one by arrival.
 */
export interface BulkheadState<P extends Place<P>> {
  limit: number
  maxQueue: number
  /** Permits that are held. Above `limit` only after it was lowered. */
  inFlight: number
  queued: number
  /** The caller that gets the next permit. */
  first: P | undefined
  /** The caller that is displaced first: the last to come of the least important ones. */
  last: P | undefined
}

/**
 * - `waiting`: in the queue
 * - `granted`: holds a permit
 * - `displaced`: lost its place in the queue to a higher priority
 * - `left`: holds nothing any more
 */
export type PlaceStatus = "waiting" | "granted" | "displaced" | "left"

/** The right of one call: a place in the queue, then a permit. The queue is linked through its places. */
export interface Place<P> {
  /** Higher goes first. */
  readonly priority: number
  status: PlaceStatus
  previous: P | undefined
  next: P | undefined
}

export const makeBulkheadState = <P extends Place<P>>(limit: number, maxQueue: number): BulkheadState<P> => ({
  limit,
  maxQueue,
  inFlight: 0,
  queued: 0,
  first: undefined,
  last: undefined
})

/** Takes a permit if one is free. */
export const tryEnter = <P extends Place<P>>(state: BulkheadState<P>): boolean => {
  if (state.inFlight >= state.limit) return false
  state.inFlight++
  return true
}

/**
 * Puts a call in the queue, behind everyone of its priority. When the queue is full it takes the place of the last one that
 * matters less, which is given back; when there is none, it does not get in.
 */
export const enqueue = <P extends Place<P>>(state: BulkheadState<P>, place: P): P | "queued" | "full" => {
  let displaced: P | undefined
  if (state.queued >= state.maxQueue) {
    const last = state.last
    if (state.maxQueue === 0 || last === undefined || last.priority >= place.priority) return "full"
    remove(state, last)
    last.status = "displaced"
    displaced = last
  }
  let before = state.last
  while (before !== undefined && before.priority < place.priority) before = before.previous
  const after = before === undefined ? state.first : before.next
  place.previous = before
  place.next = after
  if (before === undefined) state.first = place
  else before.next = place
  if (after === undefined) state.last = place
  else after.previous = place
  place.status = "waiting"
  state.queued++
  return displaced ?? "queued"
}

const remove = <P extends Place<P>>(state: BulkheadState<P>, place: P): void => {
  if (place.previous === undefined) state.first = place.next
  else place.previous.next = place.next
  if (place.next === undefined) state.last = place.previous
  else place.next.previous = place.previous
  place.previous = undefined
  place.next = undefined
  state.queued--
}

/** Grants a free permit to the first in the queue, and gives that caller. */
const grantNext = <P extends Place<P>>(state: BulkheadState<P>): P | undefined => {
  const first = state.first
  if (first === undefined || state.inFlight >= state.limit) return undefined
  remove(state, first)
  first.status = "granted"
  state.inFlight++
  return first
}

/** Gives a permit back, and grants it to the first in the queue, unless the limit was lowered meanwhile. */
export const exit = <P extends Place<P>>(state: BulkheadState<P>): P | undefined => {
  state.inFlight--
  return grantNext(state)
}

/** Gives up the place or permit of a call, once. Gives the caller that got the permit. */
export const leave = <P extends Place<P>>(state: BulkheadState<P>, place: P): P | undefined => {
  const status = place.status
  place.status = "left"
  if (status === "waiting") remove(state, place)
  return status === "granted" ? exit(state) : undefined
}

/** Changes the limits, and grants the permits that this made free. Waiting callers stay in the queue, also in one that was made shorter. */
export const resize = <P extends Place<P>>(
  state: BulkheadState<P>,
  limit: number,
  maxQueue: number
): ReadonlyArray<P> => {
  state.limit = limit
  state.maxQueue = maxQueue
  const granted: Array<P> = []
  for (let next = grantNext(state); next !== undefined; next = grantNext(state)) granted.push(next)
  return granted
}
