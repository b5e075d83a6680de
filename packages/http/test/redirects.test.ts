import { Effect, Fiber, Redacted, Stream, Tracer } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { TestClock } from "effect/testing"
import type { CallError } from "@holdfast/core/CallError"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import type * as Transport from "../src/Transport.ts"
import type * as Upstream from "../src/Upstream.ts"
import { fork, upstream } from "./support/stock.ts"

const { json, pause, status, stream } = ScriptedTransport

const to = (location: string, code = 302) => status(code, { headers: { location }, body: "moved" })

const ok = json({ ok: true })

const follows: HttpPolicy.Options = { redirects: {} }

const shown = ({ body, headers, method, origin, path }: Transport.Request) => ({
  asked: `${method} ${origin}${path}`,
  headers: Object.keys(headers)
    .filter((name) => name !== "x-request-id")
    .toSorted(),
  body: body instanceof Uint8Array ? "bytes" : Stream.isStream(body) ? "stream" : body
})

const requests = Effect.map(ScriptedTransport.seen, ({ requests }) => requests.map(shown))

const asked = Effect.map(requests, (all) => all.map(({ asked }) => asked))

const reasonOf = <A, R>(call: Effect.Effect<A, CallError, R>) =>
  // in plain sight, since each test looks at the fields of one reason
  Effect.map(Effect.flip(call), ({ reason }): Record<string, unknown> => ({ ...reason }))

