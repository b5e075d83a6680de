// What a contender of the in-memory sections is: its policies around an operation that touches no network. The operation
// answers in a microtask, as a transport does: an answer at once would let an effect skip what a real call pays for.

import type * as Transport from "@holdfast/http/Transport"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { orderJson } from "../order.ts"

/** What the operation gives. The stacks that know no HTTP pass it on. */
export const answer: Transport.Response = {
  status: 200,
  headers: { "content-type": "application/json" },
  body: Buffer.from(orderJson),
  bodyComplete: true
}

export interface PromiseContender {
  readonly kind: "promise"
  readonly around: (operation: () => Promise<Transport.Response>) => Promise<() => Promise<unknown>>
}

export interface EffectContender {
  readonly kind: "effect"
  readonly around: (operation: Effect.Effect<Transport.Response>) => Promise<EffectCall>
}

export interface EffectCall {
  readonly call: () => Effect.Effect<unknown, unknown>
  /** What the calls run with. Default: nothing. */
  readonly context?: Context.Context<never>
}

export type CallContender = PromiseContender | EffectContender

/** A contender, ready: runs so many calls one after the other, or begins so many and leaves them waiting. */
export interface Calls {
  readonly run: (calls: number) => Promise<void>
  readonly start: (calls: number) => ReadonlyArray<unknown>
}

const contextOf = (made: EffectCall): Context.Context<never> => made.context ?? Context.empty()

/** Calls whose operation answers. */
export const answered = async (contender: CallContender): Promise<Calls> => {
  if (contender.kind === "promise") {
    return promiseCalls(await contender.around(async () => answer))
  }
  const operation = Effect.callback<Transport.Response>((resume) => {
    queueMicrotask(() => resume(Effect.succeed(answer)))
  })
  return effectCalls(await contender.around(operation))
}

/** Calls whose operation never answers, and the means to let them go. */
export const unanswered = async (contender: CallContender): Promise<Calls & { readonly held: Array<unknown> }> => {
  // what a pending call would be reached through in a real client; without it nothing would hold the call at all
  const held: Array<unknown> = []
  if (contender.kind === "promise") {
    const made = await contender.around(
      () =>
        new Promise((resolve) => {
          held.push(resolve)
        })
    )
    return { ...promiseCalls(made), held }
  }
  const operation = Effect.callback<Transport.Response>((resume) => {
    held.push(resume)
  })
  return { ...effectCalls(await contender.around(operation)), held }
}

/** Calls that are refused: one that is not ends the sample. */
export const refused = async (contender: CallContender): Promise<Calls> => {
  if (contender.kind === "promise") {
    const call = await contender.around(async () => answer)
    return promiseCalls(async () => {
      try {
        await call()
      } catch {
        return
      }
      throw new Error("the call was not refused")
    })
  }
  const made = await contender.around(Effect.succeed(answer))
  return effectCalls({ ...made, call: () => Effect.flip(made.call()) })
}

const promiseCalls = (call: () => Promise<unknown>): Calls => ({
  run: async (calls) => {
    for (let count = 0; count < calls; count++) await call()
  },
  start: (calls) => Array.from({ length: calls }, call)
})

const effectCalls = (made: EffectCall): Calls => {
  const context = contextOf(made)
  return {
    run: (calls) => {
      let count = 0
      return Effect.runPromiseWith(context)(
        Effect.whileLoop({ while: () => count++ < calls, body: made.call, step: () => {} })
      )
    },
    start: (calls) => Array.from({ length: calls }, () => Effect.runForkWith(context)(made.call()))
  }
}
