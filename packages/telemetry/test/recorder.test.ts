import { assert, describe, it } from "@effect/vitest"
import { Context, Metric } from "effect"
import * as Reason from "@holdfast/core/Reason"
import { makeRecorder, type RecorderOptions } from "../src/internal/metrics/recorder.ts"
import { makeTable } from "../src/internal/metrics/series.ts"
import { attemptEnd, callEnd, callError, observed, serviceUnavailable, succeed } from "./support/observed.ts"

/** A recorder, with a registry and clocks of its own. */
const recorderOf = (options: Partial<RecorderOptions> & { readonly maxSeries?: number } = {}) => {
  const { maxSeries = 1000, ...given } = options
  const context = Context.make(Metric.MetricRegistry, new Map())
  let nowMillis = 1_000_000
  const recorder = makeRecorder(makeTable(context, maxSeries), {
    maxOperations: 100,
    maxEndpoints: 100,
    maxUpstreams: 100,
    bodySizes: false,
    keepMillis: 1000,
    nowMillis: () => nowMillis,
    epochMillis: () => 77,
    onMet: () => {},
    ...given
  })
  /** The series of a metric: the values of some attributes, and how much was counted. */
  const read = (id: string, ...attributes: ReadonlyArray<string>) =>
    Metric.snapshotUnsafe(context).flatMap(({ attributes: found = {}, id: name, state }) =>
      name === id
        ? [[...attributes.map((attribute) => found[attribute]), "count" in state ? state.count : undefined]]
        : []
    )
  const { arrived, left, observer } = recorder
  return { arrived, left, observer, read, context, pass: (millis: number) => void (nowMillis += millis) }
}

const codes = ["http.response.status_code", "network.protocol.version"] as const

