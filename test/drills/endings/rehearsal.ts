/** One case of the drill: a call that meets an ending, another one after it, and what is left of both. */
import { Effect, Exit, Stream } from "effect"
import { CallObserver, HttpPolicy, Transport, Upstream } from "holdfast"
import type { CallError, Request } from "holdfast"
import { type ConnectionPools, NodeTransport } from "holdfast/node"

import { bounded } from "../../support/calling.ts"
import type { Certificates } from "../../support/certificates.ts"
import { bodyOf } from "./bodies.ts"
import type { Case } from "./cases.ts"
import { isHttp2 } from "./cases.ts"
import { peerOf } from "./peer.ts"
import { expectedOf } from "./rules.ts"

/** What came of a case. */
export interface Outcome {
  readonly first: string
  readonly final: string
  readonly requests: number
  readonly connections: number
  /** What is not as the rules say, in words. */
  readonly wrong: ReadonlyArray<string>
}

/** Of the phase that a silence or a trickle runs into; nothing else waits for a limit. */
const limitMillis = 800
const patientMillis = 8_000

const transportOf = ({ at, how, protocol }: Case, trustedRoot: string) => {
  const isSilent = how === "silence"
  const hasHead = at !== "before the head" && at !== "within the head"
  return NodeTransport.make({
    keepAlive: "1 minute",
    headersTimeout: isSilent && !hasHead ? limitMillis : patientMillis,
    bodyTimeout: isSilent && hasHead ? limitMillis : patientMillis,
    ...(how === "trickle" ? { transferTimeout: limitMillis } : {}),
    drainTimeout: 100,
    tls: { ca: trustedRoot },
    ...(isHttp2(protocol) ? { http2: { priorKnowledge: true } } : {})
  })
}

const policyOf = ({ how }: Case) =>
  HttpPolicy.standard({
    deadline: "20 seconds",
    attemptTimeout: false,
    breaker: false,
    retry: { maxAttempts: 3, backoff: { shape: "constant", base: "1 millis", jitter: "none" } },
    redirects: { max: 1 },
    limits: { drainTime: how === "silence" || how === "trickle" ? limitMillis : patientMillis }
  })

const upload = new Uint8Array(200_000).fill(120)

const requestOf = ({ asked, coding }: Case): Request.RequestOptions => {
  switch (asked) {
    case "GET":
      // a part of a body is given to those who ask for it
      return coding === "gzip in 206" ? { headers: { range: "bytes=0-" } } : {}
    case "POST":
      return { text: "a small one" }
    case "POST of 200 KB":
      return { bytes: upload }
    case "POST of a stream":
      return { stream: Stream.make(upload.subarray(0, 100_000), upload.subarray(100_000)) }
  }
}

interface Told {
  readonly tag: string
  readonly text: string
  readonly isWhole: boolean
}

const ofAnswer = (text: string): Told => ({ tag: "answer", text, isWhole: true })

const ofError = ({ reason }: CallError.CallError): Told =>
  "bodyComplete" in reason
    ? { tag: reason._tag, text: reason.body, isWhole: reason.bodyComplete }
    : { tag: reason._tag, text: "", isWhole: false }

const callOf = (given: Case, api: Upstream.Upstream): Effect.Effect<Told, CallError.CallError> => {
  const { asked, reader } = given
  const request = requestOf(given)
  if (reader === "whole") {
    const call = asked === "GET" ? api.get("/", request) : api.post("/", request)
    return Effect.map(call, ({ bytes }) => ofAnswer(Buffer.from(bytes).toString("latin1")))
  }
  return Effect.scoped(
    Effect.gen(function* () {
      const { stream } = yield* asked === "GET" ? api.streaming.get("/", request) : api.streaming.post("/", request)
      let text = ""
      let isBehind = reader === "slow"
      const taken = reader === "leaves early" ? Stream.take(stream, 1) : stream
      yield* Stream.runForEach(taken, (chunk) => {
        text += Buffer.from(chunk).toString("latin1")
        if (!isBehind) return Effect.void
        isBehind = false
        return Effect.sleep(40)
      })
      return ofAnswer(text)
    })
  )
}

const isIdle = (pools: ReadonlyArray<ConnectionPools.Snapshot>): boolean =>
  pools.every(
    ({ idle, inFlight, open, opening, retiring, waiting }) =>
      inFlight + waiting + opening + retiring === 0 && idle === open
  )

/** Looks until it holds, for so long that a busy machine has no part in it; gives what was there last. */
const settled = <A>(read: Effect.Effect<A>, holds: (value: A) => boolean): Effect.Effect<A> => {
  const until = performance.now() + 3_000
  const look: Effect.Effect<A> = Effect.flatMap(read, (value) =>
    holds(value) || performance.now() > until ? Effect.succeed(value) : Effect.andThen(Effect.sleep(3), look)
  )
  return look
}

