import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as UpstreamRegistry from "@holdfast/http/UpstreamRegistry"
import * as Metrics from "../src/Metrics.ts"
import { isolated, seriesOf } from "./support/observed.ts"

const bodies = { open: 0, unread: 0, found: 0 }

describe("the figures of an upstream", () => {
  it.effect("of a stage that a policy takes away and gives back are there again, with what it says then", () =>
    Effect.gen(function* () {
      let balance: number | undefined = 7
      yield* (yield* UpstreamRegistry.Current).register({
        snapshot: Effect.sync(() => ({
          name: "stock",
          policy: "",
          bodies,
          endpoints: [],
          ...(balance !== undefined && {
            budget: { balance, callsInFlight: 0, retriesInFlight: 0, granted: 0, refused: 0 }
          })
        }))
      })
      // what a policy changes shows from the next export on
      const shown = Effect.andThen(
        seriesOf("holdfast.retry_budget.balance"),
        Effect.map(seriesOf("holdfast.retry_budget.balance"), (series) => series.map(({ state }) => state))
      )
      for (const now of [7, undefined, 3, undefined, undefined, 0]) {
        balance = now
        // the look of the export before it is over with its turn
        yield* Effect.promise(() => Promise.resolve())
        yield* seriesOf("holdfast.body.open")
        assert.deepStrictEqual(yield* shown, now === undefined ? [] : [{ value: now }], String(now))
      }
    }).pipe(Effect.provide(Metrics.layer()), Effect.scoped, isolated)
  )

  it.effect("are those of the first upstreams where there are more than maxSeries, and who leaves makes room", () =>
    Effect.gen(function* () {
      const registry = yield* UpstreamRegistry.Current
      const opened = (name: string, open: number) =>
        registry.register({
          snapshot: Effect.succeed({ name, policy: "", bodies: { ...bodies, open }, endpoints: [] })
        })
      const scope = yield* Scope.make()
      yield* Scope.provide(opened("a", 1), scope)
      for (const [index, name] of ["b", "c", "d", "e"].entries()) yield* opened(name, index + 2)
      const shown = Effect.map(seriesOf("holdfast.body.open"), (series) =>
        series.map(({ labels, state }) => [labels["holdfast.upstream"], state])
      )
      assert.deepStrictEqual(yield* shown, [
        ["a", { value: 1 }],
        ["b", { value: 2 }],
        ["c", { value: 3 }]
      ])
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(yield* shown, [
        ["b", { value: 2 }],
        ["c", { value: 3 }],
        ["d", { value: 4 }]
      ])
    }).pipe(Effect.provide(Metrics.layer({ maxSeries: 3 })), Effect.scoped, isolated)
  )
})