describe("what is recorded of attempts", () => {
  it("has a series for each status and each version of the protocol, known or not", () => {
    const { observer, read } = recorderOf()
    const call = observed()
    const protocols = [undefined, "http/1.1", "http/2"] as const
    for (let round = 1; round <= 2; round++) {
      for (const status of [200, 201, undefined]) {
        for (const protocol of protocols)
          observer.attemptEnded?.(call, attemptEnd({ origin: call.origin, status, timings: { protocol } }))
      }
    }
    assert.deepStrictEqual(read("http.client.request.duration", ...codes), [
      ["200", undefined, 2],
      ["200", "1.1", 2],
      ["200", "2", 2],
      ["201", undefined, 2],
      ["201", "1.1", 2],
      ["201", "2", 2],
      [undefined, undefined, 2],
      [undefined, "1.1", 2],
      [undefined, "2", 2]
    ])
  })

  it("has a series for each way to fail, and each status and version of it", () => {
    const { observer, read } = recorderOf()
    const call = observed()
    const other = new Reason.InternalServerError({
      endpoint: "stock.internal:443",
      headers: {},
      body: "",
      bodyComplete: true,
      status: 500
    })
    for (let round = 1; round <= 2; round++) {
      for (const [status, reason] of [
        [503, serviceUnavailable],
        [500, other],
        [undefined, undefined]
      ] as const) {
        for (const protocol of ["http/1.1", "http/2"] as const) {
          observer.attemptEnded?.(
            call,
            attemptEnd({ origin: call.origin, outcome: "failure", status, reason, timings: { protocol } })
          )
        }
      }
      observer.attemptEnded?.(call, attemptEnd({ origin: call.origin, outcome: "interrupted", status: 503 }))
    }
    assert.deepStrictEqual(read("http.client.request.duration", "error.type", ...codes), [
      ["503", "503", "1.1", 2],
      ["503", "503", "2", 2],
      ["500", "500", "1.1", 2],
      ["500", "500", "2", 2],
      ["_OTHER", undefined, "1.1", 2],
      ["_OTHER", undefined, "2", 2],
      [undefined, "503", undefined, 2]
    ])
  })

  it("is kept apart by what the attempt was: the first, a retry or a hedge", () => {
    const { observer, read } = recorderOf()
    const call = observed()
    for (let round = 1; round <= 2; round++) {
      observer.attemptEnded?.(call, attemptEnd({ origin: call.origin }))
      observer.attemptEnded?.(call, attemptEnd({ origin: call.origin, resend: 1 }))
      observer.attemptEnded?.(call, attemptEnd({ origin: call.origin, isHedge: true }))
      observer.attemptEnded?.(call, attemptEnd({ origin: call.origin, resend: 1, isHedge: true }))
      observer.attemptEnded?.(call, attemptEnd({ origin: call.origin, outcome: "interrupted" }))
    }
    assert.deepStrictEqual(read("holdfast.attempts", "holdfast.attempt.kind", "holdfast.outcome", "error.type"), [
      ["first", "success", undefined, 2],
      ["retry", "success", undefined, 2],
      ["hedge", "success", undefined, 4],
      ["first", "interrupted", undefined, 2]
    ])
  })

  it("is no time of the upstream where this side refused it, whatever is known of its phases", () => {
    const { observer, read } = recorderOf()
    const reason = new Reason.PoolExhausted({ endpoint: "stock.internal:443", connections: 1, queued: 0 })
    for (const timings of [undefined, { queueMillis: 5 }, { queueMillis: 5, connection: "reused" as const }]) {
      observer.attemptEnded?.(observed(), attemptEnd({ outcome: "failure", status: undefined, reason, timings }))
    }
    assert.deepStrictEqual(read("http.client.request.duration"), [])
    assert.deepStrictEqual(read("holdfast.attempts", "holdfast.nature"), [["refusal", 3]])
  })

  it("is the sizes of bodies where that is asked for, and where they are known, 0 too", () => {
    const { observer, read } = recorderOf({ bodySizes: true })
    const call = observed()
    for (const [requestBytes, responseBytes] of [
      [0, undefined],
      [5, 0],
      [undefined, 7]
    ]) {
      observer.attemptEnded?.(call, attemptEnd({ origin: call.origin, requestBytes, responseBytes }))
    }
    observer.attemptEnded?.(call, attemptEnd({ origin: call.origin, status: 404, responseBytes: 7 }))
    assert.deepStrictEqual(read("http.client.request.body.size", ...codes), [["200", undefined, 2]])
    assert.deepStrictEqual(read("http.client.response.body.size", ...codes), [
      ["200", undefined, 2],
      ["404", undefined, 1]
    ])
  })

  it("shows the trace of an observation where it is kept, at the time of the calendar", () => {
    const { context, observer } = recorderOf()
    const span = {
      _tag: "ExternalSpan" as const,
      traceId: "t",
      spanId: "s",
      sampled: true,
      annotations: Context.empty()
    }
    const [traced, unsampled, untraced] = [
      observed({ span }),
      observed({ span: { ...span, sampled: false } }),
      observed()
    ]
    const exemplars = () =>
      Metric.snapshotUnsafe(context).flatMap(({ id, state }) =>
        id === "http.client.request.duration" && "exemplars" in state && Array.isArray(state.exemplars)
          ? state.exemplars.filter((exemplar) => exemplar !== undefined)
          : []
      )
    observer.attemptEnded?.(unsampled, attemptEnd())
    observer.attemptEnded?.(untraced, attemptEnd())
    observer.attemptEnded?.(traced, attemptEnd({ durationMillis: -1 }))
    assert.deepStrictEqual(exemplars(), [])
    observer.attemptEnded?.(traced, attemptEnd({ durationMillis: 30 }))
    assert.deepStrictEqual(exemplars(), [{ value: 0.03, traceId: "t", spanId: "s", epochMillis: 77 }])
  })

  it("is one series of connection waits for each endpoint, whatever the operation", () => {
    const { context, observer, read } = recorderOf()
    for (const [template, origin] of [
      ["/a", "https://one.internal"],
      ["/b", "https://one.internal"],
      ["/a", "https://one.internal:8443"],
      ["/a", "https://two.internal"],
      ["/a", "https://one.internal"]
    ] as const) {
      observer.attemptEnded?.(observed({ template, origin }), attemptEnd({ origin, timings: { queueMillis: 3 } }))
    }
    assert.deepStrictEqual(read("holdfast.connection.wait", "holdfast.upstream", "server.address", "server.port"), [
      ["stock", "one.internal", "443", 3],
      ["stock", "one.internal", "8443", 1],
      ["stock", "two.internal", "443", 1]
    ])
    const wait = Metric.snapshotUnsafe(context).find(({ id }) => id === "holdfast.connection.wait")
    assert.hasAllKeys(wait?.attributes ?? {}, ["unit", "holdfast.upstream", "server.address", "server.port"])
  })

  it("is one series of requests under way for each endpoint and method, shared by operations", () => {
    const { observer, read } = recorderOf()
    const started = (given: Parameters<typeof observed>[0]) =>
      observer.attemptStarted?.(observed(given), { origin: observed(given).origin, resend: 0, isHedge: false })
    started({ template: "/a" })
    started({ template: "/b" })
    started({ template: "/b", method: "POST" })
    started({ template: "/a", origin: "http://stock.internal:443" })
    started({ template: "/a", origin: "https://other.internal" })
    started({ template: "/a", origin: "https://stock.internal:8443" })
    assert.deepStrictEqual(
      read("http.client.active_requests", "http.request.method", "url.scheme", "server.address", "server.port"),
      [
        ["GET", "https", "stock.internal", "443", 2],
        ["POST", "https", "stock.internal", "443", 1],
        ["GET", "http", "stock.internal", "443", 1],
        ["GET", "https", "other.internal", "443", 1],
        ["GET", "https", "stock.internal", "8443", 1]
      ]
    )
  })
})

