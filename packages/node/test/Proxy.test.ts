import { inspect } from "node:util"
import { assert, describe, it } from "@effect/vitest"
import { Redacted } from "effect"
import * as Proxy from "../src/Proxy.ts"

const url = "http://proxy.internal:3128"
const password = Redacted.make("open sesame")

/** What is thrown, in words. */
const refusal = (build: () => unknown): string => {
  try {
    build()
  } catch (error) {
    if (error instanceof RangeError) return error.message
    throw error
  }
  throw new Error("nothing was refused")
}

const endpoint = (settings: Proxy.Settings, target: string): string | undefined => {
  const { hostname, port, protocol } = new URL(target)
  const scheme = protocol === "https:" ? "https" : "http"
  return Proxy.proxyFor(settings, {
    scheme,
    host: hostname,
    port: port === "" ? (scheme === "https" ? 443 : 80) : Number(port)
  })?.endpoint
}

const sent = (proxy: Proxy.ProxyTarget | undefined): Record<string, string> =>
  Object.fromEntries(Object.entries(proxy?.headers ?? {}).map(([name, value]) => [name, Redacted.value(value)]))

type Way = "direct" | "proxy"

/**
 * What programs make of one NO_PROXY: curl 7.88.1 and Python 3.11's urllib as they were run, Go as golang.org/x/net/http/httpproxy
 * has it. `-` where it was not asked.
 */
const disagreements: ReadonlyArray<
  readonly [entries: string, url: string, ours: Way, curl: Way | "-", go: Way, python: Way | "-"]
> = [
  // a name is itself and what is below it, at a dot
  ["example.test", "http://example.test", "direct", "direct", "direct", "direct"],
  ["example.test", "http://www.example.test", "direct", "direct", "direct", "direct"],
  ["ample.test", "http://example.test", "proxy", "proxy", "proxy", "proxy"],
  ["EXAMPLE.test", "http://example.test", "direct", "direct", "direct", "-"],
  // a dot before it changes nothing
  [".example.test", "http://www.example.test", "direct", "direct", "direct", "direct"],
  [".example.test", "http://example.test", "direct", "direct", "proxy", "direct"],
  // a star before the dot means what is below
  ["*.example.test", "http://www.example.test", "direct", "proxy", "direct", "-"],
  ["*.example.test", "http://example.test", "proxy", "proxy", "proxy", "-"],
  // a star is everything, also among others
  ["*", "http://example.test", "direct", "direct", "direct", "direct"],
  ["a.test,*", "http://example.test", "direct", "proxy", "direct", "proxy"],
  // blanks part as commas do
  ["a.test example.test", "http://example.test", "direct", "direct", "proxy", "proxy"],
  ["a.test, example.test", "http://example.test", "direct", "direct", "direct", "direct"],
  // ports
  ["example.test:80", "http://example.test", "direct", "proxy", "direct", "proxy"],
  ["example.test:8080", "http://example.test", "proxy", "proxy", "proxy", "proxy"],
  ["example.test:443", "https://www.example.test", "direct", "-", "direct", "-"],
  ["10.0.0.1:8080", "http://10.0.0.1:8080", "direct", "-", "direct", "-"],
  ["10.0.0.1:8080", "http://10.0.0.1:8081", "proxy", "-", "proxy", "-"],
  ["[fd00::1]:8080", "http://[fd00::1]:8080", "direct", "-", "direct", "-"],
  ["[fd00::1]:8080", "http://[fd00::1]", "proxy", "-", "proxy", "-"],
  // a dot at the end
  ["example.test.", "http://example.test", "direct", "direct", "proxy", "proxy"],
  ["example.test", "http://example.test.", "direct", "direct", "proxy", "proxy"],
  // addresses are no names: neither prefix nor suffix
  ["10.0.0.1", "http://10.0.0.1", "direct", "-", "direct", "-"],
  ["0.0.1", "http://10.0.0.1", "proxy", "proxy", "proxy", "-"],
  ["10.", "http://10.0.0.1", "proxy", "proxy", "proxy", "-"],
  ["10.*", "http://10.0.0.1", "proxy", "proxy", "proxy", "-"],
  ["10.0.0.1", "http://0xa.1", "direct", "-", "proxy", "-"],
  ["::ffff:10.0.0.1", "http://[::ffff:a00:1]", "direct", "-", "direct", "-"],
  ["10.0.0.1", "http://[::ffff:10.0.0.1]", "direct", "-", "direct", "-"],
  ["fd00::1", "http://[fd00:0::1]", "direct", "-", "direct", "-"],
  ["[fd00::1]", "http://[fd00::1]", "direct", "proxy", "direct", "direct"],
  // networks
  ["10.0.0.0/8", "http://10.1.2.3", "direct", "direct", "direct", "proxy"],
  ["10.0.0.0/8", "http://11.1.2.3", "proxy", "proxy", "proxy", "proxy"],
  ["192.168.7.9/24", "http://192.168.7.1", "direct", "-", "direct", "-"],
  ["0.0.0.0/0", "http://8.8.8.8", "direct", "-", "direct", "-"],
  ["0.0.0.0/0", "http://example.test", "proxy", "-", "proxy", "-"],
  ["fd00::/8", "http://[fdff::1]", "direct", "-", "direct", "-"],
  ["fd00::/9", "http://[fd80::1]", "proxy", "-", "proxy", "-"],
  ["::/0", "http://8.8.8.8", "proxy", "-", "proxy", "-"],
  ["10.0.0.0/33", "http://10.0.0.0", "proxy", "-", "proxy", "-"],
  // names beyond ASCII
  ["bücher.test", "http://www.bücher.test", "direct", "-", "direct", "-"],
  // nothing is resolved
  ["127.0.0.0/8", "http://loopback.test", "proxy", "proxy", "proxy", "-"],
  // this machine, which nobody named
  ["other.test", "http://localhost", "direct", "proxy", "direct", "-"],
  ["other.test", "http://app.localhost:8080", "direct", "-", "proxy", "-"],
  ["other.test", "http://127.0.0.2", "direct", "proxy", "direct", "proxy"],
  ["other.test", "http://[::1]", "direct", "proxy", "direct", "-"],
  ["other.test", "http://localhost.test", "proxy", "proxy", "proxy", "-"]
]

