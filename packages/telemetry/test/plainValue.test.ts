import { Arbitrary, DateTime, Duration, Redacted, Schema } from "effect"
import { Headers } from "effect/http"
import { assert, describe, it } from "@effect/vitest"
import { plainUnder, plainValue } from "../src/internal/logs/plainValue.ts"

describe("what a log line holds of a value", () => {
  it("a Redacted value is hidden wherever it is, and so is all that stands under the name of a secret", () => {
    const secret = "canary"
    const value = {
      redacted: Redacted.make(secret),
      list: [Redacted.make(secret), new Map([["k", Redacted.make(secret)]])],
      authorization: `Bearer ${secret}`,
      "Set-Cookie": [secret],
      api_key: secret,
      apiKey: secret,
      "x-auth-token": { deep: secret },
      location: `https://stock.internal/?code=${secret}`,
      headers: Headers.fromInput({ authorization: secret, cookie: secret, accept: "text/plain" })
    }
    const shown = JSON.stringify(plainValue(value))
    assert.notInclude(shown, secret)
    assert.include(shown, "text/plain")
    assert.strictEqual(plainValue(Redacted.make(secret, { label: "key" })), "REDACTED")
    assert.strictEqual(plainUnder("client_secret", secret), "REDACTED")
    assert.strictEqual(plainUnder("PASSWORD", 1234), "REDACTED")
    assert.strictEqual(plainUnder("charge", "ch_1"), "ch_1")
    assert.isNull(plainUnder("token", null))
  })

  it("dates, durations, bytes, errors and collections read as what they are", () => {
    const failure = Object.assign(new TypeError("wrong"), { body: "not shown" })
    assert.deepStrictEqual(
      plainValue({
        date: new Date(0),
        time: DateTime.makeUnsafe(0),
        duration: Duration.millis(1240),
        bytes: new Uint8Array(12),
        failure,
        map: new Map([["a", 1]]),
        set: new Set([1, 2]),
        big: 12n,
        infinite: Number.POSITIVE_INFINITY,
        missing: undefined,
        nothing: null,
        run: () => 1
      }),
      {
        date: "1970-01-01T00:00:00.000Z",
        time: "1970-01-01T00:00:00.000Z",
        duration: "1s 240ms",
        bytes: "[12 bytes]",
        failure: { type: "TypeError", message: "wrong" },
        map: { a: 1 },
        set: [1, 2],
        big: "12",
        infinite: "Infinity",
        nothing: null,
        run: "[function]"
      }
    )
  })

  it("no value makes a line endless, or keeps it from being written", () => {
    const circle: Record<string, unknown> = { name: "circle" }
    circle["self"] = circle
    assert.deepStrictEqual(plainValue(circle), { name: "circle", self: "[circular]" })
    const shared = { a: 1 }
    assert.deepStrictEqual(plainValue([shared, shared]), [shared, shared])
    let deep: unknown = "end"
    for (let depth = 0; depth < 50; depth++) deep = [deep]
    assert.include(JSON.stringify(plainValue(deep)), "[too deep]")
    const wide = plainValue(Array.from({ length: 150 }, (_, index) => index))
    assert.deepStrictEqual(Array.isArray(wide) ? [wide.length, wide[100]] : [], [101, "… 50 more"])
    const many = plainValue(Object.fromEntries(Array.from({ length: 150 }, (_, index) => [`k${index}`, index])))
    assert.deepInclude(many, { "…": "50 more" })
    assert.strictEqual(String(plainValue("x".repeat(20_000))).length, 16_384 + "… 3616 more characters".length)
    const throwing = {
      get trap(): never {
        throw new Error("no")
      }
    }
    assert.deepStrictEqual(plainValue({ throwing, toJSON: undefined }), { throwing: "[threw while it was read]" })
    assert.strictEqual(JSON.stringify(plainValue(JSON.parse('{"__proto__": {"a": 1}}'))), '{"__proto__":{"a":1}}')
  })

  it("what is just within a bound is shown whole, and what is one beyond it is cut", () => {
    const nested = (depth: number): unknown => (depth === 0 ? "end" : [nested(depth - 1)])
    assert.notInclude(JSON.stringify(plainValue(nested(8))), "too deep")
    assert.strictEqual(JSON.stringify(plainValue(nested(9))), JSON.stringify(nested(8)).replace("end", "[too deep]"))
    const list = (length: number): ReadonlyArray<number> => Array.from({ length }, (_, index) => index)
    assert.deepStrictEqual(plainValue(list(100)), list(100))
    assert.deepStrictEqual(plainValue(list(101)), [...list(100), "… 1 more"])
    const named = (length: number) => Object.fromEntries(list(length).map((index) => [`k${index}`, index]))
    assert.deepStrictEqual(plainValue(named(100)), named(100))
    assert.deepStrictEqual(plainValue(named(101)), { ...named(100), "…": "1 more" })
    assert.strictEqual(plainValue("x".repeat(16_384)), "x".repeat(16_384))
    assert.strictEqual(plainValue("x".repeat(16_385)), `${"x".repeat(16_384)}… 1 more characters`)
    assert.deepStrictEqual(plainValue(new Error("x".repeat(16_385))), {
      type: "Error",
      message: `${"x".repeat(16_384)}… 1 more characters`
    })
  })

  it("a value under a name may be as deep as one without", () => {
    const nested = (depth: number): unknown => (depth === 0 ? "end" : [nested(depth - 1)])
    assert.deepStrictEqual(plainUnder("charge", nested(8)), nested(8))
    assert.include(JSON.stringify(plainUnder("charge", nested(9))), "[too deep]")
  })

  it("what is read in another way counts against the same depth", () => {
    const ways: ReadonlyArray<(inner: unknown) => unknown> = [
      (inner) => [inner],
      (inner) => new Set([inner]),
      (inner) => new Map([["k", inner]]),
      (inner) => ({ k: inner }),
      (inner) => ({ toJSON: () => inner })
    ]
    for (const way of ways) {
      let value: unknown = "end"
      for (let depth = 0; depth < 50; depth++) value = way(value)
      const shown = JSON.stringify(plainValue(value))
      assert.include(shown, "[too deep]")
      assert.notInclude(shown, "end")
    }
  })

  it("a value that shows itself as itself is read by its entries, and a circle through a Map or toJSON ends", () => {
    const itself: Record<string, unknown> = { a: 1 }
    itself["toJSON"] = () => itself
    assert.deepStrictEqual(plainValue(itself), { a: 1, toJSON: "[function]" })
    const map = new Map<string, unknown>([["a", 1]])
    map.set("self", map)
    assert.deepStrictEqual(plainValue(map), { a: 1, self: "[circular]" })
    assert.deepStrictEqual(plainValue({ one: map, other: map }), {
      one: { a: 1, self: "[circular]" },
      other: { a: 1, self: "[circular]" }
    })
  })

  it("keys of a Map read as text, bytes as their number, and what has no text as its kind", () => {
    assert.deepStrictEqual(
      plainValue({
        map: new Map<unknown, unknown>([
          [1, "one"],
          [null, "none"],
          ["api_key", "canary"]
        ]),
        buffer: new ArrayBuffer(3),
        view: new DataView(new ArrayBuffer(8), 2),
        symbol: Symbol("s"),
        minus: Number.NEGATIVE_INFINITY,
        not: Number.NaN,
        yes: true,
        no: false
      }),
      {
        map: { "1": "one", null: "none", api_key: "REDACTED" },
        buffer: "[3 bytes]",
        view: "[6 bytes]",
        symbol: "[symbol]",
        minus: "-Infinity",
        not: "NaN",
        yes: true,
        no: false
      }
    )
  })

  it.prop(
    "whatever is JSON stays as it is, but for the names of secrets",
    [Arbitrary.schema(Schema.Json)],
    ([value]) => {
      const json: unknown = JSON.parse(JSON.stringify(value))
      const shown: unknown = JSON.parse(JSON.stringify(plainValue(json)))
      if (!JSON.stringify(shown).includes("REDACTED") && !JSON.stringify(shown).includes("[too deep]")) {
        assert.deepStrictEqual(shown, json)
      }
    }
  )
})
