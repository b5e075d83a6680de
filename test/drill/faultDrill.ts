/**
 * The fault drill: a relay stands between the transport and a server that is well, each in a process of its own, and fails
 * the connection at every step of an exchange, in every way. TLS ends at the relay, which has the test's certificate: so the
 * steps are those of the bytes that TLS carries, as the relay reads them (HTTP/1.1 text, HTTP/2 frames), while what is done
 * to the connection is done to TCP. The steps of the handshake are told by the records of TLS, without ending it.
 *
 * Asked of every case: the reason, the time, and whether the transport serves on as soon as the wire is mended and then
 * gives everything back. A busy machine may be slow without being wrong, so a bound is its limit and fifteen seconds more: what would hang
 * is then ended by a limit that it does not expect, and shows by its reason.
 */
import { afterAll, assert, describe, layer } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Layer } from "effect"
import type { RelayEnd } from "../support/behaviour.ts"
import { endsOf, expectedOf, isConnecting, steps } from "./cases.ts"
import type { Step, Wire } from "./cases.ts"
import { limitMillis, listenBehind, listenOptionsOf, rehearse } from "./rehearsal.ts"
import type { Case, Rehearsed, Stage } from "./rehearsal.ts"
import { pause } from "../support/calling.ts"
import type { Seen } from "../support/calling.ts"
import { heldResources, leftBehind } from "../support/resources.ts"
import { Behaviour, startUpstream } from "../support/upstream.ts"
import { print } from "../worth/figures.ts"

class Drill extends Context.Service<Drill, Stage>()("test/Drill") {
  static readonly layer: Layer.Layer<Drill> = Layer.effect(
    Drill,
    Effect.all({ server: startUpstream, relay: startUpstream }, { concurrency: 2 })
  )
}

/** In which the event loop of this process hears of what the kernel already knows. */
const turnMillis = 20

const slackMillis = 15_000

// ---------------------------------------------------------------------------------------------------------------------
// What came of it
// ---------------------------------------------------------------------------------------------------------------------

interface Row {
  readonly wire: Wire
  readonly step: Step
  readonly end: RelayEnd
  readonly calls: number
  readonly passed: boolean
  readonly slowestMillis: number
  readonly tags: ReadonlyArray<string>
}

const rows: Array<Row> = []

const tagsOf = (outcomes: ReadonlyArray<Seen>): ReadonlyArray<string> => [...new Set(outcomes.map(({ tag }) => tag))]

const slowest = (outcomes: ReadonlyArray<Seen>): number => Math.max(0, ...outcomes.map(({ millis }) => millis))

/** `3 of 64 ConnectionReset`: how many were something else than they may be. */
const others = (outcomes: ReadonlyArray<Seen>, allowed: ReadonlyArray<string>): ReadonlyArray<string> => {
  const wrong = outcomes.filter(({ tag }) => !allowed.includes(tag))
  return wrong.length === 0 ? [] : [`${wrong.length} of ${outcomes.length} ended with ${tagsOf(wrong).join(", ")}`]
}

const wrongTimes = (given: Case, outcomes: ReadonlyArray<Seen>): ReadonlyArray<string> => {
  const limit = limitMillis(given)
  const timedOut = outcomes.filter(({ tag }) => tag.endsWith("Timeout"))
  const early = timedOut.filter(({ millis }) => millis < limit - 2)
  const bound = (given.end === "silence" ? limit : 0) + slackMillis
  return [
    ...(early.length === 0 ? [] : [`${early.length} timed out before ${limit} ms`]),
    ...(slowest(outcomes) <= bound ? [] : [`one took ${Math.round(slowest(outcomes))} ms, and may take ${bound}`])
  ]
}

/** A relay that falls silent after the last byte leaves a connection that looks well: it fails one call, and no second one. */
const looksWell = ({ end, step }: Pick<Case, "end" | "step">): boolean => step === "afterLastByte" && end === "silence"

/**
 * Of connections that are left after they answered well, some may be there when the wire is mended, and some more that were made and
 * carried nothing yet: they are left when they have. The calls that meet them end as those of the fault; a pool gets rid of every one
 * that it meets, so that in the end all calls are well.
 */
const meetsTheLeft = ({ calls, step }: Pick<Case, "calls" | "step">): boolean => step === "afterLastByte" && calls > 1

const wrongAfterwards = (given: Case, rounds: Rehearsed["rounds"]): ReadonlyArray<string> =>
  rounds.flatMap((round, index) => {
    const isLast = index === rounds.length - 1
    const { beside } = expectedOf(given.wire, given.step, given.end)
    const fine = isLast ? [] : meetsTheLeft(given) ? beside : looksWell(given) ? ["HeadersTimeout"] : []
    return others(round, ["Success", ...fine]).map(
      (wrong) => `after the wire was mended, in round ${index + 1}, ${wrong}`
    )
  })

/** The request had reached the relay: to say that nothing was sent would let a POST be sent again. */
const wrongPhases = (given: Case, outcomes: ReadonlyArray<Seen>): ReadonlyArray<string> =>
  given.calls > 1 || given.step === "onAccept" || isConnecting(given.wire, given.step)
    ? []
    : outcomes
        .filter(({ phase, tag }) => phase === "connect" && tag !== "TlsHandshakeFailed")
        .map(({ tag }) => `${tag} says that nothing was sent`)

const judge = (given: Case, { kept, outcomes, rounds }: Rehearsed): ReadonlyArray<string> => {
  const { atStep, beside } = expectedOf(given.wire, given.step, given.end)
  const among = given.calls === 1 ? atStep : [...atStep, ...beside]
  return [
    ...others(outcomes, among),
    ...(outcomes.some(({ tag }) => atStep.includes(tag)) ? [] : [`none ended with ${atStep.join(" or ")}`]),
    ...wrongTimes(given, outcomes),
    ...wrongPhases(given, outcomes),
    ...wrongAfterwards(given, rounds),
    ...kept.map((what) => `not given back: ${what}`)
  ]
}