describe("NO_PROXY", () => {
  for (const [entries, target, ours, curl, go, python] of disagreements) {
    const others = Object.entries({ curl, go, python }).filter(([, way]) => way !== "-" && way !== ours)
    const unlike = others.length === 0 ? "" : `, unlike ${others.map(([name]) => name).join(" and ")}`
    it(`"${entries}" sends ${target} ${ours === "direct" ? "straight" : "to the proxy"}${unlike}`, () => {
      const settings = Proxy.fromEnvironment({ http_proxy: url, https_proxy: url, no_proxy: entries })
      assert.strictEqual(endpoint(settings, target), ours === "direct" ? undefined : "proxy.internal:3128")
    })
  }

  it("a host is the same with brackets and without", () => {
    const settings = Proxy.fixed({ url, noProxy: ["fd00::1"] })
    assert.isUndefined(Proxy.proxyFor(settings, { scheme: "http", host: "fd00::1", port: 80 }))
    assert.isUndefined(Proxy.proxyFor(settings, { scheme: "http", host: "[fd00::1]", port: 80 }))
  })
})

describe("fromEnvironment", () => {
  const from = (environment: Record<string, string>, target: string) =>
    endpoint(Proxy.fromEnvironment(environment), target)

  it("each scheme has its own proxy, and ALL_PROXY is for the one that has none", () => {
    assert.isUndefined(from({ http_proxy: "http://a:1" }, "https://x.test"))
    assert.isUndefined(from({ https_proxy: "http://a:1" }, "http://x.test"))
    const environment = { https_proxy: "http://a:1", all_proxy: "http://b:2" }
    assert.strictEqual(from(environment, "https://x.test"), "a:1")
    assert.strictEqual(from(environment, "http://x.test"), "b:2")
  })

  it("lower case wins, and an empty one is missing", () => {
    for (const name of ["http_proxy", "https_proxy", "all_proxy"]) {
      const target = name === "http_proxy" ? "http://x.test" : "https://x.test"
      const upper = name.toUpperCase()
      assert.strictEqual(from({ [name]: "http://lower:1", [upper]: "http://upper:2" }, target), "lower:1")
      assert.strictEqual(from({ [name]: " ", [upper]: "http://upper:2" }, target), "upper:2")
    }
    const both = { http_proxy: "http://a:1", no_proxy: "x.test", NO_PROXY: "y.test" }
    assert.isUndefined(from(both, "http://x.test"))
    assert.strictEqual(from(both, "http://y.test"), "a:1")
  })

  it("HTTP_PROXY is not believed in a CGI program; what no header can set is", () => {
    const cgi = { REQUEST_METHOD: "", HTTP_PROXY: "http://evil:1" }
    assert.isUndefined(from(cgi, "http://x.test"))
    assert.strictEqual(from({ HTTP_PROXY: "http://good:1" }, "http://x.test"), "good:1")
    assert.strictEqual(from({ ...cgi, http_proxy: "http://good:1" }, "http://x.test"), "good:1")
    assert.strictEqual(from({ ...cgi, ALL_PROXY: "http://good:1" }, "http://x.test"), "good:1")
    assert.strictEqual(from({ ...cgi, HTTPS_PROXY: "http://good:1" }, "https://x.test"), "good:1")
  })

  it("a name that differs in case is looked up as it is written, even where the environment does not tell them apart", () => {
    const target = { REQUEST_METHOD: "GET", HTTP_PROXY: "http://evil:1" }
    const windows = new globalThis.Proxy(target, {
      get: (variables, name) => Reflect.get(variables, String(name).toUpperCase()),
      has: (variables, name) => Reflect.has(variables, String(name).toUpperCase())
    })
    assert.isUndefined(from(windows, "http://x.test"))
  })

  it("a proxy without a scheme is a plain one, and one without a port listens where its scheme does", () => {
    assert.strictEqual(from({ http_proxy: "proxy.internal:3128" }, "http://x.test"), "proxy.internal:3128")
    assert.strictEqual(from({ http_proxy: "http://proxy.internal" }, "http://x.test"), "proxy.internal:80")
    assert.strictEqual(from({ http_proxy: "https://proxy.internal/" }, "http://x.test"), "proxy.internal:443")
    assert.strictEqual(from({ http_proxy: "https://[fd00::1]:3128" }, "http://x.test"), "[fd00::1]:3128")
    assert.deepInclude(Proxy.fromEnvironment({ http_proxy: "https://[fd00::1]:3128" }).http, {
      scheme: "https",
      host: "fd00::1",
      port: 3128
    })
  })

  it("credentials are decoded, sent by the Basic scheme, and shown by nothing", () => {
    const settings = Proxy.fromEnvironment({ https_proxy: "http://sh%40p:op%C3%A9n%3A%25@proxy:3128" })
    const expected = `Basic ${Buffer.from("sh@p:opén:%").toString("base64")}`
    assert.deepStrictEqual(sent(settings.https), { "proxy-authorization": expected })
    const shown = [inspect(settings, { depth: 9, showHidden: true }), JSON.stringify(settings), String(settings)].join()
    for (const secret of ["opén", "op%C3", expected.slice(6), "sh@p"]) assert.notInclude(shown, secret)
  })

  it("what cannot be used says which variable, and what can be", () => {
    const socks = refusal(() => Proxy.fromEnvironment({ ALL_PROXY: "socks5h://shop:secret@proxy:1080" }))
    assert.strictEqual(
      socks,
      "Proxy: ALL_PROXY must be http:// or https:// with the host and port of a proxy, " +
        "got socks5h://… (the rest is not shown: it may hold a password)"
    )
    const bad = { HTTPS_PROXY: "http://a:1", HTTP_PROXY: "http://b:2", all_proxy: "socks5://proxy:1080" }
    assert.strictEqual(from(bad, "http://x.test"), "b:2", "a variable that no request needs is not read")
  })

  it("nothing is read that was not asked for, and this process's environment by default", () => {
    assert.deepInclude(Proxy.fromEnvironment({}), { http: undefined, https: undefined })
    const before = process.env["https_proxy"]
    process.env["https_proxy"] = "http://of-this-process:1"
    try {
      assert.strictEqual(endpoint(Proxy.fromEnvironment(), "https://x.test"), "of-this-process:1")
      assert.strictEqual(endpoint(Proxy.fixed({ url }), "https://x.test"), "proxy.internal:3128")
    } finally {
      if (before === undefined) delete process.env["https_proxy"]
      else process.env["https_proxy"] = before
    }
  })
})

