/**
 * The pool's state machine: connections to one endpoint, and a queue of bounded length for exchanges that come when all are
 * taken.
 *
 * An exchange takes the connection that was used last, so that connections which are not needed grow old and go. A connection that
 * comes back goes to the first in the queue, and so does one that was just made: the call that asked for it may have been served
 * by another one meanwhile, as in Go's `net/http`.
 */
export interface PoolState<M extends Member, W extends Waiting<W>> {
  readonly shape: PoolShape
  /** Connections that new exchanges may use. */
  readonly members: Set<M>
  /** Of those, the ones with room for another exchange; the last is taken first. */
  readonly available: Array<M>
  /** Connections that finish their exchanges, and take no new ones. */
  readonly retiring: Set<M>
  /** Connections that are being made. */
  opening: number
  /** Whether this endpoint speaks a protocol that carries many exchanges at once; unknown before the first connection. */
  multiplexed: boolean | undefined
  queued: number
  /** Exchanges that have come to the pool so far. */
  arrivals: number
  first: W | undefined
  last: W | undefined
}

export interface PoolShape {
  /** Connections at most, without the retiring ones. */
  readonly connections: number
  readonly maxQueue: number
  /** How long a connection may have been unused. */
  readonly keepAliveMillis: number
  /** How long a connection takes new exchanges. */
  readonly maxAgeMillis: number
  /** How many exchanges a connection carries. */
  readonly maxRequests: number
  /** Whether a connection may turn out to carry many exchanges at once. */
  readonly mayMultiplex: boolean
}

/** The machine's record of a connection. */
export interface Member {
  /** Whether it may carry many exchanges at once. */
  readonly isMultiplexed: boolean
  /** Exchanges that it can carry at once, which its peer may change, down to none. */
  readonly capacity: number
  readonly openedAtMillis: number
  /** Spreads the ends of connections that were made together: within 10 % below the maximum age. */
  readonly ageFactor: number
  /** Whether it is known how many it can carry. */
  readonly isSettled: boolean
  /** Whether it is among those with room. */
  isAvailable: boolean
  inFlight: number
  /** Exchanges that it has been given so far. */
  carried: number
  idleSinceMillis: number
  /** How long it had been unused when it was taken last. */
  unusedMillis: number
  /** False once it must carry nothing new: it broke, or its peer said that it will close it. */
  readonly reusable: boolean
}

/** An exchange's place in the queue, which is linked through its places. */
export interface Waiting<W> {
  queued: boolean
  /** Which arrival at the pool it was. */
  arrival: number
  /** When it came, if it must go over a connection that was made since then; else undefined. */
  readonly freshSinceMillis: number | undefined
  previous: W | undefined
  next: W | undefined
}

export const makePoolState = <M extends Member, W extends Waiting<W>>(shape: PoolShape): PoolState<M, W> => ({
  shape,
  members: new Set(),
  available: [],
  retiring: new Set(),
  opening: 0,
  multiplexed: shape.mayMultiplex ? undefined : false,
  queued: 0,
  arrivals: 0,
  first: undefined,
  last: undefined
})

/** Whether a connection must not carry another exchange. */
export const isSpent = (shape: PoolShape, member: Member, nowMillis: number): boolean =>
  !member.reusable ||
  member.carried >= shape.maxRequests ||
  nowMillis - member.openedAtMillis >= shape.maxAgeMillis * member.ageFactor ||
  (member.inFlight === 0 && nowMillis - member.idleSinceMillis >= shape.keepAliveMillis)

/** An exchange comes: it has its place in the order of all that ever wait. */
export const arrive = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>, waiting: W): void => {
  waiting.arrival = ++state.arrivals
}

/**
 * Gives the exchange a connection that has room. Spent connections retire on the way; `spent` is told of each without
 * exchanges, because nobody else will close it.
 */
export const take = <M extends Member, W extends Waiting<W>>(
  state: PoolState<M, W>,
  nowMillis: number,
  spent: (member: M) => void,
  freshSinceMillis?: number | undefined
): M | undefined => {
  const { available, shape } = state
  for (let place = available.length - 1; place >= 0; place--) {
    const member = available[place]
    if (member === undefined) continue
    if (isSpent(shape, member, nowMillis)) {
      retire(state, member)
      if (member.inFlight === 0) spent(member)
      continue
    }
    if (freshSinceMillis !== undefined && !isFresh(member, freshSinceMillis)) continue
    if (member.inFlight === 0) member.unusedMillis = nowMillis - member.idleSinceMillis
    member.inFlight++
    member.carried++
    if (member.inFlight >= member.capacity) unlist(state, member)
    return member
  }
  return undefined
}

/**
 * Whether nothing is known against a connection that was made after another one was found dead. One that carries many is shared
 * by all that were on the dead one; any other has carried nothing.
 */
const isFresh = (member: Member, sinceMillis: number): boolean =>
  member.carried === 0 || (member.isMultiplexed && member.openedAtMillis >= sinceMillis)

/**
 * The connection that makes room for a fresh one, where there is none left: an unused one, which retires. Nobody else closes it.
 * Nothing, if there is room, or all are used.
 */
