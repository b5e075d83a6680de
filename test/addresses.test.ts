import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { AddressPolicy, NameResolver, Proxy } from "holdfast/node"
import { testProxy } from "./proxy/testProxy.ts"
import { callingWith, noNames, once, serversAt } from "./support/addressed.ts"
import { failure } from "./support/calling.ts"
import { dialledElsewhere } from "./support/loopbackOnly.ts"

/** Every way to write an address of this machine that leads to a server at 127.0.0.1. */
const spellings: ReadonlyArray<readonly [host: string, address: string, group?: "unspecified"]> = [
  ["127.0.0.1", "127.0.0.1"],
  ["127.1", "127.0.0.1"],
  ["2130706433", "127.0.0.1"],
  ["0x7f000001", "127.0.0.1"],
  ["0x7f.0.0.0x1", "127.0.0.1"],
  ["017700000001", "127.0.0.1"],
  ["127.0.0.1.", "127.0.0.1"],
  ["１２７.0.0.1", "127.0.0.1"],
  ["%31%32%37.0.0.1", "127.0.0.1"],
  ["0.0.0.0", "0.0.0.0", "unspecified"],
  ["0", "0.0.0.0", "unspecified"],
  ["[::ffff:127.0.0.1]", "::ffff:7f00:1"],
  ["[::ffff:7f00:1]", "::ffff:7f00:1"],
  ["[0:0:0:0:0:ffff:7f00:0001]", "::ffff:7f00:1"],
  ["localhost", "127.0.0.1"],
  ["LOCALHOST", "127.0.0.1"],
  ["payments.test", "127.0.0.1"],
  ["mapped.test", "::ffff:127.0.0.1"]
]

const names = NameResolver.layerStatic({
  localhost: ["127.0.0.1"],
  "payments.test": ["127.0.0.1"],
  "mapped.test": ["::ffff:127.0.0.1"]
})

