// What a contender of the request section is: a client that keeps one request of each worker in flight.

import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"

export interface Target {
  readonly origin: string
  readonly path: string
  /** Connections at most; as many as there are workers. */
  readonly connections: number
}

export interface Meter {
  readonly running: () => boolean
  /** A request has ended that was begun at this reading of `performance.now()`. */
  readonly record: (started: number) => void
}

export interface Client {
  /** Sends one request after the other while the meter runs. A request that fails fails the worker. */
  readonly work: (meter: Meter) => Promise<void>
  readonly close: () => Promise<void>
}

export type RequestContender = (target: Target) => Promise<Client>

/** Workers of a client that gives promises. */
export const promiseWork =
  (request: () => Promise<unknown>): Client["work"] =>
  async (meter) => {
    while (meter.running()) {
      const started = performance.now()
      await request()
      meter.record(started)
    }
  }

/** Workers of a client that gives effects: each is a fiber, as it would be in a program. */
export const effectWork =
  <E, R>(context: Context.Context<R>, request: () => Effect.Effect<unknown, E, R>): Client["work"] =>
  (meter) => {
    let started = 0
    return Effect.runPromiseWith(context)(
      Effect.whileLoop({
        while: meter.running,
        body: () => {
          started = performance.now()
          return request()
        },
        step: () => meter.record(started)
      })
    )
  }
