import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import { afterAll, assert, describe, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { FetchHttpClient } from "effect/http"
import { HttpClientTransport } from "holdfast/client"
import type { HttpPolicy, Transport } from "holdfast"
import { NodeTransport, Tls } from "holdfast/node"
import type { Seen, Target } from "./support/calling.ts"
import { calling, callingThrough, failure, nodeTransport, racingTimer, seen } from "./support/calling.ts"
import { certificates, type KeyAndChain } from "./support/certificates.ts"
import type { Fault } from "./support/faults.ts"
import { connectionFaults, faults, malformedResponses, overTls } from "./support/faults.ts"
import { Behaviour, TestUpstream } from "./support/upstream.ts"

// ---------------------------------------------------------------------------------------------------------------------
// What each fault is called
// ---------------------------------------------------------------------------------------------------------------------

/** Tag of the reason, and its phase; a reason that has no phase has it in its name. */
type Expected = readonly [tag: string, phase?: string]

const own = ({ cert, key }: KeyAndChain): Tls.OwnCertificate => ({ certificate: cert, key })

/** A connection that is left before the response: by its end. */
const beforeResponse = (name: string): Readonly<Record<string, Expected>> => ({
  [`${name}/silence`]: ["HeadersTimeout"],
  [`${name}/reset`]: ["ConnectionReset", "wait"],
  [`${name}/close`]: ["ConnectionClosed", "wait"]
})

/** A connection that is left in the body: a cut is a cut, however it was made. */
const withinBody = (name: string): Readonly<Record<string, Expected>> => ({
  [`${name}/silence`]: ["BodyTimeout"],
  [`${name}/reset`]: ["ResponseTruncated", "receive"],
  [`${name}/close`]: ["ResponseTruncated", "receive"]
})

const withinHandshake = (name: string): Readonly<Record<string, Expected>> => ({
  [`${name}/silence`]: ["ConnectTimeout"],
  [`${name}/reset`]: ["ConnectionReset", "connect"],
  [`${name}/close`]: ["ConnectionClosed", "connect"]
})

const expected: Readonly<Record<string, Expected>> = {
  ...beforeResponse("duringConnect"),
  ...beforeResponse("afterAccept"),
  ...beforeResponse("afterRequestLine"),
  ...beforeResponse("afterRequestHead"),
  ...beforeResponse("duringRequestBody"),
  ...beforeResponse("partialStatusLine"),
  ...beforeResponse("partialHeader"),
  ...withinBody("headWithoutBody"),
  ...withinBody("truncatedBody"),
  ...withinBody("truncatedChunk"),
  ...withinBody("missingLastChunk"),
  ...beforeResponse("onReuse"),
  ...beforeResponse("whileIdle"),
  garbage: ["MalformedResponse", "wait"],
  // A robust client skips empty lines before the status line (RFC 9112 §2.2): nothing was said, and the connection closed.
  emptyAnswer: ["ConnectionClosed", "wait"],
  badStatusLine: ["MalformedResponse", "wait"],
  unknownProtocol: ["MalformedResponse", "wait"],
  badHeader: ["MalformedResponse", "wait"],
  badContentLength: ["MalformedResponse", "wait"],
  negativeContentLength: ["MalformedResponse", "wait"],
  twoContentLengths: ["MalformedResponse", "wait"],
  lengthAndChunked: ["MalformedResponse", "wait"],
  badChunkSize: ["MalformedResponse", "receive"],
  unaskedUpgrade: ["MalformedResponse", "wait"],
  // The response is whole; what comes after it costs the connection, not the call.
  bodyBeyondLength: ["Success"],
  oversizedHeader: ["HeadersTooLarge"],
  oversizedBody: ["ResponseTooLarge"],
  oversizedChunkedBody: ["ResponseTooLarge"],
  ...withinHandshake("beforeClientHello"),
  ...withinHandshake("afterClientHello"),
  plainHttpOnTlsPort: ["TlsHandshakeFailed", "connect"],
  tls11Only: ["TlsVersionMismatch", "connect"],
  "clientCertificateRequired/TLSv1.2": ["ClientCertificateRequired", "connect"],
  "clientCertificateRequired/TLSv1.3": ["ClientCertificateRequired", "connect"],
  "certificate/expired": ["CertificateExpired", "connect"],
  "certificate/expiredIntermediate": ["CertificateExpired", "connect"],
  "certificate/notYetValid": ["CertificateNotYetValid", "connect"],
  "certificate/wrongHost": ["CertificateHostMismatch", "connect"],
  "certificate/selfSigned": ["CertificateUntrusted", "connect"],
  "certificate/untrustedRoot": ["CertificateUntrusted", "connect"],
  "certificate/missingIntermediate": ["CertificateUntrusted", "connect"],
  "certificate/wrongPurpose": ["CertificateUntrusted", "connect"]
}

const expectedOf = (fault: Fault): Expected => {
  const row = expected[fault.name.replace(" over TLS", "")]
  if (row === undefined) throw new Error(`no row for ${fault.name}`)
  return row
}

/** Of a transport that says which connections were stale: what met one is sent again at once. */
const expectedHere = (fault: Fault): Expected =>
  fault.firstCallSucceeds && /\/(?:reset|close)/.test(fault.name) ? ["Success"] : expectedOf(fault)

/** What a client is told of a connection that is left as soon as it is there depends on how far it had come itself. */
const mayComeEarlier = (fault: Fault): boolean => fault.step === "accept" || fault.name.startsWith("duringRequestBody")

const isOutcome = (fault: Fault, tag: string, wanted: string): boolean =>
  tag === wanted || (fault.name === "beforeClientHello/reset" && tag === "ConnectionClosed")

const inWords = ([tag, phase]: Expected): string => (phase === undefined ? tag : `${tag} in phase ${phase}`)

// ---------------------------------------------------------------------------------------------------------------------
// One call
// ---------------------------------------------------------------------------------------------------------------------

const phaseMillis = 200
/** A limit that a first call has to keep, before the second one runs into it. */
const sharedPhaseMillis = 1_000
/** Undici's own timers are later than that, by almost a second: a limit is not left to them. */
const lateMillis = 500

const once: HttpPolicy.Options = { retry: false, attemptTimeout: false, deadline: false, breaker: false }

const limitOf = (fault: Fault): number => (fault.firstCallSucceeds ? sharedPhaseMillis : phaseMillis)

/** The limit that a silence is to run into, and no other: a busy machine turns no fault that ends by itself into a silence. */
const phasesOf = (fault: Fault): NodeTransport.Options => {
  const [tag] = expectedOf(fault)
  const limit = limitOf(fault)
  return {
    connections: 1,
    ...(tag === "ConnectTimeout" ? { connectTimeout: limit } : {}),
    ...(tag === "HeadersTimeout" ? { headersTimeout: limit } : {}),
    ...(tag === "BodyTimeout" ? { bodyTimeout: limit } : {})
  }
}

const oneConnection: NodeTransport.Options = { connections: 1 }

const rows: Array<readonly [transport: string, fault: string, outcome: Seen]> = []

/** Calls an upstream that has this fault, and asks that nothing stays open behind the call. */
const drill = Effect.fnUntraced(function* (
  fault: Fault,
  name: string,
  transport: (target: Target) => Layer.Layer<Transport.Transport>,
  policy: HttpPolicy.Options = once
) {
  const upstream = yield* TestUpstream
  const { trustedRoot } = yield* certificates
  const listener = yield* upstream.listen(fault.behaviour, fault.options)
  const target = listener.url.startsWith("https") ? { ...listener, trustedRoot } : listener
  const outcome = yield* Effect.scoped(
    Effect.gen(function* () {
      const payments = yield* callingThrough(transport(target), target, { policy })
      const call = fault.needsRequestBody ? payments.post("/", { text: "0123456789" }) : payments.get("/")
      if (fault.firstCallSucceeds) assert.strictEqual((yield* seen(call)).tag, "Success")
      return yield* seen(call)
    })
  )
  if (!leavesHandshake(fault, name)) yield* upstream.awaitNoOpenConnections(listener)
  yield* upstream.stop(listener)
  rows.push([name, fault.name, outcome])
  return outcome
})

/** Effect's client does not end a handshake whose caller has gone, not even when its layer is closed. */
const leavesHandshake = (fault: Fault, transport: string): boolean =>
  transport !== "undici" && fault.step === "handshake" && fault.needsTimeout

const assertNotEarly = (fault: Fault, { millis }: Seen): void => {
  if (fault.needsTimeout) assert.isAtLeast(millis, limitOf(fault) - 2)
}

afterAll(() => {
  const table = rows.map(([transport, fault, { code, millis, phase, tag }]) =>
    [transport.padEnd(12), fault.padEnd(40), `${Math.round(millis)} ms`.padStart(7), ` ${tag}`.padEnd(27)]
      .concat((phase ?? "").padEnd(8), code ?? "")
      .join(" ")
  )
  console.log(table.join("\n"))
})

layer(TestUpstream.layer, { excludeTestServices: true })("classification", (it) => {
  describe("through undici", () => {
    it.effect.each(
      [...faults, ...connectionFaults.map(overTls), ...malformedResponses.map(overTls)].map((fault) => ({
        fault,
        name: fault.name,
        outcome: inWords(expectedHere(fault))
      }))
    )("$name is $outcome, never early, and leaves no connection open", ({ fault }) =>
      Effect.gen(function* () {
        const outcome = yield* drill(fault, "undici", (target) => nodeTransport(target, phasesOf(fault)))
        const [tag, phase] = expectedHere(fault)
        assert.isTrue(isOutcome(fault, outcome.tag, tag), outcome.tag)
        if (mayComeEarlier(fault) && phase !== undefined) {
          assert.include(["connect", "send", phase], outcome.phase)
        } else assert.strictEqual(outcome.phase, phase)
        assertNotEarly(fault, outcome)
      })
    )

    it.effect("a port that refuses is ConnectionRefused, before anything is sent", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const payments = yield* calling(yield* upstream.refusedPort, { policy: once, transport: oneConnection })
        const { code, phase, tag } = yield* seen(payments.get("/"))
        assert.deepStrictEqual([tag, phase, code], ["ConnectionRefused", "connect", "ECONNREFUSED"])
      })
    )

    it.effect("a call made in the moment in which another one failed to connect is made like any other", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const { trustedRoot } = yield* certificates
        const expired = yield* upstream.listen(Behaviour.healthy, { tls: { certificate: "expired" } })
        for (const target of [yield* upstream.refusedPort, { ...expired, trustedRoot }]) {
          const payments = yield* calling(target, { policy: once, transport: oneConnection })
          const outcomes: Array<string> = []
          // One after another in one fiber: each begins in the turn in which the one before it ended.
          for (let call = 0; call < 20; call++) outcomes.push((yield* seen(payments.get("/"))).tag)
          const [first] = outcomes
          assert.include(["ConnectionRefused", "CertificateExpired"], first)
          assert.isTrue(
            outcomes.every((tag) => tag === first),
            outcomes.join()
          )
        }
      })
    )

    it.effect("a client certificate that cannot be read fails the layer, before any call", () =>
      Effect.gen(function* () {
        const identity = Tls.fixed({ certificate: "no certificate", key: "no key" })
        const error = yield* Effect.flip(Effect.scoped(NodeTransport.make({ tls: { identity } })))
        assert.strictEqual(error._tag, "TlsMaterialError")
      })
    )

    it.effect("a name that does not exist is NameResolutionFailed, before anything is sent", () =>
      Effect.gen(function* () {
        // `.invalid` is kept free of names (RFC 6761 §6.4); a resolver that does not answer is a failed resolution too.
        const target = { url: "http://no-such-host.invalid" }
        const payments = yield* calling(target, { policy: once, transport: { connectTimeout: "20 seconds" } })
        const { phase, tag } = yield* seen(payments.get("/"))
        assert.deepStrictEqual([tag, phase], ["NameResolutionFailed", "connect"])
      })
    )

    it.effect("a port that nobody answers on is ConnectTimeout, when the limit is over and not later", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const payments = yield* calling(yield* upstream.unansweredPort, {
          policy: once,
          transport: { connectTimeout: phaseMillis }
        })
        const { isFirst, value } = yield* racingTimer(phaseMillis + lateMillis)(seen(payments.get("/")))
        assert.strictEqual(value.tag, "ConnectTimeout")
        assert.isAtLeast(value.millis, phaseMillis - 2)
        assert.isTrue(isFirst)
      })
    )

    it.effect("plain HTTP sent to a TLS port is a connection that ends before the response", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.healthy, { tls: {} })
        const payments = yield* calling(
          { url: listener.url.replace("https:", "http:") },
          { policy: once, transport: oneConnection }
        )
        const { tag } = yield* seen(payments.get("/"))
        // Node's server answers a ClientHello that is none with a TLS alert, which is no HTTP, or just leaves.
        assert.include(["ConnectionClosed", "ConnectionReset", "MalformedResponse"], tag)
      })
    )

    it.effect("a response that announces its length, says it will close, and is cut is ResponseTruncated", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(
          Behaviour.raw([
            Behaviour.waitForRequestHead,
            Behaviour.write("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 100\r\n\r\nhalf"),
            Behaviour.sleep(20),
            Behaviour.end("close")
          ])
        )
        const payments = yield* calling(listener, { policy: once, transport: oneConnection })
        const { phase, tag } = yield* seen(payments.get("/"))
        assert.deepStrictEqual([tag, phase], ["ResponseTruncated", "receive"])
      })
    )

    it.effect("an error status whose body is cut is that status, with what came of its body", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const { trustedRoot } = yield* certificates
        for (const end of Behaviour.ends) {
          for (const options of [{}, { tls: {} }]) {
            const listener = yield* upstream.listen(
              Behaviour.raw([
                Behaviour.waitForRequestHead,
                Behaviour.write(
                  "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 100\r\nretry-after: 7\r\n\r\nbusy"
                ),
                Behaviour.sleep(20),
                Behaviour.end(end)
              ]),
              options
            )
            const payments = yield* calling({ ...listener, trustedRoot }, { policy: once, transport: oneConnection })
            const { reason } = yield* failure(payments.get("/"))
            if (reason._tag !== "ServiceUnavailable") throw new Error(`${end}: ${reason.message}`)
            assert.deepStrictEqual([reason.body, reason.bodyComplete], ["busy", false])
            yield* upstream.awaitNoOpenConnections(listener)
          }
        }
      })
    )
  })

  describe("client certificates", () => {
    it.effect.each([{ version: "TLSv1.2" }, { version: "TLSv1.3" }] as const)(
      "a good one is accepted over $version, and none is ClientCertificateRequired every time",
      ({ version }) =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const { clients } = yield* certificates
          const listener = yield* upstream.listen(Behaviour.healthy, {
            tls: { clientCertificate: "required", minVersion: version, maxVersion: version }
          })
          yield* Effect.scoped(
            Effect.gen(function* () {
              const payments = yield* calling(listener, {
                policy: once,
                transport: { ...oneConnection, tls: { identity: Tls.fixed(own(clients.good)) } }
              })
              assert.strictEqual((yield* payments.get("/")).status, 200)
            })
          )
          const payments = yield* calling(listener, { policy: once, transport: oneConnection })
          for (let attempt = 0; attempt < 10; attempt++) {
            const { phase, tag } = yield* seen(payments.get("/"))
            assert.deepStrictEqual([tag, phase], ["ClientCertificateRequired", "connect"])
          }
          const { requestsArrived } = yield* upstream.awaitNoOpenConnections(listener)
          assert.strictEqual(requestsArrived, 1)
        })
    )

    it.effect.each([{ version: "TLSv1.2" }, { version: "TLSv1.3" }] as const)(
      "one of a root that the server does not trust fails over $version before the server reads a request",
      ({ version }) =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const { clients } = yield* certificates
          const listener = yield* upstream.listen(Behaviour.healthy, {
            tls: { clientCertificate: "required", minVersion: version, maxVersion: version }
          })
          const payments = yield* calling(listener, {
            policy: once,
            transport: { ...oneConnection, tls: { identity: Tls.fixed(own(clients.untrusted)) } }
          })
          const { tag } = yield* seen(payments.get("/"))
          // Node's server leaves without an alert here, so all that a client can know is that the connection ended.
          assert.include(["ConnectionReset", "ConnectionClosed"], tag)
          const { requestsArrived } = yield* upstream.awaitNoOpenConnections(listener)
          assert.strictEqual(requestsArrived, 0)
        })
    )

    // A fatal alert (RFC 8446 §6.2) in the clear, as a server sends it before keys are agreed upon.
    it.effect.each([
      { alert: 40, name: "handshake_failure", tag: "TlsHandshakeFailed" },
      { alert: 42, name: "bad_certificate", tag: "ClientCertificateRequired" },
      { alert: 45, name: "certificate_expired", tag: "ClientCertificateRequired" },
      { alert: 48, name: "unknown_ca", tag: "ClientCertificateRequired" },
      { alert: 70, name: "protocol_version", tag: "TlsVersionMismatch" },
      { alert: 112, name: "unrecognized_name", tag: "TlsHandshakeFailed" }
    ])("the alert $name is $tag", ({ alert, tag }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const record = Buffer.from([21, 3, 3, 0, 2, 2, alert]).toString("base64")
        const listener = yield* upstream.listen({
          ...Behaviour.raw([Behaviour.waitForBytes(1), Behaviour.writeBase64(record), Behaviour.end("close")]),
          scheme: "https"
        })
        const payments = yield* calling(listener, { policy: once, transport: oneConnection })
        const outcome = yield* seen(payments.get("/"))
        assert.deepStrictEqual([outcome.tag, outcome.phase], [tag, "connect"])
      })
    )
  })

  describe("bounds", () => {
    it.effect.each([
      {
        bound: "headersTimeout",
        tag: "HeadersTimeout",
        transport: { headersTimeout: phaseMillis },
        policy: once
      },
      {
        bound: "attemptTimeout",
        tag: "AttemptTimeout",
        transport: {},
        policy: { ...once, attemptTimeout: phaseMillis }
      },
      { bound: "deadline", tag: "DeadlineExceeded", transport: {}, policy: { retry: false, deadline: phaseMillis } }
    ] as const)("silence ends by the $bound as $tag, and closes the connection", ({ policy, tag, transport }) =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const listener = yield* upstream.listen(Behaviour.http([Behaviour.hang]))
        const payments = yield* calling(listener, { policy, transport })
        const { isFirst, value } = yield* racingTimer(phaseMillis + lateMillis)(seen(payments.get("/")))
        assert.strictEqual(value.tag, tag)
        assert.isAtLeast(value.millis, phaseMillis - 2)
        assert.isTrue(isFirst)
        yield* upstream.awaitNoOpenConnections(listener)
      })
    )

    it.effect("a body that trickles on is no BodyTimeout, and an attempt that is too long is AttemptTimeout", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const trickle = Behaviour.answer({ body: "abcdefghij", chunkBytes: 1, chunkDelayMillis: 40 })
        const listener = yield* upstream.listen(Behaviour.http([trickle]))
        const patient = yield* calling(listener, { policy: once, transport: { bodyTimeout: 200 } })
        assert.strictEqual((yield* patient.get("/")).text, "abcdefghij")
        const hurried = yield* calling(listener, {
          policy: { ...once, attemptTimeout: 200 },
          transport: { bodyTimeout: 200 }
        })
        assert.strictEqual((yield* seen(hurried.get("/"))).tag, "AttemptTimeout")
      })
    )

    it.effect(
      "one call more than connections and queue hold is PoolExhausted at once, and the others are answered",
      () =>
        Effect.gen(function* () {
          const upstream = yield* TestUpstream
          const listener = yield* upstream.listen(Behaviour.http([Behaviour.answer({ delayMillis: 100, body: "ok" })]))
          const payments = yield* calling(listener, { policy: once, transport: { connections: 2, maxQueue: 3 } })
          const outcomes = yield* Effect.all(
            Array.from({ length: 7 }, () => seen(payments.get("/"))),
            { concurrency: "unbounded" }
          )
          const refused = outcomes.filter(({ tag }) => tag === "PoolExhausted")
          assert.deepStrictEqual([refused.length, outcomes.filter(({ tag }) => tag === "Success").length], [2, 5])
          const answered = outcomes.filter(({ tag }) => tag === "Success")
          assert.isBelow(
            Math.max(...refused.map(({ millis }) => millis)),
            Math.min(...answered.map(({ millis }) => millis))
          )
          // A place is given back: the pool is as large as before.
          const again = yield* Effect.all(
            Array.from({ length: 5 }, () => seen(payments.get("/"))),
            { concurrency: "unbounded" }
          )
          assert.deepStrictEqual(
            again.map(({ tag }) => tag),
            Array.from({ length: 5 }, () => "Success")
          )
          const { requestsArrived } = yield* upstream.facts(listener)
          assert.strictEqual(requestsArrived, 10)
        })
    )
  })

  // -------------------------------------------------------------------------------------------------------------------
  // Any other client
  // -------------------------------------------------------------------------------------------------------------------

  /** An `HttpClient` has no limits of its phases: only the attempt's ends a silence. */
  const bounds = (fault: Fault): HttpPolicy.Options => ({
    retry: false,
    attemptTimeout: fault.needsTimeout ? limitOf(fault) : "1 minute",
    deadline: false
  })

  /** What a client does not tell of its handshake, the reason cannot say either. */
  const withoutHandshake: Readonly<Record<string, string>> = {
    "clientCertificateRequired/TLSv1.2": "TlsHandshakeFailed",
    "clientCertificateRequired/TLSv1.3": "ConnectionClosed"
  }

  const atHttpClient = (fault: Fault): string =>
    withoutHandshake[fault.name] ?? (fault.needsTimeout ? "AttemptTimeout" : expectedOf(fault)[0])

  describe.each([
    {
      client: "NodeHttpClient",
      secure: true,
      transport: (target: Target) =>
        HttpClientTransport.layer.pipe(
          Layer.provide(
            NodeHttpClient.layerUndiciOptions({
              connections: 1,
              ...(target.trustedRoot === undefined ? {} : { connect: { ca: target.trustedRoot } })
            })
          )
        )
    },
    {
      client: "fetch",
      // Node's fetch trusts the roots of its process, and cannot be given another.
      secure: false,
      transport: () => HttpClientTransport.layer.pipe(Layer.provide(FetchHttpClient.layer))
    }
  ])("through an HttpClient over $client", ({ client, secure, transport }) => {
    it.effect.each(
      faults
        // The pool of fetch cannot be held to one connection, so its second call does not meet what the first one left.
        .filter((fault) => secure || !(isSecure(fault) || fault.firstCallSucceeds))
        .map((fault) => ({ fault, name: fault.name, outcome: atHttpClient(fault) }))
    )("$name is $outcome, never early, and leaves no connection open", ({ fault }) =>
      Effect.gen(function* () {
        const outcome = yield* drill(fault, client, transport, bounds(fault))
        assert.isTrue(isOutcome(fault, outcome.tag, atHttpClient(fault)), outcome.tag)
        assertNotEarly(fault, outcome)
      })
    )

    it.effect("a port that refuses is ConnectionRefused", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const target = yield* upstream.refusedPort
        const payments = yield* callingThrough(transport(target), target, { policy: once })
        const { phase, tag } = yield* seen(payments.get("/"))
        assert.deepStrictEqual([tag, phase], ["ConnectionRefused", "connect"])
      })
    )

    it.effect("a port that nobody answers on is AttemptTimeout", () =>
      Effect.gen(function* () {
        const upstream = yield* TestUpstream
        const target = yield* upstream.unansweredPort
        const payments = yield* callingThrough(transport(target), target, {
          policy: { ...once, attemptTimeout: phaseMillis }
        })
        assert.strictEqual((yield* seen(payments.get("/"))).tag, "AttemptTimeout")
      })
    )
  })
})

const isSecure = (fault: Fault): boolean =>
  fault.options.tls !== undefined || (fault.behaviour._tag === "Raw" && fault.behaviour.scheme === "https")
