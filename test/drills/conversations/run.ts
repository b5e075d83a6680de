/**
 * Holds many conversations whose bytes are altered by chance, through the transport and through Node's own clients, and says what was
 * wrong. `node test/drills/conversations/run.ts --seed 7 --seconds 60`; `--only 1234` holds one of them again, and shows it.
 */
import { parseArgs } from "node:util"
import { Duration, Effect, Exit, Stream } from "effect"
import type { Reason, Transport } from "holdfast"

import { NodeTransport } from "holdfast/node"
import { heldResources, leftBehind } from "../../support/resources.ts"
import { conversation, type Conversation } from "./conversation.ts"
import { oracle } from "./oracle.ts"
import { startPeer } from "./peer.ts"
import { type Answered, nameOf, type Told, wrongOf } from "./verdict.ts"

const { values } = parseArgs({
  options: { seed: { type: "string" }, seconds: { type: "string" }, only: { type: "string" } }
})
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31))
const seconds = Number(values.seconds ?? 60)
const only = values.only === undefined ? undefined : Number(values.only)

/** Of a phase; the oracle waits as long, and nothing may take longer than the hang. */
const limitMillis = 300
const hangMillis = 5_000
const atOnce = 24
const batchSize = 96

const wrong: Array<string> = []
const outcomes = new Map<string, number>()
let agreed = 0
let held = 0

const complain = ({ index }: Pick<Conversation, "index">, what: string): void => {
  wrong.push(`conversation ${index}: ${what}`)
}

const requestTo = (given: Conversation, origin: string): Transport.Request => ({
  upstream: `peer ${given.index}`,
  operation: `${given.method} /`,
  resend: 0,
  method: given.method,
  origin,
  path: "/",
  headers: {},
  body: given.method === "POST" ? "asked" : undefined,
  expectedStatus: [],
  limits: { responseBytes: 1_000_000, errorBytes: 16_384, drainBytes: 262_144, drainTime: Duration.millis(limitMillis) }
})

const whole = ({ body, bodyComplete, status }: Transport.Response): Answered => ({
  status,
  body: Buffer.from(body),
  isComplete: bodyComplete
})

const ask = (
  transport: Transport.Transport["Service"],
  given: Conversation,
  request: Transport.Request
): Effect.Effect<Answered, Reason.TransportReason> =>
  given.isStreamed
    ? Effect.scoped(
        Effect.flatMap(transport.open(request), (opened) =>
          "stream" in opened
            ? Effect.map(Stream.runCollect(given.isSlow ? slowly(opened.stream) : opened.stream), (chunks) => ({
                status: opened.status,
                body: Buffer.concat(chunks),
                isComplete: true
              }))
            : Effect.succeed(whole(opened))
        )
      )
    : Effect.map(transport.send(request), whole)

/** Once behind, a reader has much to read. */
const slowly = (stream: Transport.OpenResponse["stream"]): Transport.OpenResponse["stream"] =>
  Stream.mapEffect(stream, (chunk, index) => Effect.as(index === 0 ? Effect.sleep(20) : Effect.void, chunk))

const hold = Effect.fnUntraced(function* (
  transports: Readonly<Record<Conversation["protocol"], Transport.Transport["Service"]>>,
  given: Conversation
) {
  const peer = yield* Effect.promise(() => startPeer(given))
  const request = requestTo(given, `http://127.0.0.1:${peer.port}`)
  const hung = Effect.die(new Error(`it hangs for ${hangMillis} ms`))
  const told: Told = yield* Effect.exit(
    Effect.timeoutOrElse(ask(transports[given.protocol], given, request), { duration: hangMillis, orElse: () => hung })
  )
  const accepted =
    Exit.isSuccess(told) || only !== undefined
      ? yield* Effect.promise(() => oracle(given, peer.port, limitMillis))
      : undefined
  for (const what of wrongOf(given, told, accepted)) complain(given, what)
  const name = nameOf(told)
  outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
  if (accepted !== undefined && Exit.isSuccess(told)) agreed++
  held++
  if (only !== undefined) show(given, told, accepted)
  yield* Effect.promise(peer.close)
})

const show = (given: Conversation, told: Told, accepted: unknown): void => {
  console.log({
    ...given,
    pieces: given.pieces.map(
      ({ afterMillis, bytes }) => `${afterMillis} ms: ${JSON.stringify(bytes.toString("latin1"))}`
    )
  })
  console.log(told, accepted)
}

const options = (http2: boolean): NodeTransport.Options => ({
  connectTimeout: "3 seconds",
  headersTimeout: limitMillis,
  bodyTimeout: limitMillis,
  sendTimeout: limitMillis,
  transferTimeout: 3 * limitMillis,
  drainTimeout: 500,
  ...(http2 ? { http2: { priorKnowledge: true } } : {})
})

/** Some conversations over transports of their own, and what is left of those when they are closed. */
const batch = Effect.fnUntraced(function* (indices: ReadonlyArray<number>) {
  const before = heldResources()
  const [first = 0] = indices
  const snapshots = yield* Effect.scoped(
    Effect.gen(function* () {
      const one = yield* NodeTransport.make(options(false))
      const two = yield* NodeTransport.make(options(true))
      const transports = { "HTTP/1.1": one.transport, "HTTP/2": two.transport }
      yield* Effect.forEach(indices, (index) => hold(transports, conversation(seed, index)), { concurrency: atOnce })
      const all = [...(yield* one.pools.snapshot), ...(yield* two.pools.snapshot)]
      for (const { inFlight, upstream, waiting } of all) {
        if (inFlight + waiting > 0)
          complain(
            { index: Number(upstream.slice(5)) },
            `${inFlight} in flight, ${waiting} waiting when its call has ended`
          )
      }
      return [one.pools.snapshot, two.pools.snapshot]
    })
  )
  for (const snapshot of snapshots) {
    for (const { inFlight, open, opening, retiring, upstream, waiting } of yield* snapshot) {
      const left = inFlight + open + opening + retiring + waiting
      if (left > 0)
        complain({ index: Number(upstream.slice(5)) }, `${left} things in its pool when the transport is closed`)
    }
  }
  const left = yield* leftBehind(before, 3_000)
  if (left !== "") complain({ index: first }, `or one of the ${indices.length - 1} after it: ${left} left behind`)
})

const heapMegabytes = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1e6
}

process.on("uncaughtException", (error) => {
  console.log(
    `seed ${seed}: the process would have ended at about conversation ${held}: ${error.stack ?? String(error)}`
  )
  process.exit(1)
})

const main = Effect.gen(function* () {
  if (only !== undefined) {
    yield* batch([only])
    return
  }
  const until = performance.now() + seconds * 1000
  let next = 0
  let afterWarming: number | undefined
  while (performance.now() < until && wrong.length < 10) {
    yield* batch(Array.from({ length: batchSize }, (_, index) => next + index))
    next += batchSize
    if (next === batchSize * 4) afterWarming = heapMegabytes()
  }
  const grown = afterWarming === undefined ? 0 : heapMegabytes() - afterWarming
  if (grown > 16) wrong.push(`the heap has grown by ${grown.toFixed(1)} MB`)
})

console.log(`seed ${seed}`)
await Effect.runPromise(main)
const told = [...outcomes].sort(([, a], [, b]) => b - a).map(([name, count]) => `${count} ${name}`)
console.log(`${held} conversations: ${told.join(", ")}; Node accepts ${agreed} of the answers`)
for (const line of wrong) console.log(line)
if (wrong.length > 0) {
  console.log(`again: node test/drills/conversations/run.ts --seed ${seed} --only <conversation>`)
  process.exit(1)
}