describe("an address that is denied", () => {
  it.live.each(spellings.map(([host, address, group = "loopback"]) => ({ host, address, group })))(
    "$host is not connected to, and the call says why; without the policy it is",
    ({ address, group, host }) =>
      Effect.gen(function* () {
        const server = yield* serversAt(["127.0.0.1"])
        const url = `http://${host}:${server.port}`
        const payments = yield* callingWith(names, url, { addresses: AddressPolicy.publicOnly }, {})
        const error = yield* failure(payments.get("/"))
        assert.deepInclude({ ...error.reason }, { _tag: "AddressDenied", address, rule: `${group} is denied` })
        assert.include(error.reason.message, `${address} may not be called (${group} is denied); nothing was sent`)
        assert.deepStrictEqual([error.attempts, error.retryStopped], [1, "not-retryable"])
        assert.deepStrictEqual(server.connections, [])
        // a mapped address needs a socket of IPv6, which not every machine has
        if (address.includes(":")) return
        const free = yield* callingWith(names, url)
        assert.strictEqual((yield* free.get("/")).text, "127.0.0.1")
      })
  )

  it.live.each([
    { host: "10.0.0.1", rule: "private" },
    { host: "169.254.169.254", rule: "metadata" },
    { host: "169.254.0.1", rule: "linkLocal" },
    { host: "[fe80::1]", rule: "linkLocal" },
    { host: "[fd00:ec2::254]", rule: "metadata" },
    { host: "[fd00::1]", rule: "uniqueLocal" },
    { host: "[64:ff9b::7f00:1]", rule: "loopback" },
    { host: "[2002:7f00:1::]", rule: "loopback" },
    { host: "[::1]", rule: "loopback" },
    { host: "[::]", rule: "unspecified" },
    { host: "224.0.0.1", rule: "multicast" },
    { host: "255.255.255.255", rule: "reserved" }
  ])("$host is denied before anything is tried", ({ host, rule }) =>
    Effect.gen(function* () {
      // a limit that a connection, were it tried, could not keep
      const transport = { addresses: AddressPolicy.publicOnly, connectTimeout: "1 minute" } as const
      const payments = yield* callingWith(noNames, `http://${host}`, transport)
      const { reason } = yield* failure(payments.get("/"))
      assert.deepInclude({ ...reason }, { _tag: "AddressDenied", rule: `${rule} is denied` })
      assert.deepStrictEqual(dialledElsewhere, [])
    })
  )

  it.live("is not even dialled by a test whose code is wrong: the dial is counted, and fails", () =>
    Effect.gen(function* () {
      const payments = yield* callingWith(noNames, "http://10.0.0.1")
      const { reason } = yield* failure(payments.get("/"))
      assert.deepInclude({ ...reason }, { phase: "connect", code: "ERR_DIALLED_ELSEWHERE" })
      assert.deepStrictEqual(dialledElsewhere.splice(0), ["10.0.0.1"])
    })
  )

  it.live("of a name that has others is passed over, whatever its place, and the others are dialled", () =>
    Effect.gen(function* () {
      const server = yield* serversAt(["127.0.0.1", "127.0.0.2", "127.0.0.3"])
      const addresses = AddressPolicy.make({ deny: [{ cidr: "127.0.0.1" }, { cidr: "127.0.0.3" }] })
      for (const order of [
        ["127.0.0.1", "127.0.0.2", "127.0.0.3"],
        ["127.0.0.2", "127.0.0.1"],
        ["127.0.0.3", "127.0.0.1", "127.0.0.2"]
      ]) {
        const known = NameResolver.layerStatic({ "payments.test": order })
        const payments = yield* callingWith(known, `http://payments.test:${server.port}`, { addresses })
        assert.strictEqual((yield* payments.get("/")).text, "127.0.0.2")
      }
      assert.deepStrictEqual(server.connections, ["127.0.0.2", "127.0.0.2", "127.0.0.2"])
    })
  )

  it.live("is not dialled even when the allowed ones of the name do not answer", () =>
    Effect.gen(function* () {
      const server = yield* serversAt(["127.0.0.1"])
      const known = NameResolver.layerStatic({ "payments.test": ["127.0.0.1", "127.0.0.2"] })
      const addresses = AddressPolicy.make({ deny: [{ cidr: "127.0.0.1" }] })
      const payments = yield* callingWith(known, `http://payments.test:${server.port}`, { addresses })
      assert.strictEqual((yield* failure(payments.get("/"))).reason._tag, "ConnectionRefused")
      assert.deepStrictEqual(server.connections, [])
    })
  )

  it.live("is caught when a name changes from an allowed address to it (DNS rebinding)", () =>
    Effect.gen(function* () {
      for (const isGuarded of [true, false]) {
        // every call needs a connection of its own
        const server = yield* serversAt(["127.0.0.1", "127.0.0.2"], (_, response) =>
          response.writeHead(200, { connection: "close" }).end()
        )
        const answers = ["127.0.0.1", "127.0.0.2", "127.0.0.1"]
        let asked = 0
        const rebinding = NameResolver.layer({
          minTimeToLive: 0,
          source: () =>
            Effect.sync(() => ({
              addresses: [{ address: answers[asked++] ?? "127.0.0.2", family: 4 as const }],
              timeToLive: 0
            }))
        })
        const payments = yield* callingWith(
          rebinding,
          `http://payments.test:${server.port}`,
          isGuarded ? { addresses: AddressPolicy.make({ deny: [{ cidr: "127.0.0.2" }] }) } : {}
        )
        const first = yield* Effect.result(payments.get("/"))
        const second = yield* Effect.result(payments.get("/"))
        const third = yield* Effect.result(payments.get("/"))
        assert.deepStrictEqual([first._tag, third._tag], ["Success", "Success"])
        if (isGuarded) {
          if (second._tag !== "Failure") throw new Error("the address was called")
          assert.deepInclude(
            { ...second.failure.reason },
            { _tag: "AddressDenied", endpoint: `payments.test:${server.port}`, address: "127.0.0.2" }
          )
          assert.deepStrictEqual(server.connections, ["127.0.0.1", "127.0.0.1"])
        } else assert.deepStrictEqual(server.connections, answers)
        // what was judged is what was dialled: nobody asked a second time in between
        assert.strictEqual(asked, 3)
      }
    })
  )
})

describe("a redirect", () => {
  it.live(
    "to an address that is denied is followed no further, whether it names the address or a host that has it",
    () =>
      Effect.gen(function* () {
        const inside = yield* serversAt(["127.0.0.2"])
        for (const host of ["127.0.0.2", "0x7f.2", "inside.test"]) {
          const location = `http://${host}:${inside.port}/credentials`
          const outside = yield* serversAt(["127.0.0.1"], (_, response) => response.writeHead(302, { location }).end())
          const known = NameResolver.layerStatic({ "payments.test": ["127.0.0.1"], "inside.test": ["127.0.0.2"] })
          const url = `http://payments.test:${outside.port}`
          const addresses = AddressPolicy.make({ deny: [{ cidr: "127.0.0.2" }] })
          const policy = { ...once, redirects: {} }
          const guarded = yield* callingWith(known, url, { addresses }, policy)
          const { reason } = yield* failure(guarded.get("/"))
          assert.deepInclude(
            { ...reason },
            { _tag: "AddressDenied", address: "127.0.0.2", rule: "127.0.0.2 is denied" }
          )
          assert.deepStrictEqual([outside.requests.length, inside.connections.length], [1, 0])
        }
        // without the policy it leads there
        const location = `http://127.0.0.2:${inside.port}/credentials`
        const outside = yield* serversAt(["127.0.0.1"], (_, response) => response.writeHead(302, { location }).end())
        const free = yield* callingWith(noNames, `http://127.0.0.1:${outside.port}`, {}, { ...once, redirects: {} })
        assert.strictEqual((yield* free.get("/")).text, "127.0.0.2")
      })
  )
})

