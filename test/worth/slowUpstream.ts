import { assert, layer } from "@effect/vitest"
import { Effect } from "effect"
import { CircuitBreaker } from "holdfast"
import type { HttpPolicy } from "holdfast"
import { calling, pause } from "../support/calling.ts"
import { Behaviour, TestUpstream } from "../support/upstream.ts"
import { openLoop, percent, print, quantileOf } from "./figures.ts"

const perSecond = 300
const calmMillis = 800
const slowMillis = 4_000
const rampMillis = 1_500
const seconds = 8
const bucketMillis = 200

const breaker: CircuitBreaker.Options = {
  slowCallDuration: "300 millis",
  trip: [CircuitBreaker.timeWindow({ duration: "1 second", slowCallRate: 0.5, minimumCalls: 20 })],
  openTime: "300 millis",
  rampTime: rampMillis
}

interface Finished {
  /** From the beginning. */
  readonly atMillis: number
  readonly millis: number
  readonly tag: string
}

layer(TestUpstream.layer, { excludeTestServices: true })("an upstream that answers every call, but slowly", (it) => {
  it.effect("is left alone by its slow calls, and gets its load back by a share that grows", () =>
    Effect.gen(function* () {
      const upstream = yield* TestUpstream
      const listener = yield* upstream.listen(Behaviour.healthy)

      const contender = Effect.fn(function* (policy: HttpPolicy.Options) {
        const payments = yield* calling(listener, {
          policy: { retry: false, attemptTimeout: "3 seconds", ...policy },
          transport: { connections: 256 }
        })
        const finished: Array<Finished> = []
        // What starts up is slow, and would be held against the upstream.
        yield* openLoop({ perSecond, seconds: 1 }, () => Effect.ignore(payments.get("/")))
        if (payments.stages.breaker !== undefined) yield* payments.stages.breaker.reset
        const run = Effect.suspend(() => {
          const began = performance.now()
          return openLoop({ perSecond, seconds }, () =>
            Effect.suspend(() => {
              const start = performance.now()
              return Effect.map(Effect.result(payments.get("/")), (result) => {
                const tag = result._tag === "Success" ? "Success" : result.failure.reason._tag
                finished.push({ atMillis: start - began, millis: performance.now() - start, tag })
              })
            })
          )
        })
        return { run, finished, breaker: payments.stages.breaker }
      })

      const none = yield* contender({ breaker: false })
      const held = yield* contender({ breaker })
      const began = performance.now()
      const events: Array<{ readonly atMillis: number; readonly event: CircuitBreaker.Event }> = []
      held.breaker?.events.subscribe((event) => {
        if (event._tag !== "Refused") events.push({ atMillis: performance.now() - began, event })
      })

      const day = Effect.gen(function* () {
        yield* pause(calmMillis)
        yield* upstream.become(listener, Behaviour.http([Behaviour.json({ ok: true }, { delayMillis: 600 })]))
        yield* pause(slowMillis)
        yield* upstream.become(listener, Behaviour.healthy)
      })
      yield* Effect.all([none.run, held.run, day], { concurrency: "unbounded", discard: true })
      const snapshot = held.breaker === undefined ? undefined : yield* held.breaker.snapshot

      const within = (calls: ReadonlyArray<Finished>, from: number, to: number) =>
        calls.filter(({ atMillis }) => atMillis >= from && atMillis < to)
      const share = (calls: ReadonlyArray<Finished>): number =>
        calls.filter(({ tag }) => tag === "Success").length / calls.length
      const p90 = (calls: ReadonlyArray<Finished>): string =>
        `${quantileOf(
          calls.map(({ millis }) => millis),
          0.9
        ).toFixed(0)} ms`
      const happened = ({ event }: (typeof events)[number]): string =>
        event._tag === "Opened"
          ? `opened: ${event.detail}`
          : event._tag === "HalfOpened"
            ? "half-open"
            : event._tag.toLowerCase()

      print(
        `all answers are 200; from ${calmMillis} to ${calmMillis + slowMillis} ms they take 600 ms; ramp ${rampMillis} ms`,
        [
          ["ms", "p90 without", "p90 with breaker", "let through", ""],
          ...Array.from({ length: (seconds * 1000) / bucketMillis }, (_, bucket) => {
            const [from, to] = [bucket * bucketMillis, (bucket + 1) * bucketMillis]
            const mine = within(held.finished, from, to)
            const told = events.filter(({ atMillis }) => atMillis >= from && atMillis < to).map(happened)
            return [from, p90(within(none.finished, from, to)), p90(mine), percent(share(mine)), told.join(", ")]
          })
        ]
      )

      assert.isUndefined(none.finished.find(({ tag }) => tag !== "Success"))
      assert.deepInclude(snapshot, { failed: 0, state: "Closed", share: 1 })
      const opened = events.find(({ event }) => event._tag === "Opened")
      assert.isDefined(opened)
      assert.match(opened === undefined ? "" : happened(opened), /took longer than 300ms/)
      // Those who are refused know it at once, where without a breaker they wait.
      const trouble = [(opened?.atMillis ?? 0) + 50, calmMillis + slowMillis] as const
      assert.isBelow(share(within(held.finished, ...trouble)), 0.1)
      const waited = (calls: ReadonlyArray<Finished>) =>
        quantileOf(
          within(calls, ...trouble).map(({ millis }) => millis),
          0.5
        )
      assert.isAbove(waited(none.finished), 10 * waited(held.finished))

      const closed = events.findLast(({ event }) => event._tag === "Closed")?.atMillis ?? Number.NaN
      const third = (ordinal: number) =>
        share(within(held.finished, closed + (ordinal * rampMillis) / 3, closed + ((ordinal + 1) * rampMillis) / 3))
      print("share let through, by third of the ramp", [
        ["", "first", "second", "last", "after"],
        ["measured", ...[0, 1, 2, 3].map((ordinal) => percent(third(ordinal)))],
        ["promised", "18.0 %", "50.0 %", "83.3 %", "100.0 %"]
      ])
      // 150 calls a third: chance alone moves a share by 0.04
      assert.approximately(third(0), 0.18, 0.15)
      assert.approximately(third(1), 0.5, 0.15)
      assert.approximately(third(2), 5 / 6, 0.15)
      assert.strictEqual(third(3), 1)
    })
  )
})
