/**
 * The connections of a transport: the state of its pools, as data and as gauges, and a way to move on to new ones.
 *
 * **When to use**: to look at a program that waits for connections, to size its pools, and to renew connections after something
 * changed that only a new one takes up.
 *
 * **What it is not**: the place to set anything; the options of `NodeTransport` do that.
 *
 * **Gotchas**: there is a pool for each upstream at each endpoint, made at its first call. The gauges are in Effect's metric
 * registry from then on, and are read when somebody exports it: nothing is counted for them on the way.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"

/**
 * The state of one pool.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly upstream: string
  /** Host and port: `payments.internal:443`. */
  readonly endpoint: string
  /** Connections at most. Retiring connections are not among them. */
  readonly connections: number
  /** Connections that new exchanges may use. */
  readonly open: number
  /** Of those, the ones that carry nothing now. */
  readonly idle: number
  /** Connections that are being made. */
  readonly opening: number
  /** Connections that finish their calls, and take no new ones. */
  readonly retiring: number
  /** Exchanges that have a connection. */
  readonly inFlight: number
  /** Exchanges that wait for one. */
  readonly waiting: number
  /** Connections that were made, since the pool was. */
  readonly opened: number
  /** Attempts to connect that failed. */
  readonly failed: number
  /** Exchanges that failed with `PoolExhausted`. */
  readonly refused: number
}

/**
 * The pools of a transport. `NodeTransport.layer` gives it beside the transport.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { ConnectionPools, NodeTransport } from "holdfast/node"
 *
 * const program = ConnectionPools.ConnectionPools.use((pools) => pools.snapshot)
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(NodeTransport.layer())))) // => []
 * ```
 *
 * @category services
 * @since 0.1.0
 */
export class ConnectionPools extends Context.Service<
  ConnectionPools,
  {
    /** Every pool that was used. Reading it changes nothing. */
    readonly snapshot: Effect.Effect<ReadonlyArray<Snapshot>>
    /**
     * Moves calls that come from now on to new connections: after a certificate was replaced, or a name leads elsewhere. Those in
     * flight finish on the old ones, beside which as many new ones may be opened.
     */
    readonly renew: Effect.Effect<void>
  }
>()("@holdfast/node/ConnectionPools") {}