describe("rules", () => {
  it.live("for a port hold for that port, on every host", () =>
    Effect.gen(function* () {
      const [mine, other] = [yield* serversAt(["127.0.0.1"]), yield* serversAt(["127.0.0.1"])]
      for (const [rules, rule] of [
        [{ allow: [{ port: mine.port }] }, `only port ${mine.port} is allowed`],
        [{ deny: [{ port: other.port }] }, `port ${other.port} is denied`],
        [{ allow: [{ group: "loopback", port: mine.port }] }, `only loopback:${mine.port} is allowed`]
      ] as const) {
        const addresses = AddressPolicy.make(rules)
        for (const host of ["127.0.0.1", "payments.test"]) {
          const allowed = yield* callingWith(names, `http://${host}:${mine.port}`, { addresses })
          assert.strictEqual((yield* allowed.get("/")).text, "127.0.0.1")
          const denied = yield* callingWith(names, `http://${host}:${other.port}`, { addresses })
          assert.deepInclude({ ...(yield* failure(denied.get("/"))).reason }, { _tag: "AddressDenied", rule })
        }
      }
      assert.deepStrictEqual(other.connections, [])
    })
  )

  it.live("for a name are about the name of the URL, and one that is denied is not even looked up", () =>
    Effect.gen(function* () {
      const server = yield* serversAt(["127.0.0.1"])
      const lookedUp: Array<string> = []
      const known = NameResolver.layer({
        source: (host) =>
          Effect.sync(() => {
            lookedUp.push(host)
            return { addresses: [{ address: "127.0.0.1", family: 4 as const }] }
          })
      })
      const addresses = AddressPolicy.make({
        allow: [{ host: "*.payments.test" }],
        deny: [{ host: "old.payments.test" }]
      })
      const calling = (host: string) => callingWith(known, `http://${host}:${server.port}`, { addresses })
      assert.strictEqual((yield* (yield* calling("API.payments.test")).get("/")).text, "127.0.0.1")
      for (const host of ["payments.test", "old.payments.test", "payments.test.example.org", "127.0.0.1"]) {
        assert.strictEqual((yield* failure((yield* calling(host)).get("/"))).reason._tag, "AddressDenied")
      }
      assert.deepStrictEqual(lookedUp, ["api.payments.test"])
      assert.strictEqual(server.connections.length, 1)
    })
  )
})

describe("through a proxy", () => {
  it.live("the host and the port of the URL are judged, and the proxy hears nothing of one that is denied", () =>
    Effect.gen(function* () {
      const server = yield* serversAt(["127.0.0.1"])
      const proxy = yield* testProxy({ hosts: { "api.payments.test:80": server.port } })
      const addresses = AddressPolicy.make({
        allow: [{ host: "*.payments.test" }, { group: "public" }],
        deny: [{ port: 8080 }, ...AddressPolicy.notPublic]
      })
      const transport = { addresses, proxy: Proxy.fixed({ url: `http://127.0.0.1:${proxy.port}` }) }
      for (const scheme of ["http", "https"]) {
        for (const [host, rule] of [
          ["127.0.0.1", "loopback is denied"],
          ["0x7f.1", "loopback is denied"],
          ["[::ffff:10.0.0.1]", "private is denied"],
          ["api.payments.test:8080", "port 8080 is denied"]
        ] as const) {
          const denied = yield* callingWith(noNames, `${scheme}://${host}`, transport)
          assert.deepInclude({ ...(yield* failure(denied.get("/"))).reason }, { _tag: "AddressDenied", rule })
        }
      }
      assert.deepStrictEqual([proxy.asked.length, proxy.open()], [0, 0])
      // the proxy itself is at an address that no call may lead to, and looks names up by itself
      const allowed = yield* callingWith(noNames, "http://api.payments.test", transport)
      assert.strictEqual((yield* allowed.get("/")).text, "127.0.0.1")
      assert.strictEqual(proxy.asked.length, 1)
    })
  )

  it.live("an endpoint that noProxy names is judged by its addresses", () =>
    Effect.gen(function* () {
      const server = yield* serversAt(["127.0.0.1"])
      const proxy = yield* testProxy()
      const transport = {
        addresses: AddressPolicy.publicOnly,
        proxy: Proxy.fixed({ url: `http://127.0.0.1:${proxy.port}`, noProxy: ["payments.test"] })
      }
      const payments = yield* callingWith(names, `http://payments.test:${server.port}`, transport)
      assert.strictEqual((yield* failure(payments.get("/"))).reason._tag, "AddressDenied")
      assert.deepStrictEqual([server.connections, proxy.asked], [[], []])
    })
  )
})
