import { assert, layer } from "@effect/vitest"
import { Duration, Effect, Fiber } from "effect"
import type { HttpPolicy } from "holdfast"
import { calling, pause } from "../support/calling.ts"
import { Behaviour, TestUpstream } from "../support/upstream.ts"
import { openLoop, percent, print, quantileOf } from "./figures.ts"

const perSecond = 400
const roundSeconds = 2
const quietRounds = 3
const mostRounds = 7
const slowMillis = 1_500

/**
 * Of 250 answers, 5 are slow, and 6 rather slow; the others take 8 ms and an exponential tail of 12 ms. So 4.4 % are far above
 * what a busy machine does to p95, and what is measured is the hedge, and not the machine.
 */
const usual = 239
const delaysMillis = [
  ...Array.from({ length: usual }, (_, rank) => 8 - 12 * Math.log(1 - (rank + 0.5) / usual)),
  ...Array.from({ length: 6 }, () => 300),
  ...Array.from({ length: 5 }, () => slowMillis)
]

/**
 * A round counts when the machine let the server be what it is meant to be, in this round and in the one before, from which the
 * hedge learned its delay. The client without a hedge tells, so nothing is chosen by how well hedging did.
 */
const quietP95 = 2 * quantileOf(delaysMillis, 0.95)

layer(TestUpstream.layer, { excludeTestServices: true })(
  "a server of which two answers in a hundred are slow",
  (it) => {
    it.effect(
      "has its p99 cut to a fifth or less by hedging, for the twentieth of extra load that is promised",
      () =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream

          /** A client with a server of its own, so that the server counts what this client sent. */
          const contender = Effect.fn(function* (policy: HttpPolicy.Options) {
            const answer = Behaviour.json({ ok: true }, { delaysMillis: [...delaysMillis] })
            const listener = yield* upstream.listen(Behaviour.http([answer]))
            const payments = yield* calling(listener, {
              policy: { retry: false, breaker: false, attemptTimeout: "10 seconds", ...policy },
              transport: { connections: 256 }
            })
            const millisOf = Array.from({ length: mostRounds }, () => Array<number>())
            const run = (round: number) =>
              openLoop({ perSecond, seconds: roundSeconds }, () =>
                Effect.suspend(() => {
                  const start = performance.now()
                  return Effect.map(Effect.orDie(payments.get(`/${round}`)), () => {
                    millisOf[round]?.push(performance.now() - start)
                  })
                })
              )
            const figures = (rounds: ReadonlyArray<number>) =>
              Effect.map(upstream.facts(listener), ({ requests }) => {
                const millis = rounds.flatMap((round) => millisOf[round] ?? [])
                const arrived = requests.filter(({ url }) => rounds.includes(Number(url.slice(1)))).length
                return {
                  calls: millis.length,
                  requests: arrived,
                  extra: arrived / millis.length - 1,
                  p50: quantileOf(millis, 0.5),
                  p95: quantileOf(millis, 0.95),
                  p99: quantileOf(millis, 0.99)
                }
              })
            return { run, figures, millisOf, hedge: payments.stages.hedge }
          })

          const none = yield* contender({})
          // A window of seconds, as the test is one of seconds: a process that starts is slow, and would be remembered for a minute.
          const hedged = yield* contender({ hedge: { window: "2 seconds", refresh: "500 millis" } })
          const delay = Effect.suspend(() =>
            hedged.hedge === undefined
              ? Effect.succeed(Number.NaN)
              : Effect.map(hedged.hedge.snapshot, (at) =>
                  at.delay === undefined ? Number.NaN : Duration.toMillis(at.delay)
                )
          )

          const warmUp: Array<number> = []
          const quiet: Array<number> = []
          const load: Array<Fiber.Fiber<unknown>> = []
          let wasQuiet = false
          for (let round = 0; round < mostRounds && quiet.length < quietRounds; round++) {
            // Both at the same time: what the machine does meanwhile, it does to both.
            load.push(yield* Effect.forkChild(Effect.all([none.run(round), hedged.run(round)], { concurrency: 2 })))
            yield* pause(roundSeconds * 1000)
            const isQuiet = quantileOf(none.millisOf[round] ?? [], 0.95) <= quietP95
            const counts = isQuiet && wasQuiet
            if (counts) quiet.push(round)
            else warmUp.push(round)
            wasQuiet = isQuiet
          }
          yield* Effect.forEach(load, Fiber.join)

          const isQuiet = quiet.length === quietRounds
          const measured = isQuiet ? quiet : warmUp
          const before = yield* none.figures(measured)
          const after = yield* hedged.figures(measured)
          const row = (name: string, of: typeof before) => [
            name,
            of.calls,
            of.requests,
            percent(of.extra),
            ...[of.p50, of.p95, of.p99].map((millis) => `${millis.toFixed(0)} ms`)
          ]
          print(
            `2 % of the answers take ${slowMillis} ms; hedge after ${yield* delay} ms, learned` +
              (isQuiet ? "" : "; the machine was too busy to tell p95 from its own noise"),
            [
              ["", "calls", "requests", "extra", "p50", "p95", "p99"],
              row("no hedge, warm-up", yield* none.figures(warmUp)),
              row("hedge at p95, warm-up", yield* hedged.figures(warmUp)),
              row("no hedge", before),
              row("hedge at p95", after)
            ]
          )

          assert.strictEqual(before.extra, 0)
          // This holds on any machine: the extra load is counted, and not left to the clock.
          assert.isAtMost(after.extra, 0.06)
          // As long as the slow answers stand out of the noise at all, hedging does not wait for them.
          if (before.p95 < slowMillis / 4) assert.isAtLeast(before.p99 / after.p99, 2)
          if (!isQuiet) return
          assert.isAtLeast(after.extra, 0.04)
          assert.isAtLeast(before.p99 / after.p99, 5)
        }),
      30_000
    )
  }
)
