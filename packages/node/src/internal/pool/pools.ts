/** Which pool a request belongs to, and how long a pool without use is kept. */

import * as Transport from "@holdfast/http/Transport"
import type * as Context from "effect/Context"
import type { Snapshot } from "../../ConnectionPools.ts"
import type { Pool } from "./pool.ts"
import { type PoolMetrics, registerPool } from "./poolMetrics.ts"

/** A pool, its endpoint, and a function that takes it out of the metric registry. */
interface Kept {
  readonly upstream: string
  readonly endpoint: string
  readonly pool: Pool
  readonly forget: () => void
}

/** Pools that nobody uses are kept, for their figures, up to so many in all. */
const mostPools = 1024

/** The pools of a transport: one for each upstream at each endpoint, made when it is first called. */
export class Pools {
  readonly #make: (origin: string, onConnectionClosed: PoolMetrics["connectionClosed"]) => Pool
  readonly #context: Context.Context<never>
  readonly #pools = new Map<string, Kept>()

  constructor(
    context: Context.Context<never>,
    make: (origin: string, onConnectionClosed: PoolMetrics["connectionClosed"]) => Pool
  ) {
    this.#context = context
    this.#make = make
  }

  of({ origin, upstream }: Transport.Request): Pool {
    const key = `${upstream} ${origin}`
    const known = this.#pools.get(key)
    if (known !== undefined) return known.pool
    if (this.#pools.size >= mostPools) this.#forgetUnused()
    const pool = this.#make(origin, (protocol, millis) => metrics.connectionClosed(protocol, millis))
    const { host, port } = Transport.serverOf(origin)
    const metrics = registerPool(this.#context, {
      upstream,
      host,
      port: String(port),
      figures: () => pool.figures()
    })
    this.#pools.set(key, { upstream, endpoint: Transport.endpointOf(origin), pool, forget: metrics.forget })
    return pool
  }

  /** Moves exchanges that come from now on to new connections. */
  renew(): void {
    for (const { pool } of this.#pools.values()) pool.renew()
  }

  /** Cuts everything; done when every socket is closed. */
  async destroy(): Promise<void> {
    await Promise.all(Array.from(this.#pools.values(), ({ pool }) => pool.destroy()))
    for (const { forget } of this.#pools.values()) forget()
  }

  snapshot(): ReadonlyArray<Snapshot> {
    return Array.from(this.#pools.values(), ({ endpoint, pool, upstream }) => ({
      upstream,
      endpoint,
      ...pool.figures()
    }))
  }

  #forgetUnused(): void {
    for (const [key, { forget, pool }] of this.#pools) {
      if (!pool.isEmpty) continue
      forget()
      this.#pools.delete(key)
    }
  }
}
