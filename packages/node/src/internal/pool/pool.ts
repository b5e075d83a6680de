/** The shell around a pool's state: it makes connections, hands them to exchanges, and closes them. */

import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import type { Snapshot } from "../../ConnectionPools.ts"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import { type AbruptPeer, closedUnused, makeAbruptPeer, restMillis, usedAgain } from "./abruptPeer.ts"
import { type Connected, Connection, type Protocol } from "./connection.ts"
import { Exchange, type Owner, type Settled, type Terms } from "../exchange/exchange.ts"
import type * as Transport from "@holdfast/http/Transport"
import { nowMillis } from "../exchange/monotonic.ts"
import * as State from "./poolState.ts"
import type { ReadyBody } from "../exchange/upload.ts"
import { ConnectionEndedError } from "../exchange/wire.ts"

/** Begins a connection; gives a function that leaves it. It is told how it ended, later, also when it was left. */
export type Connect = (done: (exit: Exit.Exit<Connected, Reason.TransportReason>) => void) => () => void

/** The options of a pool. */
export interface PoolOptions extends State.PoolShape {
  readonly origin: string
  readonly terms: Terms
  /** How long a connection may take to be made. */
  readonly connectMillis: number
  /** How long an exchange may wait for a connection that others use. */
  readonly waitMillis: number
  /** Exchanges at once on a connection that carries many. */
  readonly streams: number
  /** The most bytes of a response's head. */
  readonly headerBytes: number
  readonly connect: Connect
  /** An exchange is over. */
  readonly onReleased: () => void
  /** A connection was closed, so long after it was made. */
  readonly onConnectionClosed: (protocol: Protocol, millis: number) => void
}

/** The state of a pool, without its endpoint. */
export type PoolFigures = Omit<Snapshot, "upstream" | "endpoint">

/** How long a connection may take nothing, before another one is tried. */
const stalledMillis = 1000

/** Spreads any number of points over an interval evenly, one after the other. */
const golden = 0.618_033_988_75

/** Connections to one endpoint for one upstream, and the exchanges that use them. */
export class Pool implements Owner {
  readonly #options: PoolOptions
  readonly #state: State.PoolState<Connection, Exchange>
  /** A function for each connection that is being made, which ends it. */
  readonly #openings = new Set<() => void>()
  readonly #abruptPeer: AbruptPeer = makeAbruptPeer()
  /** Openings that were begun before the last renewal: their connections are not used. */
  #generation = 0
  #isClosed = false
  #sweeper: NodeJS.Timeout | undefined
  #opened = 0
  #failed = 0
  #refused = 0

  constructor(options: PoolOptions) {
    this.#options = options
    this.#state = State.makePoolState(options)
  }