describe("what is recorded of calls", () => {
  it("is when a deadline was missed, whether it is the failure or the end of retries, and only then", () => {
    const { observer, read } = recorderOf()
    observer.callEnded?.(observed(), callEnd({ outcome: "failure", error: callError(serviceUnavailable, "budget") }))
    assert.deepStrictEqual(read("holdfast.deadline.misses"), [])
    observer.callEnded?.(observed(), callEnd({ outcome: "failure", error: callError(serviceUnavailable, "deadline") }))
    assert.deepStrictEqual(read("holdfast.deadline.misses"), [[1]])
  })

  it("is how long they took, in seconds, whatever they ended in", () => {
    const { context, observer } = recorderOf()
    const ends = [
      callEnd({ durationMillis: 1000 }),
      callEnd({ outcome: "failure", durationMillis: 2000, error: callError(serviceUnavailable) }),
      callEnd({ outcome: "interrupted", durationMillis: 3000 })
    ]
    for (const end of ends) observer.callEnded?.(observed(), end)
    const sums = Metric.snapshotUnsafe(context).flatMap(({ attributes = {}, id, state }) =>
      id === "holdfast.call.duration" && "sum" in state ? [[attributes["holdfast.outcome"], state.sum]] : []
    )
    assert.deepStrictEqual(sums, [
      ["success", 1],
      ["failure", 2],
      ["interrupted", 3]
    ])
  })

  it("leaves an attempt in the series that it came to, wherever series come to an end and become free meanwhile", () => {
    let overflowed = 0
    for (let maxSeries = 1; maxSeries <= 40; maxSeries++) {
      const { arrived, left, observer, pass, read } = recorderOf({ maxSeries })
      const active = () => read("http.client.active_requests", "otel.metric.overflow")
      arrived("first")
      succeed(observer, observed({ upstream: "first" }))
      const second = observed({ upstream: "second" })
      observer.attemptStarted?.(second, { origin: second.origin, resend: 0, isHedge: false })
      overflowed += active().filter(([isOverflow, count]) => isOverflow === "true" && count === 1).length
      left("first")
      pass(5000)
      arrived("third")
      observer.attemptStarted?.(second, { origin: second.origin, resend: 1, isHedge: false })
      observer.attemptEnded?.(second, attemptEnd())
      observer.attemptEnded?.(second, attemptEnd())
      for (const [, count] of active()) assert.strictEqual(count, 0, `${maxSeries}`)
    }
    assert.isAbove(overflowed, 0)
  })

  it("is of its own endpoint for each origin of one operation", () => {
    const { observer, read } = recorderOf()
    succeed(observer, observed({ origin: "https://blue.internal" }))
    succeed(observer, observed({ origin: "https://green.internal" }))
    assert.deepStrictEqual(read("http.client.request.duration", "server.address"), [
      ["blue.internal", 1],
      ["green.internal", 1]
    ])
    assert.deepStrictEqual(read("holdfast.calls", "holdfast.operation"), [["GET /items/{id}", 2]])
  })

  it("has no template where the call had none", () => {
    const { observer, read } = recorderOf()
    succeed(observer, observed({ template: "", operation: "GET" }))
    assert.deepStrictEqual(read("http.client.request.duration", "url.template"), [[undefined, 1]])
  })

  it("beyond the operations that have series of their own is by method, for each endpoint", () => {
    const { observer, read } = recorderOf({ maxOperations: 1 })
    for (const template of ["/a", "/b", "/c", "/a"]) succeed(observer, observed({ template }))
    succeed(observer, observed({ template: "/d", method: "POST" }))
    assert.deepStrictEqual(read("holdfast.calls", "holdfast.operation", "otel.metric.overflow"), [
      ["GET /a", undefined, 2],
      [undefined, "true", 3]
    ])
    assert.deepStrictEqual(
      read("http.client.request.duration", "http.request.method", "url.template", "otel.metric.overflow"),
      [
        ["GET", "/a", undefined, 2],
        ["GET", undefined, "true", 2],
        ["POST", undefined, "true", 1]
      ]
    )
  })
})

