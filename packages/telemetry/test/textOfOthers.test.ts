import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { jsonLine, oneLine } from "../src/internal/logs/textOfOthers.ts"

/** What ends a line, hides one, or turns the direction of text, from each of its ranges. */
const unsafe = [
  "\n",
  "\r",
  "\u0000",
  "\u001b",
  "\u007f",
  "\u0085",
  "\u061c",
  "\u200e",
  "\u2028",
  "\u202e",
  "\u2066",
  "\u2069"
]

describe("text of others", () => {
  it.each(unsafe)("has no %j in a line: a blank stands for it, and for a run of such", (character) => {
    assert.strictEqual(oneLine(`a${character}b${character}\n${character}c`), "a b c")
  })

  it.each(unsafe)(
    "has %j escaped in JSON, as many times as it is there, and whoever reads it has all of it",
    (character) => {
      const value = { [`k${character}`]: `a${character}${character}b` }
      const line = jsonLine(value)
      for (const one of unsafe) assert.notInclude(line, one)
      assert.deepStrictEqual(JSON.parse(line), value)
    }
  )

  it("is otherwise left as it is", () => {
    const plain = "née \u{1f600} — \u2027\u202f\u2065\u206a a  b"
    assert.strictEqual(oneLine(plain), plain)
    assert.strictEqual(jsonLine(plain), JSON.stringify(plain))
  })

  it("is null in JSON where there is nothing to show", () => {
    for (const none of [undefined, () => 1, Symbol("x"), null]) assert.strictEqual(jsonLine(none), "null")
  })

  it.prop("in JSON is one line that says the same", [Arbitrary.schema(Schema.String)], ([text]) => {
    assert.strictEqual(JSON.parse(jsonLine(text)), text)
    assert.notMatch(jsonLine(text), /[\p{Cc}\u2028\u2029]/u)
    assert.notMatch(oneLine(text), /[\p{Cc}\u2028\u2029]/u)
  })
})
