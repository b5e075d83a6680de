import { Duration, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { CallError } from "../src/CallError.ts"
import { oneLine } from "../src/OneLine.ts"
import * as Reason from "../src/Reason.ts"

const range = (first: number, last: number) =>
  Array.from({ length: last - first + 1 }, (_, index) => String.fromCodePoint(first + index))

const unwanted = {
  "C0 control characters": range(0x00, 0x1f),
  "DEL and C1 control characters": range(0x7f, 0x9f),
  "separators of lines and paragraphs": range(0x2028, 0x2029),
  "marks of direction": ["\u061c", "\u200e", "\u200f"],
  "embeddings and overrides of direction": range(0x202a, 0x202e),
  "isolates of direction": range(0x2066, 0x2069)
}

describe("oneLine", () => {
  it.each(Object.entries(unwanted))("has no %s", (_, characters) => {
    for (const character of characters) assert.strictEqual(oneLine(`a${character}b`), "a b", escape(character))
    assert.strictEqual(oneLine(`a${characters.join("")}b`), "a b", "one space for a run of them")
  })

  it("has no half of a surrogate pair, and keeps whole ones", () => {
    assert.strictEqual(oneLine("a\ud83d b\ude00 \u{1f600}"), "a\ufffd b\ufffd \u{1f600}")
  })

  it.prop("changes nothing else, and nothing more the second time", [Schema.String], ([text]) => {
    const line = oneLine(text)
    assert.strictEqual(oneLine(line), line)
    assert.strictEqual(oneLine("Grüße, שלום, مرحبا, 你好"), "Grüße, שלום, مرحبا, 你好")
  })
})

/** Everything that a line must not have, in one text of others. */
const hostile = `x\r\n\u001b[2K\u009b\u2028\u202e\u2066\u200f\u061c\ud800y`

const harmless = "x [2K \ufffdy"

describe("the line of an error", () => {
  const status = { endpoint: "stock.internal:443", headers: {}, body: "", bodyComplete: true }
  const wire = { endpoint: hostile, phase: "wait", code: hostile, detail: hostile } as const
  const reasons: ReadonlyArray<Reason.Reason> = [
    new Reason.NotFound({ ...status, problem: { type: "about:blank", title: hostile } }),
    new Reason.ServerErrorStatus({ ...status, status: 599, problem: { type: "about:blank", detail: hostile } }),
    new Reason.ConnectionReset(wire),
    new Reason.MalformedResponse(wire),
    new Reason.NoEndpointAvailable({ detail: hostile }),
    new Reason.TooManyRedirects({ endpoint: "a:1", status: 302, followed: 0, location: hostile }),
    new Reason.RequestEncodeFailed({ path: hostile, issue: hostile }),
    new Reason.ResponseDecodeFailed({
      endpoint: "a:1",
      status: 200,
      contentType: hostile,
      path: hostile,
      issue: hostile,
      excerpt: hostile
    }),
    new Reason.TokenUnavailable({ detail: hostile }),
    new Reason.TokenRefreshRejected({ detail: hostile }),
    new Reason.SignatureFailed({ detail: hostile })
  ]

  it.each(reasons.map((reason) => [reason._tag, reason] as const))(
    "is one line whatever a peer said: %s",
    (_, reason) => {
      assert.include(reason.message, harmless)
      const error = new CallError({
        upstream: hostile,
        operation: hostile,
        requestId: hostile,
        attempts: 1,
        elapsed: Duration.millis(1),
        retryStopped: "attempts",
        reason
      })
      for (const line of [reason.message, error.message]) assert.strictEqual(oneLine(line), line)
    }
  )

  it("quotes the beginning of what a peer said at length, and keeps the whole of it in the field", () => {
    const title = "x".repeat(10_000)
    const reason = new Reason.NotFound({ ...status, problem: { type: "about:blank", title } })
    assert.isBelow(reason.message.length, 1200)
    assert.strictEqual(reason.problem?.title, title)
  })
})