describe("the series of an upstream", () => {
  const names = (read: ReturnType<typeof recorderOf>["read"]) =>
    read("holdfast.call.in_flight", "holdfast.upstream").map(([name]) => name)

  it("leave when it has been gone for as long as is asked, and not before", () => {
    const { arrived, left, observer, pass, read } = recorderOf()
    arrived("stock")
    succeed(observer, observed())
    left("stock")
    pass(999)
    names(read)
    assert.deepStrictEqual(names(read), ["stock"])
    pass(1)
    names(read)
    assert.deepStrictEqual(names(read), [])
  })

  it("stay while one of its name lives, and while a call or an attempt of it is under way", () => {
    const { arrived, left, observer, pass, read } = recorderOf()
    const call = observed()
    arrived("stock")
    arrived("stock")
    observer.callStarted?.(call)
    left("stock")
    pass(5000)
    names(read)
    assert.deepStrictEqual(names(read), ["stock"], "another lives")
    left("stock")
    pass(5000)
    names(read)
    assert.deepStrictEqual(names(read), ["stock"], "a call is under way")
    observer.attemptStarted?.(call, { origin: call.origin, resend: 0, isHedge: false })
    observer.callEnded?.(call, callEnd())
    names(read)
    assert.deepStrictEqual(names(read), ["stock"], "an attempt is under way")
    observer.attemptEnded?.(call, attemptEnd({ origin: call.origin }))
    names(read)
    assert.deepStrictEqual(names(read), [])
  })

  it("of one that left are looked at when another comes or leaves, though nobody reads", () => {
    for (const event of ["arrived", "left"] as const) {
      const recorder = recorderOf({ maxUpstreams: 2 })
      recorder.arrived("stock")
      recorder.arrived("orders")
      succeed(recorder.observer, observed())
      recorder.left("stock")
      recorder.pass(1000)
      recorder[event]("orders")
      assert.deepStrictEqual(recorder.read("holdfast.calls"), [], event)
    }
  })

  it("of one that has no room are the rest's, also where it says that it left", () => {
    const { arrived, left, observer, read } = recorderOf({ maxUpstreams: 1, keepMillis: 0 })
    arrived("stock")
    arrived("orders")
    succeed(observer, observed({ upstream: "orders" }))
    left("orders")
    left("stock")
    assert.deepStrictEqual(read("holdfast.calls", "holdfast.upstream", "otel.metric.overflow"), [
      [undefined, "true", 1]
    ])
  })
})

