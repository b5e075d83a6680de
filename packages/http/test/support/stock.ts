/** An upstream that answers by a script, in the test's own time, and what tests ask of it. */
import { Effect, type Scope } from "effect"
import { assert } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../../src/HttpPolicy.ts"
import * as Upstream from "../../src/Upstream.ts"

/** Calls against a script, under a policy. */
export const upstream =
  (script: ScriptedTransport.Script, policy: HttpPolicy.Options, options: Partial<Upstream.Options> = {}) =>
  <A, E>(
    use: (api: Upstream.Upstream) => Effect.Effect<A, E, ScriptedTransport.ScriptedRequests | Scope.Scope>
  ): Effect.Effect<A, E> =>
    Effect.gen(function* () {
      const api = yield* Upstream.make("stock", {
        baseUrl: "https://stock.internal",
        policy: HttpPolicy.make(policy),
        ...options
      })
      return yield* use(api)
    }).pipe(Effect.scoped, Effect.provide(ScriptedTransport.layer(script)))

/** The stage, which the policy of the test has. */
export const stage = <A>(found: A | undefined): A => found ?? assert.fail("the policy does not have the stage")

/** How many requests have been sent. */
export const sent = Effect.map(ScriptedTransport.seen, ({ requests }) => requests.length)

/** Begins it, and lets every fiber run as far as it can without time passing. */
export const fork = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.tap(Effect.forkChild(self), () => TestClock.adjust(0))

export const forkAll = <A, E, R>(count: number, self: Effect.Effect<A, E, R>) =>
  Effect.forEach(Array.from({ length: count }), () => fork(self))