export const displaced = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>): M | undefined => {
  if (room(state) > 0 || state.opening > 0) return undefined
  const unused = state.available.find((member) => member.inFlight === 0)
  if (unused !== undefined) retire(state, unused)
  return unused
}

/**
 * An exchange on the connection has ended. Says whether nobody uses it any more, so that it has to be closed. One that `rests` has
 * no room before `rested`.
 */
export const giveBack = <M extends Member, W extends Waiting<W>>(
  state: PoolState<M, W>,
  member: M,
  nowMillis: number,
  rests = false
): "kept" | "close" => {
  member.inFlight--
  if (member.inFlight === 0) member.idleSinceMillis = nowMillis
  if (state.members.has(member) && isSpent(state.shape, member, nowMillis)) retire(state, member)
  if (!state.members.has(member)) return member.inFlight === 0 ? "close" : "kept"
  if (!rests) list(state, member)
  return "kept"
}

/** A connection has rested, or can carry more or less than before. */
export const resized = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>, member: M): void => {
  if (member.inFlight < member.capacity) list(state, member)
  else unlist(state, member)
}

const list = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>, member: M): void => {
  if (member.isAvailable || member.inFlight >= member.capacity || !state.members.has(member)) return
  member.isAvailable = true
  state.available.push(member)
}

const unlist = <M extends Member, W extends Waiting<W>>({ available }: PoolState<M, W>, member: M): void => {
  if (!member.isAvailable) return
  member.isAvailable = false
  // it is the last one as a rule
  if (available.at(-1) === member) available.pop()
  else available.splice(available.indexOf(member), 1)
}

/** A connection was made. */
export const add = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>, member: M): void => {
  state.opening--
  state.multiplexed = state.shape.mayMultiplex && member.isMultiplexed
  state.members.add(member)
  list(state, member)
}

/** A connection takes nothing new from now on. */
export const retire = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>, member: M): void => {
  if (!state.members.delete(member)) return
  unlist(state, member)
  if (member.inFlight > 0) state.retiring.add(member)
}

/** A connection is closed. */
export const remove = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>, member: M): void => {
  retire(state, member)
  state.retiring.delete(member)
}

/** How many connections could be made beside the present ones. */
const room = <M extends Member, W extends Waiting<W>>({ members, opening, shape }: PoolState<M, W>): number =>
  Math.max(0, shape.connections - members.size - opening)

/**
 * How many connections have to be begun for the waiting calls: one for each. Of an endpoint that may carry many exchanges on
 * one connection, one at a time, because the first may be enough for all; and none beside one that takes nothing for the moment,
 * or of which it is not known yet how many it takes.
 */
export const wanted = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>): number => {
  const most = state.multiplexed === false ? state.queued : Math.min(1, state.queued)
  if (state.multiplexed === true) {
    for (const { capacity, isSettled } of state.members) if (capacity === 0 || !isSettled) return 0
  }
  return Math.min(room(state), Math.max(0, most - state.opening))
}

/** Whether an exchange that comes now would wait for a connection that others use. */
export const isCrowded = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>): boolean =>
  state.queued >= state.opening + room(state)

/** Whether the queue has no place for another exchange: calls for which a connection is made, or could be, take none. */
export const isFull = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>): boolean =>
  state.queued >= state.shape.maxQueue + state.opening + room(state)

/** Puts an exchange in the queue, in the order of arrival: one that had a connection which was dead has its old place. */
export const enqueue = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>, waiting: W): void => {
  let before = state.last
  while (before !== undefined && before.arrival > waiting.arrival) before = before.previous
  const after = before === undefined ? state.first : before.next
  waiting.previous = before
  waiting.next = after
  if (before === undefined) state.first = waiting
  else before.next = waiting
  if (after === undefined) state.last = waiting
  else after.previous = waiting
  waiting.queued = true
  state.queued++
}

/**
 * The exchanges that fail with a connection that could not be made, which was begun after so many arrivals: the first in the queue, because
 * one is begun for each. Where one may be enough for all, every exchange that waited for it.
 */
export const failedWith = <M extends Member, W extends Waiting<W>>(
  state: PoolState<M, W>,
  begunAt: number
): ReadonlyArray<W> => {
  if (state.multiplexed === false) return state.first === undefined ? [] : [state.first]
  const waited: Array<W> = []
  for (let waiting = state.first; waiting !== undefined; waiting = waiting.next) {
    if (waiting.arrival <= begunAt) waited.push(waiting)
  }
  return waited
}

/** Takes an exchange out of the queue, if it is in it. */
export const dequeue = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>, waiting: W): void => {
  if (!waiting.queued) return
  waiting.queued = false
  if (waiting.previous === undefined) state.first = waiting.next
  else waiting.previous.next = waiting.next
  if (waiting.next === undefined) state.last = waiting.previous
  else waiting.next.previous = waiting.previous
  waiting.previous = undefined
  waiting.next = undefined
  state.queued--
}

/** Whether nothing is left that anybody uses or waits for. */
export const isEmpty = <M extends Member, W extends Waiting<W>>(state: PoolState<M, W>): boolean =>
  state.members.size === 0 && state.retiring.size === 0 && state.opening === 0 && state.queued === 0
