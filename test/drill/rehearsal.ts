/**
 * One case of the fault drill: calls that meet a fault on the wire, and the calls after it, through the same transport.
 */
import { Effect, Layer, Metric } from "effect"
import type { HttpPolicy, Upstream as Client } from "holdfast"
import type { NodeTransport } from "holdfast/node"
import type { RelayEnd } from "../support/behaviour.ts"
import { callingThrough, nodeTransport, seen } from "../support/calling.ts"
import type { Seen, Target } from "../support/calling.ts"
import { certificates } from "../support/certificates.ts"
import { countingFibers } from "../support/resources.ts"
import type { Listener, ListenOptions, Upstream } from "../support/upstream.ts"
import { Behaviour } from "../support/upstream.ts"
import { isBody, isConnecting } from "./cases.ts"
import type { Step, Wire } from "./cases.ts"

/** The server, and the relay before it: a process each, and neither is that of the client. */
export interface Stage {
  readonly server: Upstream
  readonly relay: Upstream
}

/** Three chunks and the end: there is something between chunks, and the last byte comes alone. */
const answering: Behaviour.Http = Behaviour.http([
  Behaviour.answer({
    body: "what was asked for, in three pieces: 48 bytes ..",
    chunked: true,
    chunkBytes: 16,
    chunkDelayMillis: 2
  })
])

/** The server of one wire, and a listener of the relay before it. */
export const listenBehind = ({ server }: Stage, wire: Wire): Effect.Effect<Listener> =>
  server.listen(answering, wire === "HTTP/2" ? { http2: true } : {})

/** As clients find it: TLS ends at the relay. */
export const listenOptionsOf = (wire: Wire): ListenOptions => ({
  ...(wire === "HTTP/1.1" ? {} : { tls: {} }),
  ...(wire === "HTTP/2" ? { http2: true } : {})
})

export interface Case {
  readonly wire: Wire
  readonly step: Step
  readonly end: RelayEnd
  /** Calls made at once. */
  readonly calls: number
}

/** What came of a case. */
export interface Rehearsed {
  readonly outcomes: ReadonlyArray<Seen>
  /** The calls after the fault was mended, in rounds of as many as before. */
  readonly rounds: ReadonlyArray<ReadonlyArray<Seen>>
  /** What was not given back, in words. */
  readonly kept: ReadonlyArray<string>
}

/** Longer than anything takes that does not wait for a limit, on a busy machine. */
const patientMillis = 20_000

/**
 * The limit that a silence runs into is short, and every other one is not in the way. Sixty-four exchanges are work, and those
 * after the fault are to succeed within the same limit: it leaves room for them on a busy machine.
 */
export const limitMillis = ({ calls, wire }: Pick<Case, "calls" | "wire">): number =>
  calls === 1 ? 250 : wire === "HTTP/1.1" ? 700 : 1_000

const phasesOf = (given: Case): NodeTransport.Options => {
  const { calls, end, step, wire } = given
  const whenSilent = (isMeant: boolean): number => (end === "silence" && isMeant ? limitMillis(given) : patientMillis)
  const connecting = isConnecting(wire, step)
  // The calls that share a connection of HTTP/2 are at several steps when it falls silent.
  const shared = wire === "HTTP/2" && calls > 1 && !connecting
  return {
    connections: calls,
    // What is closed in the end is closed by the end of the transport, and not because it was not used for a while.
    keepAlive: "1 minute",
    connectTimeout: whenSilent(connecting),
    headersTimeout: whenSilent(shared || !(connecting || isBody(step))),
    bodyTimeout: whenSilent(shared || isBody(step)),
    drainTimeout: 500,
    ...(wire === "HTTP/2" ? { http2: true } : {})
  }
}

const policyOf = (calls: number): HttpPolicy.Options => ({
  retry: false,
  attemptTimeout: false,
  deadline: false,
  breaker: false,
  bulkhead: { maxConcurrent: calls, maxQueue: 0 }
})

const allAtOnce = (count: number, call: Effect.Effect<Seen>): Effect.Effect<ReadonlyArray<Seen>> =>
  Effect.all(
    Array.from({ length: count }, () => call),
    { concurrency: "unbounded" }
  )

/** Permits that are out, and exchanges that a pool still carries. */
const stillBusy = (payments: Client.Upstream, { url }: Target): Effect.Effect<ReadonlyArray<string>> =>
  Effect.gen(function* () {
    const { endpoints } = yield* payments.snapshot
    const permits = endpoints.flatMap(({ bulkhead }) =>
      bulkhead === undefined || bulkhead.inFlight + bulkhead.queued === 0
        ? []
        : [`${bulkhead.inFlight} permits out, ${bulkhead.queued} calls waiting for one`]
    )
    const { port } = new URL(url)
    const pools = (yield* Metric.snapshot).flatMap(({ attributes, id, state }) =>
      ["holdfast.pool.in_flight", "holdfast.pool.waiting"].includes(id) &&
      attributes?.["server.port"] === port &&
      "value" in state &&
      state.value !== 0
        ? [`${id} is ${String(state.value)}`]
        : []
    )
    return [...permits, ...pools]
  })

export interface Conduct {
  readonly target: Target
  /** Mends the wire for new connections; those that it broke stay broken. */
  readonly heal: Effect.Effect<void>
  /** Rounds of calls after it. */
  readonly rounds: number
  /** Waits for every connection to be closed. */
  readonly cleared: Effect.Effect<unknown>
}

/**
 * Makes the calls, mends the wire, makes as many again, closes the transport, and asks what is still there. Handles of the
 * process are not asked for here: cases that are rehearsed at once cannot tell whose they are.
 */
export const rehearse = Effect.fnUntraced(function* (given: Case, { cleared, heal, rounds, target }: Conduct) {
  const { trustedRoot } = yield* certificates
  const trusting = given.wire === "HTTP/1.1" ? target : { ...target, trustedRoot }
  const { fibersLeft, value } = yield* countingFibers(
    Effect.scoped(
      Effect.gen(function* () {
        const context = yield* Layer.build(nodeTransport(trusting, phasesOf(given)))
        const payments = yield* callingThrough(Layer.succeedContext(context), trusting, {
          policy: policyOf(given.calls)
        })
        const call = seen(
          given.step === "withinRequestBody" ? payments.put("/", { text: "x".repeat(100) }) : payments.get("/")
        )
        const outcomes = yield* allAtOnce(given.calls, call)
        const kept = [...(yield* stillBusy(payments, target))]
        yield* heal
        const after: Array<ReadonlyArray<Seen>> = []
        for (let round = 0; round < rounds; round++) after.push(yield* allAtOnce(given.calls, call))
        kept.push(...(yield* stillBusy(payments, target)))
        return { outcomes, rounds: after, kept }
      })
    )
  )
  yield* cleared
  const fibers = yield* fibersLeft
  return { ...value, kept: fibers === 0 ? value.kept : [...value.kept, `${fibers} fibers`] } satisfies Rehearsed
})
