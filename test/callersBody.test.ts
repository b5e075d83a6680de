import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { FetchHttpClient, HttpBody, HttpClient } from "effect/http"
import { CallError, CircuitBreaker, HttpPolicy } from "holdfast"
import { HttpClientTransport, ResilientClient } from "holdfast/client"
import { bounded, calling, callingThrough, failure } from "./support/calling.ts"
import { serve, serveStreams } from "./support/direct.ts"

const secret = "c4n4ry"

const some = Stream.make(new Uint8Array(5))

/** What a caller's own body can do wrong. */
const bodies = {
  "fails with the code of a connection": some.pipe(
    Stream.concat(Stream.fail(Object.assign(new Error(secret), { code: "ECONNRESET" })))
  ),
  "fails before its first byte": Stream.fail(new Error(secret)),
  throws: some.pipe(
    Stream.concat(
      Stream.suspend((): Stream.Stream<Uint8Array> => {
        throw new TypeError(secret)
      })
    )
  ),
  "is longer than it said": Stream.make(new Uint8Array(5), new Uint8Array(6)),
  "is shorter than it said": some
} satisfies Record<string, Stream.Stream<Uint8Array, unknown>>

const headersOf = (how: string) => (how.endsWith("it said") ? { "content-length": "10" } : {})

const policy: HttpPolicy.Options = {
  breaker: { trip: [CircuitBreaker.consecutiveFailures(1)] },
  retry: { maxAttempts: 3, backoff: { shape: "constant", base: "10 millis", jitter: "none" } }
}

const protocols = {
  "HTTP/1.1": {
    transport: {},
    listening: serve((request, response) => {
      request.resume()
      request.once("end", () => response.end("ok"))
    })
  },
  "HTTP/2": {
    transport: { http2: { priorKnowledge: true } },
    listening: serveStreams((stream) => {
      stream.resume()
      stream.once("end", () => {
        if (stream.destroyed) return
        stream.respond({ ":status": 200 })
        stream.end("ok")
      })
    })
  }
}

const wrong = (error: unknown): void => {
  if (!(error instanceof CallError.CallError)) return assert.fail(String(error))
  assert.strictEqual(error.reason._tag, "RequestEncodeFailed", error.message)
  assert.deepStrictEqual([error.attempts, error.applied, error.retryStopped], [1, "maybe", "not-retryable"])
  assert.include(error.message, "the request could not be sent whole: ")
  assert.notInclude(error.message + JSON.stringify(error), secret)
}

describe.each(Object.keys(protocols) as ReadonlyArray<keyof typeof protocols>)(
  "a body of the caller's, over %s,",
  (protocol) => {
    const { listening, transport } = protocols[protocol]

    it.live.each(Object.keys(bodies) as ReadonlyArray<keyof typeof bodies>)(
      "that %s is the caller's fault: not retried, and counted by no stage",
      (how) =>
        Effect.gen(function* () {
          const { origin } = yield* listening
          const api = yield* calling({ url: origin }, { policy, transport })
          const options = { stream: bodies[how], streamReplayable: true, headers: headersOf(how) }
          wrong(yield* failure(api.put("/", options)))
          wrong(yield* failure(Effect.scoped(api.streaming.put("/", options))))
          const circuit = yield* api.stages.breaker?.snapshot ?? assert.fail("no breaker")
          assert.strictEqual(circuit.state, "Closed")
          assert.strictEqual((yield* bounded(api.put("/", { text: "whole" }))).text, "ok")
        })
    )
  }
)

describe("a body of the caller's, over a client of the program's own,", () => {
  const { listening } = protocols["HTTP/1.1"]
  const ways = Object.keys(bodies).filter((how) => !how.endsWith("it said")) as ReadonlyArray<keyof typeof bodies>

  it.live.each(ways)("that %s is the caller's fault, too", (how) =>
    Effect.gen(function* () {
      const { origin } = yield* listening
      const fetching = HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer))
      const api = yield* callingThrough(fetching, { url: origin }, { policy })
      wrong(yield* failure(api.put("/", { stream: bodies[how], streamReplayable: true })))
      const client = ResilientClient.withPolicy({ policy: HttpPolicy.make(policy) })(yield* HttpClient.HttpClient)
      const answered = Effect.flip(client.put(origin, { body: HttpBody.stream(bodies[how]) }))
      wrong(yield* bounded(answered))
    }).pipe(Effect.provide(FetchHttpClient.layer))
  )
})
