import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { responseHead } from "../src/internal/exchange/responseHead.ts"

const name = Arbitrary.schema(Schema.Literals(["x-a", "x-b", "etag", "constructor", "set-cookie"]))
const value = Arbitrary.schema(Schema.Literals(["", "one", "two, three", "a=b; path=/"]))

describe("the head of a response", () => {
  it.prop(
    "has each field once, the values of one name in order, and cookies apart, as they came",
    [
      Arbitrary.array(Arbitrary.array(value, { minLength: 1, maxLength: 3 }), { maxLength: 6 }),
      Arbitrary.array(name, { maxLength: 6 })
    ],
    ([values, names]) => {
      const fields: NodeJS.Dict<string | Array<string>> = Object.create(null)
      names.forEach((name, index) => {
        const [first, ...more] = values[index] ?? [""]
        fields[name] = more.length === 0 ? (first ?? "") : [first ?? "", ...more]
      })
      const head = responseHead(200, fields)
      let size = 0
      for (const name of Object.keys(fields)) {
        const given = fields[name] ?? ""
        const text = typeof given === "string" ? given : given.join(", ")
        size += name.length + text.length + 32
        if (name === "set-cookie") {
          assert.deepStrictEqual(head.setCookies, typeof given === "string" ? [given] : given)
          assert.isFalse(Object.hasOwn(head.headers, name))
        } else assert.strictEqual(Object.getOwnPropertyDescriptor(head.headers, name)?.value, text, name)
      }
      assert.strictEqual(head.size, size)
      if (fields["set-cookie"] === undefined) assert.strictEqual(head.setCookies, undefined)
    }
  )

  it.each([
    ["close", true],
    ["Close", true],
    ["keep-alive, close", true],
    [" close , x", true],
    ["keep-alive", false],
    ["closed", false],
    ["not-close", false],
    [undefined, false]
  ])("with a connection field of %s, says of the connection that it closes: %s", (connection, closes) => {
    assert.strictEqual(responseHead(200, { connection }).closes, closes)
  })

  it("says what is announced and how it is coded, and nothing where the head does not", () => {
    const { announcedBytes, coding, status } = responseHead(206, { "content-length": "12", "content-encoding": "br" })
    assert.deepStrictEqual([status, announcedBytes, coding], [206, 12, "br"])
    const bare = responseHead(200, {})
    assert.deepStrictEqual([bare.announcedBytes, bare.coding, bare.size], [0, undefined, 0])
  })

  it("has a field that is called as what every object has, and no prototype of another's making", () => {
    const fields: NodeJS.Dict<string | Array<string>> = Object.create(null)
    fields["__proto__"] = "x"
    const { headers, size } = responseHead(200, fields)
    assert.deepStrictEqual(Object.keys(headers), ["__proto__"])
    assert.strictEqual(Object.getOwnPropertyDescriptor(headers, "__proto__")?.value, "x")
    assert.strictEqual(Object.getPrototypeOf(headers), Object.prototype)
    assert.strictEqual(size, 9 + 1 + 32)
  })

  it("leaves out what a field does not say", () => {
    assert.deepStrictEqual(responseHead(200, { etag: undefined }).headers, {})
  })
})
