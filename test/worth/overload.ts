import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import type { HttpPolicy } from "holdfast"
import { calling, pause } from "../support/calling.ts"
import { Behaviour, TestUpstream } from "../support/upstream.ts"
import { openLoop, percent, print } from "./figures.ts"

/** 200 requests a second. It works for clients that have left too: an answer that comes too late costs as much as one in time. */
const capacity: Behaviour.Capacity = { workers: 8, workMillis: 40 }
const overload = 2.5
const perSecond = (overload * capacity.workers * 1000) / capacity.workMillis
const patience = "200 millis"
const seconds = 6
/** What is found out in the first second is not yet what it settles at. */
const settleSeconds = 1

layer(TestUpstream.layer, { excludeTestServices: true })(
  "a server that is asked for two and a half times what it can do",
  (it) => {
    it.effect(
      "keeps nine tenths of its best goodput under a limit that is found by latency, and next to nothing without",
      () =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream

          /** A client with a server of its own, each of the same capacity. */
          const contender = Effect.fn(function* (policy: HttpPolicy.Options) {
            const listener = yield* upstream.listen(
              Behaviour.http([Behaviour.json({ ok: true })], { capacity: { ...capacity } })
            )
            const payments = yield* calling(listener, {
              policy: { retry: false, breaker: false, attemptTimeout: patience, ...policy },
              transport: { connections: 512 }
            })
            const answered = Array.from({ length: seconds }, () => 0)
            const began = performance.now()
            const call = Effect.tap(payments.get("/"), () =>
              Effect.sync(() => {
                const second = Math.floor((performance.now() - began) / 1000)
                if (second < seconds) answered[second] = (answered[second] ?? 0) + 1
              })
            )
            const report = Effect.gen(function* () {
              const { requestsArrived } = yield* upstream.facts(listener)
              const limit = payments.stages.adaptiveConcurrency
              const settled = answered.slice(settleSeconds)
              return {
                answered,
                sent: requestsArrived / seconds,
                goodput: settled.reduce((sum, calls) => sum + calls, 0) / settled.length,
                limit: limit === undefined ? undefined : (yield* limit.snapshot).limit
              }
            })
            return { call: Effect.ignore(call), report }
          })

          /** Two callers more than there are workers, each waiting for its answer: the load that the server is best at. */
          const best = yield* contender({})
          const bestLoad = Effect.all(
            Array.from({ length: capacity.workers + 2 }, () => Effect.forever(best.call)),
            { concurrency: "unbounded", discard: true }
          )
          const none = yield* contender({})
          const aimd = yield* contender({ adaptiveConcurrency: { algorithm: "aimd" } })
          const slowAfter = yield* contender({ adaptiveConcurrency: { algorithm: "aimd", slowAfter: "100 millis" } })
          const gradient = yield* contender({ adaptiveConcurrency: {} })

          // All at the same time: what the machine does meanwhile, it does to all of them.
          yield* Effect.raceFirst(
            Effect.all(
              [none, aimd, slowAfter, gradient].map(({ call }) => openLoop({ perSecond, seconds }, () => call)),
              {
                concurrency: "unbounded",
                discard: true
              }
            ).pipe(Effect.andThen(pause(50))),
            bestLoad
          )
          const contenders = [
            ["the right load", best],
            ["no limit", none],
            ["aimd", aimd],
            ["aimd, slow after 100 ms", slowAfter],
            ["gradient, the default", gradient]
          ] as const
          const reports = yield* Effect.forEach(contenders, ([name, { report }]) =>
            Effect.map(report, (figures) => ({ name, ...figures }))
          )
          const goodputOf = (wanted: string): number =>
            reports.find(({ name }) => name === wanted)?.goodput ?? Number.NaN
          const share = (wanted: string): number => goodputOf(wanted) / goodputOf("the right load")

          print(`${perSecond} calls a second at a server of 200, answers wanted within ${patience}: answered in time`, [
            [
              "",
              ...Array.from({ length: seconds }, (_, second) => `second ${second + 1}`),
              "settled",
              "of the best",
              "sent/s",
              "limit"
            ],
            ...reports.map(({ answered, goodput, limit, name, sent }) => [
              name,
              ...answered,
              `${goodput.toFixed(0)}/s`,
              percent(share(name)),
              sent.toFixed(0),
              limit ?? "–"
            ])
          ])

          assert.isBelow(share("no limit"), 0.1)
          assert.isAtLeast(share("gradient, the default"), 0.9)
          // Told what is too slow, loss is seen before an answer is lost.
          assert.isAtLeast(share("aimd, slow after 100 ms"), 0.8)
          // Left to itself it learns by answers that came too late, each of which was work that the server did in vain.
          assert.isAtLeast(share("aimd"), 0.3)
        })
    )
  }
)
