import { Redacted, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { fillPath, isIssue, queryString } from "../src/internal/request/pathTemplate.ts"

const loneSurrogate = "\ud800"

describe("fillPath", () => {
  it.prop("a value is one path segment, whatever it holds, and comes back as it was", [Schema.String], ([id]) => {
    const filled = fillPath("/users/{id}/posts", { id }, false)
    if (id === "" || id === "." || id === ".." || !id.isWellFormed()) {
      assert.isTrue(isIssue(filled), JSON.stringify(id))
      return
    }
    assert.isString(filled)
    const { pathname, search, hash } = new URL(`https://a${String(filled)}`)
    const segments = pathname.split("/")
    assert.deepStrictEqual([segments.length, segments[1], segments[3], search, hash], [4, "users", "posts", "", ""])
    assert.strictEqual(decodeURIComponent(segments[2] ?? ""), id)
  })

  it("what would be another path, a query or a fragment is encoded", () => {
    assert.strictEqual(fillPath("/users/{id}", { id: "a/b?c#d e%2F" }, false), "/users/a%2Fb%3Fc%23d%20e%252F")
    assert.strictEqual(fillPath("/users/{id}", { id: "../admin" }, false), "/users/..%2Fadmin")
    assert.strictEqual(fillPath("/users/{id}", { id: "é😀" }, false), "/users/%C3%A9%F0%9F%98%80")
  })

  it("numbers and booleans are written as they are, and a place may come twice", () => {
    assert.strictEqual(fillPath("/a/{n}/{b}/{n}", { n: 0, b: false }, false), "/a/0/false/0")
  })

  it("a template without places is what it is", () => {
    assert.strictEqual(fillPath("/charges", undefined, false), "/charges")
  })

  it("a dollar sign in a value is no replacement pattern", () => {
    assert.strictEqual(fillPath("/a/{id}/b", { id: "$&$1$`" }, false), "/a/%24%26%241%24%60/b")
  })

  it("what was not given is said by its name; an inherited property was not given", () => {
    const missing = (name: string) => ({
      path: `params.${name}`,
      issue: `the path /users/{${name}} needs it, and it was not given`
    })
    assert.deepStrictEqual(fillPath("/users/{id}", undefined, false), missing("id"))
    assert.deepStrictEqual(fillPath("/users/{id}", {}, false), missing("id"))
    assert.deepStrictEqual(fillPath("/users/{id}", { id: undefined }, false), missing("id"))
    assert.deepStrictEqual(fillPath("/users/{toString}", {}, false), missing("toString"))
  })

  it("of several things that are wrong the first is said", () => {
    assert.deepInclude(fillPath("/{a}/{b}", { a: "" }, false), { path: "params.a" })
  })

  it("a value that would name another resource is refused: nothing, and the dots that URLs resolve away", () => {
    for (const id of ["", ".", ".."]) {
      assert.deepStrictEqual(fillPath("/users/{id}", { id }, false), {
        path: "params.id",
        issue: `must name one path segment, got ${JSON.stringify(id)}`
      })
    }
    assert.deepInclude(fillPath("/users/{id}", { id: Redacted.make("..") }, false), { path: "params.id" })
    assert.strictEqual(fillPath("/users/{id}", { id: "..." }, false), "/users/...")
  })

  it("text that is not Unicode is an issue, not a crash", () => {
    assert.deepStrictEqual(fillPath("/users/{id}", { id: `a${loneSurrogate}` }, false), {
      path: "params.id",
      issue: "must be well-formed Unicode; it has half of a surrogate pair"
    })
  })

  it("a redacted value is sent, and hidden when that is asked for", () => {
    const params = { id: "ch_1", key: Redacted.make("s3cret/") }
    assert.strictEqual(fillPath("/a/{id}/{key}", params, false), "/a/ch_1/s3cret%2F")
    assert.strictEqual(fillPath("/a/{id}/{key}", params, true), "/a/ch_1/REDACTED")
  })
})

describe("queryString", () => {
  it.prop(
    "every name and value comes back as it was",
    [Schema.Record(Schema.String, Schema.Union([Schema.String, Schema.Array(Schema.String)]))],
    ([query]) => {
      const pairs = Object.entries(query).flatMap(([name, given]) =>
        (typeof given === "string" ? [given] : given).map((value) => [name, value] as const)
      )
      const text = queryString(query, false)
      if (pairs.some((pair) => pair.some((part) => !part.isWellFormed()))) {
        assert.isTrue(isIssue(text))
        return
      }
      assert.isString(text)
      assert.deepStrictEqual(
        [...new URL(`https://a/${String(text)}`).searchParams],
        pairs.map((pair) => [...pair])
      )
    }
  )

  it("an array repeats the name, what is undefined is left out, and nothing at all has no question mark", () => {
    assert.strictEqual(queryString({ a: [1, 2], b: undefined, c: true, d: "" }, false), "?a=1&a=2&c=true&d=")
    assert.strictEqual(queryString({ a: undefined, b: [] }, false), "")
    assert.strictEqual(queryString({}, false), "")
    assert.strictEqual(queryString(undefined, false), "")
  })

  it("a plus, a space and an ampersand are encoded", () => {
    assert.strictEqual(queryString({ "a&b": "1+1 = 2&c=d" }, false), "?a%26b=1%2B1%20%3D%202%26c%3Dd")
  })

  it("a redacted value is sent", () => {
    assert.strictEqual(
      queryString({ key: Redacted.make("s3cret"), keys: [Redacted.make("a")] }, false),
      "?key=s3cret&keys=a"
    )
    assert.strictEqual(
      queryString({ key: Redacted.make("s3cret"), page: 2 }, true),
      "?key=REDACTED&page=2",
      "hidden where it is shown, whatever names are visible"
    )
  })

  it("text that is not Unicode is an issue that names its place, not a crash", () => {
    const issue = "must be well-formed Unicode; it has half of a surrogate pair"
    assert.deepStrictEqual(queryString({ q: loneSurrogate }, false), { path: "query.q", issue })
    assert.deepStrictEqual(queryString({ q: ["a", Redacted.make(loneSurrogate)] }, false), { path: "query.q", issue })
    assert.deepInclude(queryString({ [loneSurrogate]: "a" }, false), { issue })
  })
})
