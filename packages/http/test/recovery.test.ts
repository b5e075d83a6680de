import { Clock, Effect } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import { stage, upstream } from "./support/stock.ts"

const { after, hang, refused, status } = ScriptedTransport

const ok = after("20 millis", status(200))

const presets = {
  standard: HttpPolicy.standard({ deadline: "10 seconds", attemptTimeout: "2 seconds" }),
  aggressive: HttpPolicy.aggressive(),
  gentle: HttpPolicy.gentle({ deadline: "10 seconds", attemptTimeout: "2 seconds" })
}

const downs: { readonly [how: string]: ScriptedTransport.Step } = {
  refuses: refused,
  hangs: hang,
  "answers 503": after("5 millis", status(503))
}

/** An upstream that is down for a while under even calls: how long after it is well the first call succeeds, and the circuit closes. */
const recovery = (
  policy: HttpPolicy.HttpPolicy,
  down: ScriptedTransport.Step,
  downMillis: number,
  perSecond: number
) => {
  let isDown = false
  return upstream(
    { "*": () => (isDown ? down : ok) },
    policy.options
  )((api) =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      const everyMillis = 1000 / perSecond
      const answers: Array<number> = []
      const call = api.get("/a").pipe(
        Effect.tap(() => Effect.sync(() => answers.push(clock.currentTimeMillisUnsafe()))),
        Effect.exit,
        Effect.forkScoped
      )
      const run = (millis: number) =>
        Effect.repeat(Effect.andThen(call, TestClock.adjust(everyMillis)), { times: millis / everyMillis - 1 })
      yield* run(2000)
      isDown = true
      yield* run(downMillis)
      const { state } = yield* stage(api.stages.breaker).snapshot
      isDown = false
      const wellAgain = clock.currentTimeMillisUnsafe()
      let closed: number | undefined
      for (let tick = 0; closed === undefined && tick < 10 * perSecond; tick++) {
        yield* run(everyMillis)
        if ((yield* stage(api.stages.breaker).snapshot).state === "Closed") closed = clock.currentTimeMillisUnsafe()
      }
      const first = answers.find((at) => at > wellAgain)
      return { state, first: (first ?? Infinity) - wellAgain, closed: (closed ?? Infinity) - (first ?? 0) }
    })
  )
}

describe("an upstream that is well again", { timeout: 30_000 }, () => {
  for (const [name, policy] of Object.entries(presets)) {
    for (const [how, down] of Object.entries(downs)) {
      it.effect(
        `has its circuit closed within two seconds under the ${name} preset, after a minute in which it ${how}`,
        () =>
          Effect.gen(function* () {
            for (const perSecond of [1, 20]) {
              const { closed, first, state } = yield* recovery(policy, down, 60_000, perSecond)
              assert.notStrictEqual(state, "Closed")
              assert.isAtMost(first, 2200, "time to the first answer")
              assert.isAtMost(closed, 2000)
            }
          })
      )
    }
  }
})