describe("the endpoints of an upstream", () => {
  const at = (address: string) => `https://${address}.internal`
  const addresses = (read: ReturnType<typeof recorderOf>["read"], id: string) =>
    read(id, "server.address").map(([address]) => address)

  it("take nothing from the bound of its operations, which counts distinct ones", () => {
    const { observer, read } = recorderOf({ maxOperations: 15 })
    for (let endpoint = 0; endpoint < 11; endpoint++) {
      for (let index = 0; index < 15; index++) {
        succeed(observer, observed({ template: `/${index}`, origin: at(`e${endpoint}`) }))
      }
    }
    const calls = read("holdfast.calls", "otel.metric.overflow")
    assert.deepStrictEqual(
      calls,
      Array.from({ length: 15 }, () => [undefined, 11])
    )
    assert.lengthOf(read("http.client.request.duration"), 165)
    assert.isTrue(read("http.client.request.duration", "otel.metric.overflow").every(([label]) => label === undefined))
  })

  const ofEndpoints = [
    "http.client.request.duration",
    "http.client.active_requests",
    "http.client.request.body.size",
    "http.client.response.body.size",
    "holdfast.connection.wait"
  ]

  it("come and go without an end, and neither series nor calls are lost or kept for ever", () => {
    const { context, observer, read } = recorderOf({ maxEndpoints: 10, maxSeries: 50, bodySizes: true })
    const registry = Context.get(context, Metric.MetricRegistry)
    let [most, mostRegistered] = [0, 0]
    const call = (origin: string) => {
      const one = observed({ origin: "https://stock.internal" })
      observer.callStarted?.(one)
      observer.attemptStarted?.(one, { origin, resend: 0, isHedge: false })
      const end = { origin, requestBytes: 1, responseBytes: 1, timings: { queueMillis: 1 } }
      observer.attemptEnded?.(one, attemptEnd(end))
      observer.callEnded?.(one, callEnd())
    }
    for (let index = 0; index < 5000; index++) {
      call(at(`e${index}`))
      call(at("steady"))
      if (index % 50 !== 0) continue
      for (const id of ofEndpoints) most = Math.max(most, read(id).length)
      mostRegistered = Math.max(mostRegistered, registry.size)
    }
    assert.strictEqual(most, 10)
    assert.isAtMost(mostRegistered, 80)
    assert.deepStrictEqual(read("holdfast.calls", "holdfast.operation"), [["GET /items/{id}", 10_000]])
    assert.deepStrictEqual(read("holdfast.attempts"), [[10_000]])
    const living = ["steady", ...Array.from({ length: 9 }, (_, index) => `e${4991 + index}`)]
    for (const id of ofEndpoints.slice(0, 2)) {
      assert.sameMembers(
        addresses(read, id),
        living.map((name) => `${name}.internal`),
        id
      )
    }
    assert.deepInclude(read("http.client.request.duration", "server.address"), ["steady.internal", 5000])
    assert.sameMembers(addresses(read, "holdfast.connection.wait"), addresses(read, "http.client.active_requests"))
  })

  it("leave when idle, the longest idle first, and never while an attempt is under way", () => {
    const { observer, read } = recorderOf({ maxEndpoints: 2 })
    const call = observed()
    const start = (name: string) => observer.attemptStarted?.(call, { origin: at(name), resend: 0, isHedge: false })
    const end = (name: string) => observer.attemptEnded?.(call, attemptEnd({ origin: at(name) }))
    const active = () => read("http.client.active_requests", "server.address", "otel.metric.overflow")
    start("a")
    start("b")
    end("b")
    start("c")
    assert.deepStrictEqual(active(), [
      ["a.internal", undefined, 1],
      ["c.internal", undefined, 1]
    ])
    // nobody is idle: the attempt is counted without its address, and ends there though room was made meanwhile
    start("d")
    end("c")
    end("a")
    start("d")
    end("d")
    end("d")
    assert.deepStrictEqual(active(), [
      ["a.internal", undefined, 0],
      ["c.internal", undefined, 0],
      [undefined, "true", 0]
    ])
    start("d")
    assert.deepStrictEqual(active(), [
      ["a.internal", undefined, 0],
      [undefined, "true", 0],
      ["d.internal", undefined, 1]
    ])
    assert.deepStrictEqual(read("holdfast.attempts"), [[5]])
  })

  it("that share a series keep it until the last of them leaves", () => {
    const { observer, read } = recorderOf({ maxEndpoints: 2 })
    const waits = () => read("holdfast.connection.wait", "server.address")
    const end = (origin: string) =>
      observer.attemptEnded?.(observed(), attemptEnd({ origin, timings: { queueMillis: 1 } }))
    end("http://a.internal:443")
    end("https://a.internal:443")
    end(at("b"))
    end("https://a.internal:443")
    assert.deepStrictEqual(waits(), [
      ["a.internal", 3],
      ["b.internal", 1]
    ])
    end(at("b"))
    end(at("c"))
    assert.deepStrictEqual(waits(), [
      ["b.internal", 2],
      ["c.internal", 1]
    ])
  })

  it("leave with their upstream", () => {
    const { arrived, left, observer, read } = recorderOf({ maxEndpoints: 1, keepMillis: 0, bodySizes: true })
    arrived("stock")
    const call = observed()
    observer.attemptStarted?.(call, { origin: at("a"), resend: 0, isHedge: false })
    observer.attemptStarted?.(call, { origin: at("b"), resend: 0, isHedge: false })
    for (const name of ["a", "b"]) {
      const sizes = { requestBytes: 1, responseBytes: 1, timings: { queueMillis: 1 } }
      observer.attemptEnded?.(call, attemptEnd({ origin: at(name), ...sizes }))
    }
    for (const id of ofEndpoints) assert.lengthOf(read(id), 2, id)
    left("stock")
    for (const id of ofEndpoints) assert.deepStrictEqual(read(id), [], id)
  })
})