describe("fixed", () => {
  it("serves both schemes, and loopback too unless noProxy names it", () => {
    const settings = Proxy.fixed({ url })
    for (const target of ["http://x.test", "https://x.test", "http://localhost:8080", "http://127.0.0.1"]) {
      assert.strictEqual(endpoint(settings, target), "proxy.internal:3128")
    }
    const local = Proxy.fixed({ url, noProxy: ["localhost", "127.0.0.0/8"] })
    assert.isUndefined(endpoint(local, "http://localhost:8080"))
    assert.isUndefined(endpoint(local, "http://127.0.0.1"))
  })

  it("credentials and headers are what the proxy is sent, and nothing shows them", () => {
    const settings = Proxy.fixed({
      url,
      credentials: { username: "shop", password },
      headers: { "X-Tenant": "blue", "x-token": Redacted.make("s3cret") }
    })
    assert.deepStrictEqual(sent(settings.http), {
      "x-tenant": "blue",
      "x-token": "s3cret",
      "proxy-authorization": `Basic ${Buffer.from("shop:open sesame").toString("base64")}`
    })
    const shown = inspect(settings, { depth: 9, showHidden: true }) + JSON.stringify(settings)
    for (const secret of ["open sesame", "s3cret", "Basic"]) assert.notInclude(shown, secret)
    assert.deepStrictEqual(sent(Proxy.fixed({ url: "http://shop@proxy" }).http), {
      "proxy-authorization": `Basic ${Buffer.from("shop:").toString("base64")}`
    })
  })

  const refused: ReadonlyArray<readonly [options: Proxy.Options, words: string]> = [
    [{ url: "socks5://proxy:1080" }, "http:// or https:// with the host and port of a proxy, got socks5://… (the rest"],
    [{ url: "proxy:3128" }, "url must be http:// or https:// with the host and port of a proxy, got something else"],
    [{ url: "http:proxy" }, "url must be http:// or https://"],
    [{ url: "http://proxy:port" }, "got http://… (the rest is not shown"],
    [{ url: "shop:s3cret" }, "got something else"],
    [{ url: "http://shop:s3cret" }, "got http://…"],
    [{ url: "http//shop:s3cret@proxy:3128" }, "got something else"],
    [{ url: "s3cret://proxy:3128" }, "got something else"],
    [{ url: "http://shop:p/s3cret@proxy:3128" }, "got http://…"],
    [{ url: "http://shop:3/s3cret@proxy:3128" }, "must have nothing behind the port, got http://…"],
    [{ url: "http://shop:s3cret@proxy:port" }, "got http://…"],
    [{ url: "http://shop:p@s3cret@proxy:port" }, "got http://…"],
    [{ url: "http://shop:3#s3cret@proxy:3128" }, "must have nothing behind the port, got http://…"],
    [{ url: "http://proxy:3128/?token=s3cret" }, "must have nothing behind the port, got http://…"],
    [{ url: "http://proxy:3128/path" }, "must have nothing behind the port"],
    [{ url: "http://shop:s3cret%@proxy" }, "percent-encoded (a % is %25), got http://…"],
    [{ url: "http://a:s3cret@proxy", credentials: { username: "b", password } }, "credentials must be given once"],
    [{ url, credentials: { username: "a:b", password } }, "credentials must have a username without colons"],
    [{ url, credentials: { username: "a", password: Redacted.make("s3cret\n") } }, "no control characters"],
    [{ url: "http://shop:s3cret%0a@proxy" }, "no control characters"],
    [{ url, headers: { a: "b", "Bearer s3cret": "z" } }, "got another in place 2"],
    [{ url, headers: { "x-token": "s3cret\r\nhost: evil" } }, "got another in place 1"],
    [{ url, headers: { Host: "evil" } }, "got host"],
    [{ url, headers: { "content-length": "3" } }, "got content-length"],
    [{ url, headers: { S3CRET: "s3cret", s3cret: "s3cret" } }, "each name once, got a second of one, in place 2"],
    [
      { url, credentials: { username: "a", password }, headers: { "Proxy-Authorization": "Bearer s3cret" } },
      "got a second proxy-authorization"
    ],
    ...[
      "",
      "10.*",
      "192.168.",
      "10.0.0.0/33",
      "10.0.0.0/",
      "example.test/8",
      "http://x",
      "a:b",
      "[::1",
      "[ok.test]",
      "fe80::1%eth0",
      "x:70000"
    ].map((entry) => [{ url, noProxy: ["ok.test", entry] }, `or *, got ${JSON.stringify(entry)}`] as const)
  ]
  for (const [options, words] of refused) {
    it(`refuses, and says: ${words}`, () => {
      const said = refusal(() => Proxy.fixed(options))
      assert.match(said, /^Proxy: /)
      assert.include(said, words)
      assert.notInclude(said, "s3cret")
    })
  }
})
