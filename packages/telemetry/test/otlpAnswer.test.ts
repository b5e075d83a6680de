import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { judge } from "../src/internal/otlp/otlpAnswer.ts"

const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value))
const protobuf = "application/x-protobuf"
const none = new Uint8Array(0)

describe("a receiver's answer", () => {
  it.each([429, 502, 503, 504])("%i may be sent again", (status) => {
    assert.strictEqual(judge(status, "", none)._tag, "Retry")
  })

  it("has arrived with every status of success, the last of them too", () => {
    for (const status of [200, 202, 204, 299])
      assert.strictEqual(judge(status, "", none)._tag, "Arrived", String(status))
    assert.strictEqual(judge(199, "", none)._tag, "Refused")
  })

  it("any other failure must not be sent again", () => {
    for (let status = 300; status < 600; status++) {
      if ([413, 429, 502, 503, 504].includes(status)) continue
      assert.strictEqual(judge(status, "", none)._tag, "Refused", String(status))
    }
  })

  it("413 may be sent in pieces", () => {
    assert.deepStrictEqual(judge(413, "", none), { _tag: "TooLarge", why: "status 413" })
  })

  it.each(["rejectedSpans", "rejectedDataPoints", "rejectedLogRecords"])(
    "in JSON says how many %s there were",
    (name) => {
      const body = json({ partialSuccess: { [name]: "7", errorMessage: "too\nold" } })
      assert.deepStrictEqual(judge(200, "application/json; charset=utf-8", body), {
        _tag: "Arrived",
        rejected: 7,
        message: "too old"
      })
      assert.deepInclude(judge(200, "application/json", json({ partialSuccess: { [name]: 3 } })), { rejected: 3 })
    }
  )

  it("says no more than two hundred characters, in one line", () => {
    const message = (length: number) => {
      const verdict = judge(400, "application/json", json({ message: "x".repeat(length) }))
      return "why" in verdict ? (/x+/.exec(verdict.why)?.[0].length ?? 0) : -1
    }
    assert.deepStrictEqual([0, 1, 199, 200, 201, 5000].map(message), [0, 1, 199, 200, 200, 200])
  })

  it("in protobuf says how many were rejected, in whatever order its fields come", () => {
    const inner = [0x12, 3, 0x6f, 0x6c, 0x64, 0x08, 0xac, 0x02]
    const unknown = [0x19, 1, 2, 3, 4, 5, 6, 7, 8, 0x25, 1, 2, 3, 4, 0x30, 5]
    assert.deepStrictEqual(judge(200, protobuf, Uint8Array.from([...unknown, 0x0a, inner.length, ...inner])), {
      _tag: "Arrived",
      rejected: 300,
      message: "old"
    })
  })

  it("in protobuf says nothing where it is cut, though what came of it could be read", () => {
    for (const cut of [[0x0a, 3, 0x08, 7], [0x0a, 9, 0x08, 7], [0x0a, 127, 0x08, 7], [0x0a, 0x82], [0x0a]]) {
      assert.deepInclude(judge(200, protobuf, Uint8Array.from(cut)), { rejected: 0 }, String(cut))
    }
    assert.deepInclude(judge(200, protobuf, Uint8Array.from([0x0a, 2, 0x08, 7])), { rejected: 7 })
  })

  it("in protobuf rejects nothing where it does not say how many, and says what it has to say", () => {
    assert.deepStrictEqual(judge(200, protobuf, Uint8Array.from([0x0a, 5, 0x12, 3, 0x6f, 0x6c, 0x64])), {
      _tag: "Arrived",
      rejected: 0,
      message: "old"
    })
  })

  it("that is empty, `{}` or nonsense is a full success", () => {
    const full = { _tag: "Arrived", rejected: 0, message: "" } as const
    for (const body of [
      none,
      json({}),
      json({ partialSuccess: null }),
      json({ partialSuccess: { rejectedSpans: "-1" } })
    ]) {
      assert.deepStrictEqual(judge(200, "application/json", body), full)
    }
    assert.deepStrictEqual(judge(200, "application/json", new TextEncoder().encode("<html>")), full)
    assert.deepStrictEqual(judge(200, protobuf, Uint8Array.from([0x0a, 200, 1])), full)
    assert.deepStrictEqual(judge(204, "", none), full)
  })

  it("says why it refuses, in one short line without control characters", () => {
    const message = `bad\u001b[31m\r\n data ${"x".repeat(1000)}`
    const verdict = judge(400, "application/json", json({ code: 3, message }))
    const why = verdict._tag === "Refused" ? verdict.why : ""
    assert.match(why, /^status 400, bad \[31m data x+$/)
    assert.isBelow(why.length, 230)
    assert.deepInclude(judge(400, protobuf, Uint8Array.from([0x08, 3, 0x12, 2, 0x6e, 0x6f])), { why: "status 400, no" })
  })

  it.prop(
    "never throws, whatever the bytes",
    [Schema.Array(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 })))],
    ([bytes]) => {
      for (const type of [protobuf, "application/json", ""]) {
        for (const status of [200, 400]) judge(status, type, Uint8Array.from(bytes))
      }
    }
  )
})
