import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { queryString } from "../src/internal/request/pathTemplate.ts"
import * as Redaction from "../src/Redaction.ts"

const canary = "c4n4ry"

const secretNames = [
  "authorization",
  "proxy-authorization",
  "cookie",
  "set-cookie",
  "cookie2",
  "set-cookie2",
  "www-authenticate",
  "proxy-authenticate",
  "authentication-info",
  "x-api-key",
  "apikey",
  "api-key",
  "x-auth-token",
  "x-csrf-token",
  "x-amz-security-token",
  "x-amz-security-anything",
  "x-hub-signature-256",
  "signature",
  "signature-input",
  "x-secret",
  "x-client-secret-id",
  "x-password",
  "x-aws-credential",
  "session-id"
] as const

const openNames = ["retry-after", "content-type", "date", "etag", "x-request-id", "idempotency-key", "author"] as const

/** Text around the canary, so that it may stand anywhere in a value. */
const value = Arbitrary.map(Arbitrary.schema(Schema.Tuple([Schema.String, Schema.String])), ([before, after]) =>
  `${before}${canary}${after}`.toWellFormed()
)

const name = Arbitrary.map(Arbitrary.schema(Schema.String), (text) => text.toWellFormed())

describe("Redaction", () => {
  it.prop("a secret header's value never appears", [Schema.Literals(secretNames), value], ([name, secret]) => {
    const shown = Redaction.headers({ [name]: secret, date: "now" })
    assert.deepStrictEqual(shown, { [name]: "REDACTED", date: "now" })
  })

  it("headers that name no secret are shown", () => {
    for (const name of openNames) {
      assert.isFalse(Redaction.isSecretHeader(name), name)
      assert.deepStrictEqual(Redaction.headers({ [name]: "v" }), { [name]: "v" })
    }
    for (const name of secretNames) assert.isTrue(Redaction.isSecretHeader(name), name)
  })

  it.prop(
    "a query value never appears, whatever its name is and wherever it stands",
    [Arbitrary.array(Arbitrary.all([name, value]), { minLength: 1, maxLength: 5 })],
    ([pairs]) => {
      const query = queryString(Object.fromEntries(pairs), false)
      assert.isString(query)
      const shown = Redaction.path(`/charges${String(query)}`)
      assert.notInclude(shown, canary)
      assert.isTrue(shown.startsWith("/charges?"))
    }
  )

  it.prop("a query as somebody wrote it by hand shows no value either", [Schema.String, value], ([before, secret]) => {
    const shown = Redaction.path(`/a?${before}=${secret}`)
    if (!/[&?]/.test(before + secret)) assert.notInclude(shown, canary)
    assert.notInclude(Redaction.path(`/a?x=1&token=${canary}`), canary)
  })

  it("names are kept, in their order, and so is the path", () => {
    assert.strictEqual(Redaction.path("/a/b?x=1&y=&x=2&flag"), "/a/b?x=REDACTED&y=REDACTED&x=REDACTED&flag")
    assert.strictEqual(Redaction.path("/a/b"), "/a/b")
    assert.strictEqual(Redaction.path("/a?b=c=d?e"), "/a?b=REDACTED")
  })

  it("only the values whose names are said to be harmless are shown, written in whatever way", () => {
    assert.strictEqual(Redaction.path("/a?page=2&token=s", ["page"]), "/a?page=2&token=REDACTED")
    assert.strictEqual(Redaction.path("/a?p%61ge=2", ["page"]), "/a?p%61ge=2")
    assert.strictEqual(Redaction.path("/a?pages=2", ["page"]), "/a?pages=REDACTED")
    assert.strictEqual(Redaction.path("/a?%zz=2", ["page"]), "/a?%zz=REDACTED")
  })

  it("the query of a URL that a header names is hidden, its path is not", () => {
    assert.deepStrictEqual(
      Redaction.headers({ location: "/p?q=c4n4ry#x", link: '<https://a/b?t=c4n4ry>; rel="next"', "retry-after": "1" }),
      { location: "/p?REDACTED", link: '<https://a/b?REDACTED>; rel="next"', "retry-after": "1" }
    )
  })
})
