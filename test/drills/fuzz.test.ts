/**
 * Answers that chance has spoiled, over both protocols: whatever the bytes, a call ends with an answer or a typed reason, in time; the
 * answer is the one that Node's own client reads of the same bytes; and no connection stays in use. The seed is printed, and
 * `FUZZ_SEED=… npm run drill -- fuzz` makes the same bytes again. `FUZZ_SECONDS` says how long: 30 for each protocol by default.
 */
import * as http from "node:http"
import type { Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { bounded } from "../support/calling.ts"
import { direct, eventually, serveBytes } from "../support/direct.ts"
import { http1Answers, http2Answers, http2Settings } from "./fuzz/answers.ts"
import { chance, mutated, split } from "./fuzz/mutations.ts"

const seed = Number(process.env["FUZZ_SEED"] ?? Math.floor(Date.now() / 1000))
const seconds = Number(process.env["FUZZ_SECONDS"] ?? 30)
const atOnce = 16
const limits = { headersTimeout: "300 millis", bodyTimeout: "300 millis", sendTimeout: "300 millis" } as const

const write = (socket: Socket, pieces: ReadonlyArray<Buffer>): void => {
  const [first, ...rest] = pieces
  if (socket.destroyed) return
  if (first === undefined) socket.end()
  else socket.write(first, () => setImmediate(write, socket, rest))
}

/** The answer of a round: what is sent to the request whose path has its number. */
const answerOf = (answers: ReadonlyArray<Buffer>, round: number): ReadonlyArray<Buffer> => {
  const random = chance(seed + round)
  const answer = answers[Math.floor(random() * answers.length)] ?? Buffer.alloc(0)
  return split(mutated(answer, random), random)
}

/** What Node's own client reads of the same bytes, if it takes them for an answer that is whole. */
const byNode = (url: string) =>
  Effect.callback<{ readonly status: number; readonly body: Buffer } | undefined>((resume) => {
    const none = (): void => resume(Effect.succeed(undefined))
    const request = http.get(url, { agent: false, timeout: 500 }, (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", none)
      response.on("end", () =>
        response.complete && response.headers["content-encoding"] === undefined
          ? resume(Effect.succeed({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }))
          : none()
      )
    })
    request.on("error", none)
    request.on("timeout", () => request.destroy(new Error("silent")))
  })

describe("answers that chance has spoiled", () => {
  it.live.each([
    { protocol: "HTTP/1.1", answers: http1Answers },
    { protocol: "HTTP/2", answers: http2Answers }
  ])(
    "$protocol: every call ends, as its bytes say, and leaves nothing behind",
    ({ answers, protocol }) =>
      Effect.gen(function* () {
        console.log(`${protocol}: seed ${seed}, ${seconds} s`)
        const isHttp2 = protocol === "HTTP/2"
        const asked = new Map<Socket, number>()
        let round = 0
        const { origin } = yield* serveBytes(
          (socket, bytes) => {
            const path = /\/round-(\d+)/.exec(bytes.toString("latin1"))?.[1]
            // fields of HTTP/2 are coded: there, the rounds are counted by connection
            const number = isHttp2 ? asked.get(socket) : path === undefined ? undefined : Number(path)
            if (number === undefined || (isHttp2 && !bytes.includes(0x86))) return
            asked.delete(socket)
            write(socket, answerOf(answers, number))
          },
          (socket) => {
            socket.once("close", () => asked.delete(socket))
            if (!isHttp2) return
            asked.set(socket, round)
            socket.write(http2Settings)
          }
        )
        const { pools, send } = yield* direct({
          ...limits,
          http2: isHttp2 ? { priorKnowledge: true } : false,
          maxRequests: 1
        })
        const tally = new Map<string, number>()
        const wrong: Array<string> = []
        const until = performance.now() + seconds * 1000
        const one = Effect.gen(function* () {
          const mine = ++round
          const ended = yield* bounded("10 seconds")(
            Effect.match(send(origin, { path: `/round-${mine}` }), {
              onFailure: (reason) => reason._tag,
              onSuccess: (response) => response
            })
          )
          const key = typeof ended === "string" ? ended : `answer ${ended.status}`
          tally.set(key, (tally.get(key) ?? 0) + 1)
          if (isHttp2 || typeof ended === "string" || ended.status >= 300) return
          if (ended.headers["content-encoding"] !== undefined) return
          const other = yield* byNode(`${origin}/round-${mine}`)
          if (other === undefined) return
          const coded = answerOf(answers, mine).some((piece) => piece.includes("content-encoding"))
          if (!coded && (other.status !== ended.status || !other.body.equals(ended.body))) {
            wrong.push(
              `round ${mine}: ${ended.status} ${ended.body.length} bytes, and by Node ${other.status} ${other.body.length}`
            )
          }
        })
        const caller = Effect.whileLoop({
          while: () => performance.now() < until,
          body: () => one,
          step: () => {}
        })
        yield* Effect.all(
          Array.from({ length: atOnce }, () => caller),
          { concurrency: atOnce }
        )
        console.log(
          [...tally]
            .toSorted(([, one], [, other]) => other - one)
            .map(([name, count]) => `${count} ${name}`)
            .join(", ")
        )
        assert.deepStrictEqual(wrong, [])
        assert.isAbove(tally.size, 3)
        yield* bounded("10 seconds")(
          eventually(pools, ([pool]) => pool?.inFlight === 0 && pool.waiting === 0 && pool.opening === 0)
        )
      }),
    { timeout: (seconds + 60) * 1000 }
  )
})