afterAll(() => {
  const lines = wires.flatMap((wire) =>
    steps.flatMap(({ inWords, step }) =>
      endsOf(wire, step).flatMap((end) => {
        const cases = rows.filter((row) => row.wire === wire && row.step === step && row.end === end)
        if (cases.length === 0) return []
        return [
          [
            [wire.padEnd(8), inWords.padEnd(23), end.padEnd(13)].join("  "),
            cases.length,
            cases.filter(({ passed }) => passed).length,
            cases.reduce((sum, { calls }) => sum + calls, 0),
            `${Math.round(Math.max(...cases.map(({ slowestMillis }) => slowestMillis)))} ms`,
            [...new Set(cases.flatMap(({ tags }) => tags))].join(", ")
          ]
        ]
      })
    )
  )
  const passed = rows.filter((row) => row.passed).length
  print(`fault drill: ${passed} of ${rows.length} cases passed`, [
    [
      ["protocol".padEnd(8), "step".padEnd(23), "end".padEnd(13)].join("  "),
      "cases",
      "passed",
      "calls",
      "slowest",
      "ended with"
    ],
    ...lines
  ])
})

// ---------------------------------------------------------------------------------------------------------------------
// The drill
// ---------------------------------------------------------------------------------------------------------------------

/** What a case is called through, how its wire is mended, and what is to be closed in the end. */
const stage = Effect.fnUntraced(function* ({ calls, end, step, wire }: Case) {
  const { relay, server } = yield* Drill
  // A queue of connections that nobody accepts cannot be emptied again: there is no wire to mend.
  if (step === "beforeAccept" && end === "silence") {
    const { port } = yield* relay.unansweredPort
    const target = { url: `${wire === "HTTP/1.1" ? "http" : "https"}://127.0.0.1:${port}` }
    return { target, rounds: 0, heal: Effect.void, cleared: Effect.void, stop: Effect.void }
  }
  const options = listenOptionsOf(wire)
  const behind = yield* listenBehind({ relay, server }, wire)
  const whole = Behaviour.relay(behind.port)
  const target = yield* relay.listen(
    step === "beforeAccept" ? whole : Behaviour.relay(behind.port, { step, end }),
    options
  )
  if (step === "beforeAccept") yield* relay.stop(target)
  let present = target
  return {
    target,
    rounds: meetsTheLeft({ calls, step }) ? 5 : looksWell({ end, step }) ? 2 : 1,
    heal: Effect.gen(function* () {
      if (step === "beforeAccept") present = yield* relay.listen(whole, { ...options, port: target.port })
      else yield* relay.become(target, whole)
      // The client has its response before it can know that the connection went with it.
      if (step === "afterLastByte" && end !== "silence") {
        if (!meetsTheLeft({ calls, step })) yield* relay.awaitNoOpenConnections(target)
        yield* pause(turnMillis)
      }
    }),
    cleared: Effect.suspend(() =>
      Effect.all([relay.awaitNoOpenConnections(present), server.awaitNoOpenConnections(behind)])
    ),
    stop: Effect.suspend(() => Effect.all([relay.stop(present), server.stop(behind)]))
  }
})

const unfinished: Rehearsed = { outcomes: [], rounds: [], kept: [] }

/** What went wrong with one case, in words. */
const drill = Effect.fnUntraced(function* (given: Case) {
  const { end, step, wire } = given
  const { stop, ...conduct } = yield* stage(given)
  // What does not end, or does not close, is a fault of this case: the ones after it are still drilled.
  const exit = yield* Effect.exit(rehearse(given, conduct))
  yield* stop
  const rehearsed = Exit.isSuccess(exit) ? exit.value : unfinished
  const wrong = Exit.isSuccess(exit) ? judge(given, rehearsed) : [Cause.pretty(exit.cause)]
  rows.push({
    wire,
    step,
    end,
    calls: given.calls,
    passed: wrong.length === 0,
    slowestMillis: slowest(rehearsed.outcomes),
    tags: tagsOf(rehearsed.outcomes)
  })
  return wrong.map((what) => `${end}: ${what}`)
})

/** Runs cases, and asks for the handles of the process when all are done. */
const drillAll = (cases: ReadonlyArray<Case>): Effect.Effect<void, never, Drill> =>
  Effect.gen(function* () {
    const before = heldResources()
    const wrong = (yield* Effect.forEach(cases, drill, { concurrency: cases[0]?.calls === 1 ? "unbounded" : 1 })).flat()
    const held = yield* leftBehind(before)
    assert.deepStrictEqual([...wrong, ...(held === "" ? [] : [`not given back: ${held}`])], [])
  })

const wires: ReadonlyArray<Wire> = ["HTTP/1.1", "TLS", "HTTP/2"]

const casesOf = (wire: Wire, step: Step, calls: number): ReadonlyArray<Case> =>
  endsOf(wire, step).map((end) => ({ wire, step, end, calls }))

/** The drill with so many calls at once, as the tests of the file that asks for it. */
export const drillFaults = ({ calls, many }: { readonly calls: number; readonly many: string }): void => {
  layer(Drill.layer, { excludeTestServices: true })("fault drill", (it) => {
    describe.each(wires.map((wire) => ({ wire })))("over $wire", ({ wire }) => {
      it.effect.each(steps.filter(({ needsTls }) => wire !== "HTTP/1.1" || needsTls !== true))(
        `${many} $inWords: ended in time, for the right reason, and nothing stays`,
        ({ step }) => drillAll(casesOf(wire, step, calls)),
        60_000
      )
    })
  })
}