describe("a redirect", () => {
  it.effect("is a failure unless the policy says otherwise", () =>
    upstream(
      { "*": [to("/elsewhere"), ok] },
      {}
    )((api) =>
      Effect.gen(function* () {
        const reason = yield* reasonOf(api.get("/items"))
        assert.deepInclude(reason, { _tag: "TooManyRedirects", status: 302, followed: 0 })
        assert.strictEqual((yield* requests).length, 1)
      })
    )
  )

  describe.each(["whole", "streamed"] as const)("of a %s answer", (kind) => {
    const get = (api: Upstream.Upstream, path: string, given = {}) =>
      kind === "whole"
        ? Effect.map(api.get(path, given), ({ text }) => text)
        : Effect.map(
            Effect.flatMap(api.streaming.get(path, given), ({ stream }) => Stream.runCollect(stream)),
            (chunks) => chunks.map((bytes) => new TextDecoder().decode(bytes)).join("")
          )

    it.effect.each([301, 302, 303, 307, 308])("with status %d is followed to where it says", (code) =>
      upstream(
        {
          "*": [
            to("/absolute/path?q=1#part", code),
            to("beside?r=2", code),
            to("//other.internal/x", code),
            to("https://third.internal:8443", code),
            ok
          ]
        },
        follows,
        { baseUrl: "https://stock.internal/v1" }
      )((api) =>
        Effect.gen(function* () {
          assert.strictEqual(yield* get(api, "/items"), '{"ok":true}')
          assert.deepStrictEqual(yield* asked, [
            "GET https://stock.internal/v1/items",
            "GET https://stock.internal/absolute/path?q=1",
            "GET https://stock.internal/absolute/beside?r=2",
            "GET https://other.internal/x",
            "GET https://third.internal:8443/"
          ])
        })
      )
    )

    it.effect.each([
      ["", "https://stock.internal/v1/items?page=1"],
      ["#part", "https://stock.internal/v1/items?page=1"],
      ["?page=2", "https://stock.internal/v1/items?page=2"],
      ["./a/../b", "https://stock.internal/v1/b"],
      ["../../../a", "https://stock.internal/a"],
      ["/a%2Fb?q=%C3%A9#part", "https://stock.internal/a%2Fb?q=%C3%A9"],
      ["/with blank", "https://stock.internal/with%20blank"],
      ["//OTHER.internal:443/x", "https://other.internal/x"],
      ["https:beside", "https://stock.internal/v1/beside"],
      ["https://[2001:DB8::1]:8443/x", "https://[2001:db8::1]:8443/x"],
      // the bytes of UTF-8, each as the character of its number: so do headers arrive
      ["/caf\u00c3\u00a9?q=\u00c3\u00a9", "https://stock.internal/caf%C3%A9?q=%C3%A9"],
      ["https://b\u00c3\u00bccher.example/", "https://xn--bcher-kva.example/"],
      // bytes that are no UTF-8 stay the same bytes
      ["/caf\u00e9", "https://stock.internal/caf%E9"]
    ] as const)("to %j is followed by the rules of URLs to %s", ([location, target]) =>
      upstream({ "*": [to(location), ok] }, follows, { baseUrl: "https://stock.internal/v1" })((api) =>
        Effect.gen(function* () {
          yield* get(api, "/items?page=1")
          assert.strictEqual((yield* asked)[1], `GET ${target}`)
        })
      )
    )

    it.effect("is one attempt, and one of the bulkhead's places", () =>
      upstream(
        { "*": [to("/a"), status(503), to("/b"), ok] },
        { ...follows, retry: { backoff: { jitter: "none" } }, bulkhead: { maxConcurrent: 1 } }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(get(api, "/items"))
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(call)
          const { requests } = yield* ScriptedTransport.seen
          assert.deepStrictEqual(
            requests.map(({ path, resend }) => [path, resend]),
            [
              ["/items", 0],
              ["/a", 0],
              ["/items", 1],
              ["/b", 1]
            ]
          )
        })
      )
    )

    it.effect("is followed as often as the policy says, and the next one says how many there were", () =>
      upstream(
        { "*": [to("/again")] },
        { redirects: { max: 3 } }
      )((api) =>
        Effect.gen(function* () {
          const reason = yield* reasonOf(get(api, "/items"))
          assert.deepInclude(reason, {
            _tag: "TooManyRedirects",
            followed: 3,
            status: 302,
            location: "https://stock.internal",
            endpoint: "stock.internal:443"
          })
          assert.strictEqual((yield* requests).length, 4)
        })
      )
    )

    it.effect("from https to http is refused, unless it is asked for", () =>
      Effect.gen(function* () {
        const script = { "*": [to("http://stock.internal/plain"), ok] }
        yield* upstream(
          script,
          follows
        )((api) =>
          Effect.gen(function* () {
            const reason = yield* reasonOf(get(api, "/items"))
            assert.deepInclude(reason, { _tag: "TooManyRedirects", followed: 0, location: "http://stock.internal" })
            assert.strictEqual((yield* requests).length, 1)
          })
        )
        yield* upstream(script, { redirects: { insecure: "follow" } })((api) =>
          Effect.gen(function* () {
            yield* get(api, "/items", { headers: { authorization: "s3cret" } })
            assert.deepStrictEqual((yield* requests)[1], {
              asked: "GET http://stock.internal/plain",
              headers: [],
              body: undefined
            })
          })
        )
      })
    )

    it.effect.each([
      ["https://", "is not a URL"],
      ["ftp://files.internal/s3cret", "is not http or https"],
      ["javascript:alert(1)", "is not http or https"],
      ["https://user:s3cret@files.internal/", "holds credentials"]
    ] as const)("to %s is a failure that says why, and does not repeat it", ([location, what]) =>
      upstream(
        { "*": [to(location), ok] },
        follows
      )((api) =>
        Effect.gen(function* () {
          const error = yield* Effect.flip(get(api, "/items"))
          assert.strictEqual(error.reason._tag, "MalformedResponse")
          assert.include(error.message, `the Location of a 302 ${what}`)
          assert.notInclude(error.message, "s3cret")
          assert.strictEqual((yield* requests).length, 1)
        })
      )
    )

    it.effect("without a Location, or with a status that says something else, is not followed", () =>
      upstream(
        { "*": [status(302), to("/choices", 300), to("/proxy", 305), to("/same", 304), to("/expected")] },
        follows
      )((api) =>
        Effect.gen(function* () {
          for (let call = 0; call < 3; call++) {
            assert.strictEqual((yield* reasonOf(get(api, "/items")))._tag, "TooManyRedirects")
          }
          yield* get(api, "/items")
          yield* get(api, "/items", { expectedStatus: [302] })
          assert.strictEqual((yield* requests).length, 5)
        })
      )
    )

    it.effect("to an error is that error, of who answered it", () =>
      upstream(
        { "*": [to("https://files.internal/a"), status(404), to("https://files.internal/a"), status(300)] },
        follows
      )((api) =>
        Effect.gen(function* () {
          const missing = yield* reasonOf(get(api, "/items"))
          assert.deepInclude(missing, { _tag: "NotFound", endpoint: "files.internal:443" })
          const choices = yield* reasonOf(get(api, "/items"))
          assert.deepInclude(choices, { _tag: "TooManyRedirects", endpoint: "files.internal:443", followed: 1 })
        })
      )
    )

    it.effect("is within the attempt's timeout, with all the others", () =>
      upstream(
        { "*": [ScriptedTransport.after("600 millis", to("/again"))] },
        { redirects: { max: 100 }, attemptTimeout: "1 second" }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(Effect.flip(get(api, "/items")))
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* Fiber.join(call)).reason._tag, "AttemptTimeout")
          assert.strictEqual((yield* requests).length, 2)
        })
      )
    )
  })

  describe("of a request with a body", () => {
    const body = { json: { a: 1 }, headers: { "content-language": "en", "x-tenant": "one" } }
    const kept = { body: '{"a":1}', headers: ["content-language", "content-type", "x-tenant"] }
    const dropped = { body: undefined, headers: ["x-tenant"] }

    it.effect.each([
      ["POST", 301, "GET", dropped],
      ["POST", 302, "GET", dropped],
      ["POST", 303, "GET", dropped],
      ["POST", 307, "POST", kept],
      ["POST", 308, "POST", kept],
      ["PUT", 301, "PUT", kept],
      ["PUT", 302, "PUT", kept],
      ["PUT", 303, "GET", dropped],
      ["PUT", 307, "PUT", kept],
      ["PATCH", 303, "GET", dropped],
      ["PATCH", 308, "PATCH", kept]
    ] as const)("%s and %d makes %s of it, as Fetch does", ([method, code, becomes, expected]) =>
      upstream(
        { "*": [to("/there", code), ok] },
        follows
      )((api) =>
        Effect.gen(function* () {
          const helper = { POST: api.post, PUT: api.put, PATCH: api.patch }[method]
          yield* helper("/items", body)
          assert.deepStrictEqual((yield* requests)[1], {
            asked: `${becomes} https://stock.internal/there`,
            ...expected
          })
        })
      )
    )

    it.effect("HEAD stays HEAD", () =>
      upstream(
        { "*": [to("/there", 303), ok] },
        follows
      )((api) =>
        Effect.gen(function* () {
          yield* api.head("/items")
          assert.deepStrictEqual((yield* asked)[1], "HEAD https://stock.internal/there")
        })
      )
    )

    it.effect("a stream that was begun is not sent again: the redirect is the failure", () =>
      Effect.gen(function* () {
        const source = { stream: Stream.make(new Uint8Array([1])) }
        const drain = (request: Transport.Request) => {
          if (Stream.isStream(request.body)) Effect.runSync(Effect.ignore(Stream.runDrain(request.body)))
          return request.path === "/items" ? to("https://files.internal/there", 307) : ok
        }
        yield* upstream(
          { "*": drain },
          follows
        )((api) =>
          Effect.gen(function* () {
            const reason = yield* reasonOf(api.post("/items", source))
            assert.deepInclude(reason, { _tag: "TooManyRedirects", status: 307, location: "https://files.internal" })
            yield* api.post("/items", { ...source, streamReplayable: true })
            assert.deepStrictEqual(
              (yield* requests).map(({ asked, body }) => [asked, body]),
              [
                ["POST https://stock.internal/items", "stream"],
                ["POST https://stock.internal/items", "stream"],
                ["POST https://files.internal/there", "stream"]
              ]
            )
          })
        )
        // the server answered before it read anything
        const unread = (request: Transport.Request) => (request.path === "/items" ? to("/there", 308) : ok)
        yield* upstream({ "*": unread }, follows)((api) => api.post("/items", source))
        // what is dropped need not be repeated
        yield* upstream(
          { "*": drain },
          { redirects: {} }
        )((api) =>
          Effect.gen(function* () {
            assert.strictEqual((yield* reasonOf(api.put("/items", source)))._tag, "TooManyRedirects")
          })
        )
        const seeOther = (request: Transport.Request) => (drain(request) === ok ? ok : to("/there", 303))
        yield* upstream({ "*": seeOther }, follows)((api) => api.post("/items", source))
      })
    )
  })

  describe("to another origin", () => {
    const secrets: Partial<Upstream.Options> = {
      headers: {
        authorization: "Bearer s3cret",
        "x-plain": "shown",
        "X-Tenant-Code": Redacted.make("s3cret"),
        "proxy-authorization": "s3cret",
        host: "stock.internal"
      }
    }
    const given = {
      idempotencyKey: "k-1",
      headers: {
        cookie: "a=s3cret",
        "x-api-key": "s3cret",
        "X-Signed": Redacted.make("s3cret"),
        traceparent: "00-1-2-01",
        tracestate: "a=1",
        baggage: "a=1",
        b3: "1",
        "x-b3-traceid": "1",
        accept: "text/csv"
      }
    }

    it.effect("carries no secret, no idempotency key and no trace; nor does the way back", () =>
      upstream(
        { "*": [to("https://files.internal/a"), to("https://stock.internal/b"), ok] },
        follows,
        secrets
      )((api) =>
        Effect.gen(function* () {
          yield* api.get("/items", given)
          const [first, second, third] = yield* requests
          assert.include(first?.headers ?? [], "authorization")
          assert.include(first?.headers ?? [], "x-tenant-code")
          assert.deepStrictEqual(second?.headers, ["accept", "x-plain"])
          assert.deepStrictEqual(third, {
            asked: "GET https://stock.internal/b",
            headers: ["accept", "x-plain"],
            body: undefined
          })
          const { requests: sent } = yield* ScriptedTransport.seen
          for (const { headers } of sent.slice(1)) assert.notInclude(JSON.stringify(headers), "s3cret")
        })
      )
    )

    it.effect("carries the trace where that is asked for, and still no secret", () =>
      upstream(
        { "*": [to("https://files.internal/a"), ok] },
        { redirects: { traceHeaders: "keep" } },
        secrets
      )((api) =>
        Effect.gen(function* () {
          yield* api.get("/items", given)
          assert.deepStrictEqual((yield* requests)[1]?.headers, [
            "accept",
            "b3",
            "baggage",
            "traceparent",
            "tracestate",
            "x-b3-traceid",
            "x-plain"
          ])
        })
      )
    )

    it.effect("is one when the port differs; within the origin everything is kept", () =>
      upstream(
        { "*": [to("/b"), to("https://stock.internal:444/c"), ok] },
        follows,
        secrets
      )((api) =>
        Effect.gen(function* () {
          yield* api.get("/items", given)
          const [first, second, third] = yield* requests
          assert.deepStrictEqual(second?.headers, first?.headers)
          assert.deepStrictEqual(third?.headers, ["accept", "x-plain"])
        })
      )
    )

    it.effect("does not slow this upstream down by its own limits", () =>
      upstream(
        {
          "*": [
            to("https://files.internal/a"),
            status(200, { headers: { ratelimit: '"default";r=0;t=60', "ratelimit-policy": '"default";q=1;w=60' } }),
            ok
          ]
        },
        { ...follows, rateLimit: { limit: 1000, onLimit: "refuse" } }
      )((api) =>
        Effect.gen(function* () {
          yield* api.get("/items")
          yield* api.get("/items")
        })
      )
    )
  })

  describe("of a streamed answer", () => {
    it.effect("leaves no body open: a short one is read, a long one aborted", () =>
      upstream(
        {
          "*": [
            stream(["moved"], { status: 302, headers: { location: "/short" } }),
            stream(["x".repeat(600), pause("1 second"), "x".repeat(600)], {
              status: 302,
              headers: { location: "/long" },
              end: "hang"
            }),
            stream(["x"], { status: 302, headers: { location: "/announced", "content-length": "1001" } }),
            stream([pause("1 hour")], { status: 302, headers: { location: "/slow" } }),
            stream(["ok"])
          ]
        },
        { ...follows, limits: { drainBytes: 1000, drainTime: "5 seconds" } }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(api.streaming.get("/items"))
          const abortedPaths = Effect.map(ScriptedTransport.seen, ({ aborted }) => aborted.map(({ path }) => path))
          assert.deepStrictEqual(yield* abortedPaths, [])
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(yield* abortedPaths, ["/short", "/long"])
          yield* TestClock.adjust("5 seconds")
          const answer = yield* Fiber.join(call)
          assert.deepStrictEqual(yield* abortedPaths, ["/short", "/long", "/announced"])
          yield* Stream.runDrain(answer.stream)
          assert.deepStrictEqual(yield* abortedPaths, ["/short", "/long", "/announced"])
        })
      )
    )

    it.effect("that is not followed leaves none open either", () =>
      upstream(
        {
          "GET /short": [stream(["moved"], { status: 302, headers: { location: "/again" } })],
          "*": [stream(["moved"], { status: 302, headers: { location: "/again" }, end: "hang" })]
        },
        { redirects: { max: 1 } }
      )((api) =>
        Effect.gen(function* () {
          const call = yield* fork(Effect.flip(api.streaming.get("/items")))
          yield* TestClock.adjust("1 minute")
          assert.deepInclude((yield* Fiber.join(call)).reason, { _tag: "TooManyRedirects", followed: 1 })
          assert.strictEqual((yield* ScriptedTransport.seen).aborted.length, 2)
          assert.strictEqual((yield* api.snapshot).bodies.open, 0)
          yield* Effect.flip(api.streaming.get("/short"))
          assert.strictEqual((yield* ScriptedTransport.seen).aborted.length, 2)
        })
      )
    )
  })

  it.effect("is an event of the attempt's span, without its path", () =>
    upstream(
      { "*": [to("https://files.internal/s3cret?s3cret=1", 303), ok] },
      follows
    )((api) =>
      Effect.gen(function* () {
        const spans: Array<Tracer.NativeSpan> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        yield* Effect.provideService(api.post("/items"), Tracer.Tracer, tracer)
        const [, attempt, ...others] = spans
        assert.deepStrictEqual(others, [])
        assert.deepStrictEqual(
          attempt?.events.map(([name, , attributes]) => [name, attributes]),
          [
            [
              "holdfast.redirect",
              {
                "http.response.status_code": 303,
                "http.request.method": "GET",
                "url.full": "https://files.internal/REDACTED"
              }
            ]
          ]
        )
        assert.strictEqual(attempt?.attributes.get("http.response.status_code"), 200)
        // its own trace goes to its own origin alone
        const { requests } = yield* ScriptedTransport.seen
        assert.deepStrictEqual(
          requests.map(({ headers }) => "traceparent" in headers),
          [true, false]
        )
      })
    )
  )

  describe("in the policy", () => {
    it.effect("is shown, checked, and part of what an operation or a call may have otherwise", () =>
      Effect.gen(function* () {
        assert.strictEqual(HttpPolicy.describe(HttpPolicy.make({ redirects: {} })), "5 redirects")
        assert.strictEqual(
          HttpPolicy.describe(
            HttpPolicy.make({
              attemptTimeout: "1 second",
              redirects: { max: 1, insecure: "follow", traceHeaders: "keep" }
            })
          ),
          "attempt timeout 1s → 1 redirect, from https to http as well, with trace headers"
        )
        for (const max of [0, -1, 1.5, NaN, Infinity]) {
          assert.throws(
            () => HttpPolicy.make({ redirects: { max } }),
            RangeError,
            `redirects.max must be a whole number of at least 1, got ${max}`
          )
        }
        assert.deepStrictEqual(
          HttpPolicy.validate(HttpPolicy.make({ deadline: "1 second", redirects: { insecure: "follow" } })),
          [
            {
              severity: "warning",
              text: "redirects from https to http are followed; whoever is on the way can read and change what is sent then"
            }
          ]
        )
        const script = { "*": (request: Transport.Request) => (request.path === "/there" ? ok : to("/there")) }
        const policy: HttpPolicy.Options = { operations: { "GET /export": { redirects: { max: 2 } } } }
        yield* upstream(
          script,
          policy
        )((api) =>
          Effect.gen(function* () {
            yield* api.get("/export")
            assert.strictEqual((yield* reasonOf(api.get("/items")))._tag, "TooManyRedirects")
            yield* api.get("/items").pipe(HttpPolicy.override({ redirects: {} }))
            const off = api.get("/export").pipe(HttpPolicy.override({ redirects: false }))
            assert.strictEqual((yield* reasonOf(off))._tag, "TooManyRedirects")
          })
        )
      })
    )
  })
})