  get isEmpty(): boolean {
    return State.isEmpty(this.#state)
  }

  figures(): PoolFigures {
    const { available, members, opening, queued, retiring, shape } = this.#state
    let inFlight = 0
    for (const member of members) inFlight += member.inFlight
    for (const member of retiring) inFlight += member.inFlight
    return {
      connections: shape.connections,
      open: members.size,
      idle: available.filter((member) => member.inFlight === 0).length,
      opening,
      retiring: retiring.size,
      inFlight,
      waiting: queued,
      opened: this.#opened,
      failed: this.#failed,
      refused: this.#refused
    }
  }

  /** Begins an exchange: on a free connection, or in the queue. */
  begin(request: Transport.Request, body: ReadyBody, opens: boolean, settle: (exit: Settled) => void): Exchange {
    const exchange = new Exchange(this, this.#options.terms, request, body, opens, settle)
    State.arrive(this.#state, exchange)
    // a connection that is free for a moment is for the waiting calls
    const free = this.#state.queued === 0 ? this.#take(exchange) : undefined
    if (free !== undefined) {
      exchange.start(free)
    } else if (State.isFull(this.#state)) {
      this.#refused++
      exchange.giveUp(() => this.#exhausted(this.#state.queued))
    } else this.#enqueue(exchange)
    return exchange
  }

  leaveQueue(exchange: Exchange): void {
    State.dequeue(this.#state, exchange)
  }

  release(exchange: Exchange): void {
    if (exchange.connection !== undefined) this.#giveBack(exchange.connection)
    this.#options.onReleased()
    this.#serve()
  }

  again(exchange: Exchange, connection: Connection): void {
    queueMicrotask(() => {
      this.#giveBack(connection)
      if (exchange.isOver) this.#serve()
      else if (this.#isClosed) exchange.giveUp(() => noLongerMade(this.#options.terms.endpoint))
      else this.#enqueue(exchange)
    })
  }

  usedAgain(): void {
    usedAgain(this.#abruptPeer)
  }

  stale({ isMultiplexed, unusedMillis }: Connection): void {
    if (!isMultiplexed) closedUnused(this.#abruptPeer, unusedMillis, nowMillis())
  }

  /** Moves exchanges that come from now on to new connections. The old ones finish their exchanges. */
  renew(): void {
    this.#generation++
    for (const member of [...this.#state.members]) {
      State.retire(this.#state, member)
      if (member.inFlight === 0) void member.close()
    }
  }

  /** Fails the waiting calls, and cuts every connection with its exchanges; done when every socket is closed. */
  async destroy(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#sweeper)
    for (const leave of this.#openings) leave()
    this.#state.opening = 0
    for (let waiting = this.#state.first; waiting !== undefined; waiting = this.#state.first) {
      State.dequeue(this.#state, waiting)
      waiting.giveUp(() => noLongerMade(this.#options.terms.endpoint))
    }
    await Promise.all(Array.from([...this.#state.members, ...this.#state.retiring], (member) => member.close()))
  }

  // -------------------------------------------------------------------------------------------------------------------

  /** The wait is bounded from its beginning, however often an exchange comes back to the queue. */
  #enqueue(exchange: Exchange): void {
    const { connectMillis, waitMillis } = this.#options
    const limit = State.isCrowded(this.#state) ? waitMillis : connectMillis + waitMillis
    const left = exchange.wait(limit, (waitedMillis) => {
      this.#refused++
      return this.#exhausted(this.#state.queued, waitedMillis)
    })
    if (!left) return
    State.enqueue(this.#state, exchange)
    this.#serve()
  }

  #giveBack(connection: Connection): void {
    const rest = connection.isMultiplexed ? 0 : restMillis(this.#abruptPeer)
    if (State.giveBack(this.#state, connection, nowMillis(), rest > 0) === "close") void connection.close()
    else {
      if (rest > 0) setTimeout(() => this.#rested(connection), rest)
      if (connection.inFlight === 0) this.#sweepLater(this.#options.keepAliveMillis)
    }
  }

  /** A connection to a peer that has closed others without a word was not closed. */
  #rested(connection: Connection): void {
    State.resized(this.#state, connection)
    this.#serve()
  }

  #take({ freshSinceMillis }: Exchange): Connection | undefined {
    return State.take(this.#state, nowMillis(), (spent) => void spent.close(), freshSinceMillis)
  }

  /** Gives free connections to the waiting calls. */
  #serve(): void {
    const { available } = this.#state
    let waiting = this.#state.first
    while (waiting !== undefined && available.length > 0) {
      const { next } = waiting
      const free = this.#take(waiting)
      if (free !== undefined) {
        State.dequeue(this.#state, waiting)
        waiting.start(free)
      } else if (waiting.freshSinceMillis !== undefined) void State.displaced(this.#state)?.close()
      waiting = next
    }
    this.#open()
  }

  /** Its exchanges go on; calls that wait for it go to another one. */
  #left(connection: Connection): void {
    if (!this.#state.members.has(connection)) return
    State.retire(this.#state, connection)
    if (connection.inFlight === 0) void connection.close()
    this.#serve()
  }

  #settle(connection: Connection): void {
    if (!connection.isSettled) connection.onCapacity(this.#options.streams)
  }

  #forget(connection: Connection): void {
    const { connected, hasAnswered, idleSinceMillis, inFlight, isMultiplexed, openedAtMillis } = connection
    const now = nowMillis()
    const isUnused = inFlight === 0 && hasAnswered && this.#state.members.has(connection)
    if (isUnused && !isMultiplexed) closedUnused(this.#abruptPeer, now - idleSinceMillis, now)
    State.remove(this.#state, connection)
    this.#options.onConnectionClosed(connected.protocol, now - openedAtMillis)
    this.#serve()
  }

  /** A connection that takes nothing at all may stay so: another one is tried after a while. */
  #resized(connection: Connection): void {
    State.resized(this.#state, connection)
    this.#serve()
    if (connection.capacity > 0) return
    const timer = setTimeout(() => {
      if (connection.capacity > 0) return
      connection.retire()
      State.retire(this.#state, connection)
      if (connection.inFlight === 0) void connection.close()
      this.#open()
    }, stalledMillis)
    timer.unref()
  }

  /** Begins as many connections as the waiting calls need. */
  #open(): void {
    for (let count = State.wanted(this.#state); count > 0; count--) this.#openOne()
  }

  #openOne(): void {
    const { connect, connectMillis, headerBytes, origin, streams, terms } = this.#options
    const generation = this.#generation
    const begunAt = this.#state.arrivals
    this.#state.opening++
    /** Whether it was still under way. */
    const end = (): boolean => {
      clearTimeout(timer)
      return this.#openings.delete(leave)
    }
    const leave = (): void => {
      if (end()) stop()
    }
    const failed = (reason: () => Reason.TransportReason): void => {
      this.#state.opening--
      this.#failed++
      for (const waiting of State.failedWith(this.#state, begunAt)) {
        State.dequeue(this.#state, waiting)
        waiting.giveUp(reason)
      }
      this.#open()
    }
    const stop = connect((exit) => {
      if (!end()) {
        if (Exit.isSuccess(exit)) exit.value.socket.destroy()
        return
      }
      if (Exit.isFailure(exit)) {
        failed(() => reasonOfCause(exit.cause, terms.endpoint))
        return
      }
      const { socket } = exit.value
      if (socket.destroyed) {
        // its peer left between the end of the handshake and now
        const error = socket.errored ?? new ConnectionEndedError()
        failed(() => FailureClassifier.classify(error, { endpoint: terms.endpoint, phase: "connect" }))
        return
      }
      this.#opened++
      const connection = new Connection(origin, exit.value, {
        streams,
        headerBytes,
        // connections that were made together do not all end together
        ageFactor: 1 - 0.1 * ((this.#opened * golden) % 1),
        onCapacity: (resized) => this.#resized(resized),
        onLeaving: (left) => queueMicrotask(() => this.#left(left)),
        onClosed: (gone) => this.#forget(gone)
      })
      if (generation !== this.#generation) {
        this.#state.opening--
        void connection.close()
        this.#open()
        return
      }
      State.add(this.#state, connection)
      // a peer that does not say how many it takes takes as many as are allowed here
      if (!connection.isSettled) setTimeout(() => this.#settle(connection), stalledMillis).unref()
      this.#serve()
      if (connection.inFlight === 0) this.#sweepLater(this.#options.keepAliveMillis)
    })
    const timer = setTimeout(() => {
      // the work of making it may be done, and only wait for its turn
      setImmediate(() => {
        if (!this.#openings.has(leave)) return
        leave()
        failed(() => new Reason.ConnectTimeout({ endpoint: terms.endpoint, limit: Duration.millis(connectMillis) }))
      })
    }, connectMillis)
    this.#openings.add(leave)
  }

  /** Closes connections that have been unused for too long, when the first of them has. */
  #sweepLater(millis: number): void {
    if (this.#sweeper !== undefined) return
    this.#sweeper = setTimeout(() => {
      this.#sweeper = undefined
      const now = nowMillis()
      let next = Infinity
      for (const member of [...this.#state.available]) {
        if (member.inFlight > 0) continue
        const left = member.idleSinceMillis + this.#options.keepAliveMillis - now
        // a timer may fire within its millisecond, a little early
        if (left > 1) next = Math.min(next, left)
        else {
          State.retire(this.#state, member)
          void member.close()
        }
      }
      if (next !== Infinity) this.#sweepLater(next)
    }, millis).unref()
  }

  #exhausted(queued: number, waitedMillis?: number): Reason.TransportReason {
    const { connections, terms } = this.#options
    return new Reason.PoolExhausted({
      endpoint: terms.endpoint,
      connections,
      queued,
      ...(waitedMillis === undefined ? {} : { waited: Duration.millis(waitedMillis) })
    })
  }
}

/** A connection that could not even be tried is a mistake here, which the call is told like any other failure. */
const reasonOfCause = (cause: Cause.Cause<Reason.TransportReason>, endpoint: string): Reason.TransportReason => {
  const failure = cause.reasons.find(Cause.isFailReason)
  return failure?.error ?? FailureClassifier.classify(Cause.squash(cause), { endpoint, phase: "connect" })
}

/** The failure of an exchange that the transport no longer makes. */
export const noLongerMade = (endpoint: string): Reason.TransportReason =>
  stackless(() => new Reason.ConnectionClosed({ endpoint, phase: "connect", code: "UND_ERR_CLOSED" }))