export const rehearse = Effect.fnUntraced(function* (given: Case, certificates: Certificates) {
  const expected = expectedOf(given)
  const wrong: Array<string> = []
  const peer = yield* peerOf(given, certificates)
  let first = "nothing"
  const observer = CallObserver.layer({
    attemptEnded: (_, { reason, resend }) => {
      if (resend === 0 && first === "nothing") first = reason?._tag ?? "answer"
    }
  })
  const held = yield* Effect.scoped(
    Effect.gen(function* () {
      const { pools, transport } = yield* transportOf(given, certificates.trustedRoot)
      let trailersOf: (() => Transport.Headers | undefined) | undefined
      const watched = Transport.Transport.of({
        send: (request) =>
          Effect.tap(transport.send(request), ({ trailers }) => Effect.sync(() => (trailersOf ??= () => trailers))),
        open: (request) =>
          Effect.tap(transport.open(request), ({ trailers }) =>
            Effect.sync(() => (trailersOf ??= typeof trailers === "function" ? trailers : () => trailers))
          )
      })
      const api = yield* Upstream.make("peer", { baseUrl: peer.url, policy: policyOf(given) }).pipe(
        Effect.provideService(Transport.Transport, watched),
        Effect.provide(observer)
      )
      const exit = yield* Effect.exit(
        bounded(Effect.catch(callOf(given, api), (error) => Effect.succeed(ofError(error))))
      )
      const told: Told = Exit.isSuccess(exit)
        ? exit.value
        : { tag: `died: ${String(exit.cause)}`, text: "", isWhole: false }
      const requests = peer.requests()
      const sum = trailersOf?.()?.["x-sum"]
      if (given.trailers && expected.isWhole && sum !== "1") wrong.push(`trailers are lost: ${String(sum)}`)
      const rested = yield* settled(pools.snapshot, isIdle)
      if (!isIdle(rested)) wrong.push(`the pool does not come to rest: ${JSON.stringify(rested)}`)
      if (given.how === "FIN later") {
        const after = yield* settled(pools.snapshot, ([pool]) => pool?.open === 0)
        if (after[0]?.open !== 0) wrong.push(`a connection that its peer closed is kept: ${JSON.stringify(after)}`)
      }
      const again = yield* Effect.exit(bounded(api.get("/next")))
      const next = Exit.isSuccess(again) ? again.value.text : String(again.cause)
      if (next !== "good") wrong.push(`the next call: ${next}`)
      const left = yield* settled(pools.snapshot, isIdle)
      if (!isIdle(left)) wrong.push(`the pool does not come to rest after the next call: ${JSON.stringify(left)}`)
      return { told, requests }
    })
  )
  const open = yield* settled(Effect.sync(peer.open), (count) => count === 0)
  if (open > 0) wrong.push(`${open} connections are open when the transport is closed`)
  const { requests, told } = held
  const connections = peer.connections()
  if (!expected.first.includes(first)) wrong.push(`first told ${first}, not ${expected.first.join(" or ")}`)
  if (!expected.final.includes(told.tag)) wrong.push(`told ${told.tag}, not ${expected.final.join(" or ")}`)
  if (requests !== expected.requests) wrong.push(`${requests} requests, not ${expected.requests}`)
  const isKept = connections === 1
  if (expected.isKept !== undefined && isKept !== expected.isKept) {
    wrong.push(expected.isKept ? `its connection is not used again (${connections})` : "its connection is used again")
  }
  if (connections > 2) wrong.push(`${connections} connections`)
  wrong.push(...wrongText(given, told, expected))
  return { first, final: told.tag, requests, connections, wrong } satisfies Outcome
})

const wrongText = (
  given: Case,
  told: Told,
  { isOwn, isWhole }: ReturnType<typeof expectedOf>
): ReadonlyArray<string> => {
  const isError = told.tag === "NotFound" || told.tag === "ServiceUnavailable"
  if (told.tag !== "answer" && !isError) return []
  if (!isOwn) return isError || told.text === "good" ? [] : [`a body of ${told.text.length} that is not the next one's`]
  const { text } = bodyOf(given)
  const wrong: Array<string> = []
  const isPart = text.startsWith(given.how === "trickle" ? told.text.replace(/x+$/, "") : told.text)
  if (isWhole ? told.text !== text : !isPart) {
    wrong.push(
      `a body of ${told.text.length} that is not ${isWhole ? "" : "the beginning of "}the one of ${text.length}`
    )
  }
  if (isError && told.isWhole !== isWhole)
    wrong.push(isWhole ? "a whole body is told as cut" : "a cut body is told as whole")
  return wrong
}
