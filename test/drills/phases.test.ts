/**
 * How exactly the limits of the phases are kept: never early, and in the median at most 25 ms late.
 *
 * A machine that does other things stops a process now and then, and nothing of it is on time then. So a plain timer of the
 * same length runs beside every call: where that one was more than 10 ms late itself, the call says nothing of the transport,
 * and its lateness is left out. Nor does it see the other process, whose answer may come late. So a limit whose median is too
 * late, or of which fewer than three calls are left, is measured again, for ten seconds: a machine that is busy is so for a
 * while, a limit that is kept badly is so every time. One that no round could measure is printed as such, and of all limits two
 * thirds have to be measured. No excuse makes a limit early, in whatever round.
 */
import { afterAll, assert, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { Duration } from "effect"
import type { CallError, HttpPolicy, Upstream } from "holdfast"
import type { NodeTransport } from "holdfast/node"
import type { Seen, Target } from "../support/calling.ts"
import { calling, median, pause, seen } from "../support/calling.ts"
import { Behaviour, TestUpstream } from "../support/upstream.ts"
import { print } from "../worth/figures.ts"

const limits = [50, 200, 500, 1000, 1500]
const callsEach = 7
const callsNeeded = 3
const patienceMillis = 10_000
const betweenRoundsMillis = 100

/** Node's timers count whole milliseconds of the event loop's clock, which may be one behind on either side. */
const clockMillis = 2
const medianLateMillis = 25
const timerLateMillis = 10

const once: HttpPolicy.Options = { retry: false, attemptTimeout: false, deadline: false, breaker: false }

interface Phase {
  readonly name: string
  readonly tag: string
  readonly options: (limit: Duration.Input) => NodeTransport.Options
  readonly target: Effect.Effect<Target, never, TestUpstream>
  readonly call: (upstream: Upstream.Upstream) => Effect.Effect<unknown, CallError.CallError>
  /** The calls share a transport whose connections are there already, so that making one is not counted; or each has its own. */
  readonly warm: boolean
  /** So much work that nothing beside it would be on time. */
  readonly heavy?: boolean
}

const twoMegabytes = new Uint8Array(2 * 1024 * 1024)

const get: Phase["call"] = (upstream) => upstream.get("/")

const listen = (behaviour: Behaviour.Behaviour): Phase["target"] =>
  Effect.flatMap(TestUpstream, (upstream) => upstream.listen(behaviour))

/** Answers the calls that warm up, all at once since each of them waits, and then does what is measured. */
const afterWarming = (step: Behaviour.Step): Phase["target"] =>
  listen(
    Behaviour.http([
      ...Array.from({ length: callsEach }, () => Behaviour.answer({ delayMillis: 20, body: "warm" })),
      step
    ])
  )

const half = Behaviour.bytes(Behaviour.write("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"))

const phases: ReadonlyArray<Phase> = [
  {
    name: "connect: SYN unanswered",
    tag: "ConnectTimeout",
    options: (connectTimeout) => ({ connectTimeout }),
    target: Effect.flatMap(TestUpstream, (upstream) => upstream.unansweredPort),
    call: get,
    warm: false
  },
  {
    name: "connect: TLS unanswered",
    tag: "ConnectTimeout",
    options: (connectTimeout) => ({ connectTimeout }),
    target: listen(Behaviour.afterClientHello({ end: "silence" })),
    call: get,
    warm: false
  },
  {
    name: "headers",
    tag: "HeadersTimeout",
    options: (headersTimeout) => ({ headersTimeout }),
    target: afterWarming(Behaviour.hang),
    call: get,
    warm: true
  },
  {
    name: "body idle",
    tag: "BodyTimeout",
    options: (bodyTimeout) => ({ bodyTimeout }),
    target: afterWarming(half),
    call: get,
    warm: true
  },
  {
    name: "request body taken",
    tag: "SendTimeout",
    options: (sendTimeout) => ({ sendTimeout }),
    target: listen(Behaviour.raw([Behaviour.waitForRequestHead, Behaviour.stopReading])),
    // more than the buffers of both sides hold
    call: (upstream) =>
      upstream.put("/", { stream: Stream.fromIterable(Array.from({ length: 12 }, () => twoMegabytes)) }),
    warm: false,
    heavy: true
  },
  {
    name: "body in all",
    tag: "TransferTimeout",
    options: (transferTimeout) => ({ transferTimeout }),
    target: afterWarming(Behaviour.answer({ bodyBytes: 10_000, chunkBytes: 10, chunkDelayMillis: 10 })),
    call: get,
    warm: true
  }
]

// ---------------------------------------------------------------------------------------------------------------------
// One limit
// ---------------------------------------------------------------------------------------------------------------------

/** How late a plain timer is. */
const timerLateness = (limit: number): Effect.Effect<number> =>
  Effect.callback((resume) => {
    const start = performance.now()
    const timer = setTimeout(() => resume(Effect.succeed(performance.now() - start - limit)), limit)
    return Effect.sync(() => clearTimeout(timer))
  })

interface Round {
  readonly outcomes: ReadonlyArray<Seen>
  /** Of the calls that count. */
  readonly lateMillis: ReadonlyArray<number>
}

const measure = (phase: Phase, upstreams: ReadonlyArray<Upstream.Upstream>, limit: number): Effect.Effect<Round> =>
  Effect.all(
    upstreams.map((upstream) =>
      Effect.all({ outcome: seen(phase.call(upstream)), timerLate: timerLateness(limit) }, { concurrency: "unbounded" })
    ),
    { concurrency: phase.heavy === true ? 1 : "unbounded" }
  ).pipe(
    Effect.map((calls) => ({
      outcomes: calls.map(({ outcome }) => outcome),
      lateMillis: calls
        .filter(({ timerLate }) => timerLate <= timerLateMillis)
        .map(({ outcome }) => outcome.millis - limit)
    }))
  )

const isOnTime = ({ lateMillis }: Round): boolean =>
  lateMillis.length >= callsNeeded && median(lateMillis) <= medianLateMillis

interface Kept {
  readonly phase: string
  readonly limit: number
  readonly rounds: ReadonlyArray<Round>
  readonly wrong: ReadonlyArray<string>
}

/** What is wrong with how a limit is kept, in words. */
const verdict = ({ tag }: Phase, limit: number, measured: ReadonlyArray<Round>): ReadonlyArray<string> => {
  const outcomes = measured.flatMap((round) => round.outcomes)
  const others = outcomes.filter((outcome) => outcome.tag !== tag).map((outcome) => outcome.tag)
  const earliest = Math.min(...outcomes.map(({ millis }) => millis))
  const last = measured.at(-1)
  return [
    ...(others.length === 0 ? [] : [`${others.length} of ${outcomes.length} ended with ${others.join(", ")}`]),
    ...(earliest >= limit - clockMillis ? [] : [`one ended after ${earliest.toFixed(1)} ms`]),
    ...(last === undefined || isOnTime(last) || !isMeasured(measured)
      ? []
      : [`${measured.length} rounds were late, the last by ${measured.slice(-3).map(inWords).join("; ")} ms`])
  ]
}

/** Whether any round had enough calls that say something of the transport. */
const isMeasured = (measured: ReadonlyArray<Round>): boolean =>
  measured.some(({ lateMillis }) => lateMillis.length >= callsNeeded)

const inWords = ({ lateMillis }: Round): string =>
  lateMillis.length === 0 ? "none counts" : lateMillis.map((late) => late.toFixed(0)).join(" ")

const keeps = (phase: Phase, limit: number): Effect.Effect<Kept, never, TestUpstream> =>
  Effect.scoped(
    Effect.gen(function* () {
      const target = yield* phase.target
      const made = calling(target, {
        policy: once,
        transport: { connections: callsEach, drainTimeout: 100, ...phase.options(limit) }
      })
      const first = yield* made
      const count = phase.heavy === true ? callsNeeded : callsEach
      const upstreams: ReadonlyArray<Upstream.Upstream> = yield* Effect.forEach(Array(count - 1), () =>
        phase.warm ? Effect.succeed(first) : made
      ).pipe(Effect.map((others) => [first, ...others]))
      if (phase.warm) yield* measure(phase, upstreams, 0)
      const measured: Array<Round> = []
      for (const until = performance.now() + patienceMillis; performance.now() < until;) {
        const next = yield* measure(phase, upstreams, limit)
        measured.push(next)
        if (isOnTime(next)) break
        yield* pause(betweenRoundsMillis)
      }
      return { phase: phase.name, limit, rounds: measured, wrong: verdict(phase, limit, measured) }
    })
  )

// ---------------------------------------------------------------------------------------------------------------------
// All of them, at once
// ---------------------------------------------------------------------------------------------------------------------

const table: Array<ReadonlyArray<string | number>> = []

afterAll(() =>
  print("limits of the phases, late by (ms)", [
    ["phase", "limit", "earliest", "median", "latest", "calls", "rounds"],
    ...table
  ])
)

layer(TestUpstream.layer, { excludeTestServices: true })("phases", (it) => {
  it.effect(
    `each limit of ${limits.join(", ")} ms is never early, and in the median at most ${medianLateMillis} ms late`,
    () =>
      Effect.gen(function* () {
        const all = phases.flatMap((phase) => limits.map((limit) => ({ phase, limit })))
        const inTurn = (heavy: boolean) =>
          Effect.forEach(
            all.filter(({ phase }) => (phase.heavy ?? false) === heavy),
            ({ limit, phase }) => keeps(phase, limit),
            { concurrency: heavy ? 1 : "unbounded" }
          )
        const kept = [...(yield* inTurn(false)), ...(yield* inTurn(true))]
        for (const { limit, phase, rounds } of kept) {
          const late = rounds.at(-1)?.lateMillis ?? []
          const figures = [Math.min(...late), median(late), Math.max(...late)].map((millis) => millis.toFixed(1))
          table.push([
            phase,
            limit,
            ...figures,
            `${late.length} of ${rounds.at(-1)?.outcomes.length ?? 0}`,
            rounds.length
          ])
        }
        const unmeasured = kept.filter(({ rounds }) => !isMeasured(rounds))
        if (unmeasured.length > 0) {
          console.log(
            `not measured, this machine was too busy: ${unmeasured.map(({ limit, phase }) => `${phase} ${limit} ms`).join(", ")}`
          )
        }
        assert.isAtMost(unmeasured.length, kept.length / 3, "too busy a machine to measure anything")
        assert.deepStrictEqual(
          kept.flatMap(({ limit, phase, wrong }) => wrong.map((what) => `${phase}, ${limit} ms: ${what}`)),
          []
        )
      }),
    60_000
  )
})
