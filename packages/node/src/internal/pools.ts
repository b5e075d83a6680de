import type * as Transport from "@holdfast/http/Transport"
import { Pool, type PoolFigures } from "./pool.ts"

/** A pool, and where it leads. */
export interface PoolOf {
  readonly upstream: string
  readonly endpoint: string
  readonly pool: Pool
}

/** Pools that nobody uses are kept, for their figures, up to so many in all. */
const mostPools = 1024

/** The pools of a transport: one for each upstream at each endpoint, made when it is first called. */
export class Pools {
  readonly #make: (request: Transport.Request) => PoolOf
  readonly #pools = new Map<string, PoolOf>()

  constructor(make: (request: Transport.Request) => PoolOf) {
    this.#make = make
  }

  of(request: Transport.Request): Pool {
    const key = `${request.upstream} ${request.origin}`
    const known = this.#pools.get(key)
    if (known !== undefined) return known.pool
    if (this.#pools.size >= mostPools) this.#forgetUnused()
    const made = this.#make(request)
    this.#pools.set(key, made)
    return made.pool
  }

  /** Moves exchanges that come from now on to new connections. */
  renew(): void {
    for (const { pool } of this.#pools.values()) pool.renew()
  }

  /** Cuts everything; done when every socket is closed. */
  async destroy(): Promise<void> {
    await Promise.all(Array.from(this.#pools.values(), ({ pool }) => pool.destroy()))
  }

  figures(): ReadonlyArray<PoolFigures & { readonly upstream: string; readonly endpoint: string }> {
    return Array.from(this.#pools.values(), ({ endpoint, pool, upstream }) => ({ upstream, endpoint, ...pool.figures() }))
  }

  #forgetUnused(): void {
    for (const [key, { pool }] of this.#pools) if (pool.isEmpty) this.#pools.delete(key)
  }
}
