import { BlockList } from "node:net"
import { Arbitrary, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import { AddressDenied } from "@holdfast/core/Reason"
import { AddressPolicy } from "@holdfast/node"
import { allowedOf, deniedHost } from "../src/internal/connect/allowedAddresses.ts"

const { publicOnly } = AddressPolicy

const ruleOf = (verdict: AddressPolicy.Verdict): string | undefined =>
  verdict._tag === "Denied" ? verdict.rule : undefined

const judge = (policy: AddressPolicy.AddressPolicy, address: string, host = "some.test", port = 443) =>
  ruleOf(AddressPolicy.check(policy, { host, port, address }))

/** How a URL spells its host is what reaches `checkHost`. */
const judgeUrl = (policy: AddressPolicy.AddressPolicy, url: string) =>
  ruleOf(AddressPolicy.checkHost(policy, { host: new URL(url).hostname, port: 80 }))

const byte = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 255 }))
const quad = Arbitrary.schema(Schema.Tuple([byte, byte, byte, byte]))
const group16 = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 0xffff }))
const groups = Arbitrary.array(Arbitrary.schema(group16), { minLength: 8, maxLength: 8 })

const hex = (high: number, low: number): string => ((high << 8) | low).toString(16)

/** The ways in which IPv6 carries an IPv4 address. */
const carriersOf = ([a, b, c, d]: readonly [number, number, number, number]): ReadonlyArray<string> => [
  `::ffff:${a}.${b}.${c}.${d}`,
  `::ffff:${hex(a, b)}:${hex(c, d)}`,
  `0:0:0:0:0:FFFF:${hex(a, b)}:${hex(c, d)}`,
  `::ffff:0:${a}.${b}.${c}.${d}`,
  `64:ff9b::${a}.${b}.${c}.${d}`,
  `2002:${hex(a, b)}:${hex(c, d)}::1`
]

describe("AddressPolicy.publicOnly", () => {
  it("refuses every special address under its own name, and lets public ones through", () => {
    const expected: { readonly [address: string]: string | undefined } = {
      "127.0.0.1": "loopback",
      "127.255.255.254": "loopback",
      "::1": "loopback",
      "0.0.0.0": "unspecified",
      "::": "unspecified",
      "10.0.0.1": "private",
      "172.16.0.1": "private",
      "172.31.255.255": "private",
      "192.168.1.1": "private",
      "100.64.0.1": "private",
      "100.127.255.255": "private",
      "169.254.1.1": "linkLocal",
      "fe80::1": "linkLocal",
      "fe80::1%eth0": "linkLocal",
      "febf::1": "linkLocal",
      "169.254.169.254": "metadata",
      "169.254.170.2": "metadata",
      "100.100.100.200": "metadata",
      "168.63.129.16": "metadata",
      "fd00:ec2::254": "metadata",
      "fd20:ce::254": "metadata",
      "fc00::1": "uniqueLocal",
      "fdff::1": "uniqueLocal",
      "224.0.0.1": "multicast",
      "239.255.255.255": "multicast",
      "ff02::1": "multicast",
      "0.1.2.3": "reserved",
      "192.0.0.1": "reserved",
      "192.0.2.1": "reserved",
      "192.88.99.1": "reserved",
      "198.19.255.255": "reserved",
      "198.51.100.1": "reserved",
      "203.0.113.1": "reserved",
      "240.0.0.1": "reserved",
      "255.255.255.255": "reserved",
      "2001::1": "reserved",
      "2001:db8::1": "reserved",
      "3fff::1": "reserved",
      "100::1": "reserved",
      "64:ff9b:1::1": "reserved",
      "5f00::1": "reserved",
      "fec0::1": "reserved",
      "8.8.8.8": undefined,
      "172.15.255.255": undefined,
      "172.32.0.1": undefined,
      "100.63.255.255": undefined,
      "100.128.0.0": undefined,
      "169.253.255.255": undefined,
      "198.17.255.255": undefined,
      "223.255.255.255": undefined,
      "2001:4860:4860::8888": undefined,
      "2606:4700::1111": undefined,
      "::ffff:8.8.8.8": undefined,
      "64:ff9b::8.8.8.8": undefined,
      "2002:808:808::1": undefined
    }
    for (const [address, group] of Object.entries(expected)) {
      assert.strictEqual(judge(publicOnly, address), group && `${group} is denied`, address)
    }
  })

  it("the well-known spellings by which a URL hides an inner address are seen through before anything is resolved", () => {
    for (const host of [
      "127.0.0.1",
      "127.1",
      "127.0.1",
      "0177.0.0.1",
      "0x7f.0.0.1",
      "0x7f.1",
      "0x7f000001",
      "2130706433",
      "017700000001",
      "00000000177.0.0.1",
      "127.0.0.1.",
      "①②⑦.⓪.⓪.①",
      "127。0。0。1",
      "%31%32%37.0.0.1",
      "user@127.0.0.1",
      "example.com@127.0.0.1",
      "[::1]",
      "[0:0:0:0:0:0:0:1]",
      "[0000:0000:0000:0000:0000:0000:0000:0001]",
      "[::ffff:127.0.0.1]",
      "[::ffff:7f00:1]",
      "[::127.0.0.1]",
      "[::ffff:0:127.0.0.1]",
      "[64:ff9b::127.0.0.1]",
      "[64:ff9b::7f00:1]",
      "[2002:7f00:1::]"
    ]) {
      assert.include(["loopback is denied", "reserved is denied"], judgeUrl(publicOnly, `http://${host}/`), host)
    }
    for (const host of ["169.254.169.254", "2852039166", "0xa9fea9fe", "[::ffff:a9fe:a9fe]", "[fd00:ec2::254]"]) {
      assert.strictEqual(judgeUrl(publicOnly, `http://${host}/`), "metadata is denied", host)
    }
    for (const host of ["0", "0.0.0.0", "[::]", "0x0"]) {
      assert.strictEqual(judgeUrl(publicOnly, `http://${host}/`), "unspecified is denied", host)
    }
    // a name says nothing before it is resolved
    for (const host of ["localhost", "metadata.google.internal", "127.0.0.1.nip.io", "8.8.8.8"]) {
      assert.isUndefined(judgeUrl(publicOnly, `http://${host}/`), host)
    }
  })

  it("spellings that no URL let through are seen through all the same, and what is no address is never called", () => {
    for (const host of ["0x7f.1", "2130706433", "127.0.0.1.", "[::1]", "::1"]) {
      assert.strictEqual(ruleOf(AddressPolicy.checkHost(publicOnly, { host, port: 80 })), "loopback is denied", host)
    }
    for (const address of ["0x7f.1", "localhost", "", "127.1", "[::1]"]) {
      assert.strictEqual(judge(publicOnly, address), "it is not an IP address", address)
    }
  })

  it("denying loopback alone denies what else leads to this machine", () => {
    const policy = AddressPolicy.make({ deny: [{ group: "loopback" }] })
    for (const address of ["0.0.0.0", "::", "::ffff:0.0.0.0", "::ffff:127.0.0.1"]) {
      assert.strictEqual(judge(policy, address), "loopback is denied", address)
    }
    assert.isUndefined(judge(policy, "10.0.0.1"))
  })

  it("reserved addresses are not taken for others, nor others for them", () => {
    const policy = AddressPolicy.make({ deny: [{ group: "reserved" }] })
    for (const address of ["::1", "127.0.0.1", "::ffff:127.0.0.1", "64:ff9b::808:808", "fe80::1", "fd00::1"]) {
      assert.isUndefined(judge(policy, address), address)
    }
  })

  it.prop("an IPv4 address that is denied is denied in every way in which IPv6 carries it", [quad], ([address]) => {
    const plain = judge(publicOnly, address.join("."))
    for (const carried of carriersOf(address)) {
      const verdict = judge(publicOnly, carried)
      if (plain !== undefined) assert.isDefined(verdict, carried)
      else if (!carried.startsWith("::ffff:0:")) assert.isUndefined(verdict, carried)
    }
  })
})

describe("AddressPolicy ranges", () => {
  const inRange = (cidr: string, address: string): boolean =>
    judge(AddressPolicy.make({ deny: [{ cidr }] }), address) !== undefined

  it.prop(
    "an IPv4 range holds what Node's BlockList says that it holds",
    [quad, quad, Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 32 })))],
    ([network, other, prefix]) => {
      const bits = network.reduce((sum, each) => sum * 256 + each, 0)
      const base = prefix === 0 ? 0 : (bits & (-1 << (32 - prefix))) >>> 0
      const text = [24, 16, 8, 0].map((shift) => (base >>> shift) & 255).join(".")
      const list = new BlockList()
      list.addSubnet(text, prefix, "ipv4")
      for (const address of [network.join("."), other.join(".")]) {
        assert.strictEqual(inRange(`${text}/${prefix}`, address), list.check(address, "ipv4"))
      }
      assert.isTrue(inRange(`${text}/${prefix}`, network.join(".")))
    }
  )

  it.prop(
    "an IPv6 range holds what Node's BlockList says that it holds, however the address is written",
    [groups, groups, Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 })))],
    ([network, other, kept]) => {
      const text = [...network.slice(0, kept), ...Array.from({ length: 8 - kept }, () => 0)]
        .map((each) => each.toString(16))
        .join(":")
      const list = new BlockList()
      list.addSubnet(text, kept * 16, "ipv6")
      const mixed = [...network.slice(0, kept), ...other.slice(kept)]
      for (const groups of [network, other, mixed]) {
        const long = groups.map((each) => each.toString(16).toUpperCase().padStart(4, "0")).join(":")
        const short = new URL(`http://[${long}]/`).hostname.slice(1, -1)
        const expected = list.check(long, "ipv6")
        assert.strictEqual(inRange(`${text}/${kept * 16}`, long), expected)
        assert.strictEqual(inRange(`${text}/${kept * 16}`, short), expected, short)
      }
    }
  )

  it("all of IPv6 does not mean IPv4, as it does to BlockList; a range of mapped addresses does", () => {
    assert.isFalse(inRange("::/0", "10.0.0.1"))
    assert.isTrue(inRange("::/0", "::ffff:10.0.0.1"))
    assert.isTrue(inRange("::ffff:10.0.0.0/104", "10.1.2.3"))
    assert.isFalse(inRange("::ffff:10.0.0.0/104", "11.1.2.3"))
    assert.isTrue(inRange("10.0.0.7", "10.0.0.7"))
    assert.isFalse(inRange("10.0.0.7", "10.0.0.8"))
  })
})

describe("AddressPolicy rules", () => {
  it("hosts: a name is itself, a star is every name below it and not the name, spelling means nothing", () => {
    const exact = AddressPolicy.make({ allow: [{ host: "API.Example.com." }] })
    const below = AddressPolicy.make({ allow: [{ host: "*.bücher.example" }] })
    const allows = (policy: AddressPolicy.AddressPolicy, host: string): boolean => {
      const before = ruleOf(AddressPolicy.checkHost(policy, { host, port: 443 }))
      const after = judge(policy, "8.8.8.8", host)
      assert.strictEqual(before, after)
      return after === undefined
    }
    for (const host of ["api.example.com", "API.EXAMPLE.COM", "api.example.com.", "api。example。com"]) {
      assert.isTrue(allows(exact, host), host)
    }
    for (const host of [
      "example.com",
      "x.api.example.com",
      "api.example.com.evil.test",
      "api.example.com/x",
      "evilapi.example.com",
      "api.example.com%2e"
    ]) {
      assert.isFalse(allows(exact, host), host)
    }
    for (const host of ["a.xn--bcher-kva.example", "a.b.bücher.example", "A.BÜCHER.EXAMPLE."]) {
      assert.isTrue(allows(below, host), host)
    }
    for (const host of ["bücher.example", "xbücher.example", "evilxn--bcher-kva.example"]) {
      assert.isFalse(allows(below, host), host)
    }
  })

  it("all parts of a rule must hold", () => {
    const policy = AddressPolicy.make({ deny: [{ host: "*.test", port: 80, cidr: "10.0.0.0/8" }] })
    assert.strictEqual(judge(policy, "10.0.0.1", "a.test", 80), "*.test at 10.0.0.0/8 port 80 is denied")
    assert.isUndefined(judge(policy, "10.0.0.1", "a.test", 81))
    assert.isUndefined(judge(policy, "11.0.0.1", "a.test", 80))
    assert.isUndefined(judge(policy, "10.0.0.1", "a.example", 80))
  })

  it("denied wins over allowed, and with an allow list everything else is refused", () => {
    const policy = AddressPolicy.make({
      allow: [{ host: "*.example.com", port: 443 }, { cidr: "10.1.0.0/16" }],
      deny: [{ host: "secret.example.com" }, { cidr: "10.1.9.0/24" }, { port: 25 }]
    })
    assert.isUndefined(judge(policy, "8.8.8.8", "api.example.com", 443))
    assert.isUndefined(judge(policy, "10.1.0.1", "other.test", 8080))
    assert.isUndefined(judge(policy, "::ffff:10.1.0.1", "other.test", 8080))
    assert.strictEqual(judge(policy, "10.1.9.1", "api.example.com", 443), "10.1.9.0/24 is denied")
    assert.strictEqual(judge(policy, "10.1.0.1", "other.test", 25), "port 25 is denied")
    assert.strictEqual(judge(policy, "8.8.8.8", "secret.example.com"), "secret.example.com is denied")
    const refusal = "only *.example.com:443 and 10.1.0.0/16 are allowed"
    assert.strictEqual(judge(policy, "8.8.8.8", "api.example.com", 80), refusal)
    assert.strictEqual(judge(policy, "10.2.0.1", "other.test"), refusal)
    assert.strictEqual(judge(AddressPolicy.make({ allow: [] }), "8.8.8.8"), "nothing is allowed")
  })

  it("what carries an allowed IPv4 address through a tunnel is not that address", () => {
    const policy = AddressPolicy.make({ allow: [{ cidr: "10.0.0.0/8" }] })
    for (const address of ["64:ff9b::10.0.0.1", "2002:a00:1::", "::10.0.0.1"]) {
      assert.isDefined(judge(policy, address), address)
    }
  })

  it("public addresses and some private ones: allowed instead of denied", () => {
    const policy = AddressPolicy.make({ allow: [{ group: "public" }, { cidr: "10.1.0.0/16" }] })
    assert.isUndefined(judge(policy, "8.8.8.8"))
    assert.isUndefined(judge(policy, "10.1.2.3"))
    for (const address of ["10.2.0.1", "127.0.0.1", "64:ff9b::10.2.0.1", "::ffff:127.0.0.1", "::127.0.0.1"]) {
      assert.strictEqual(judge(policy, address), "only public and 10.1.0.0/16 are allowed", address)
    }
    const inner = AddressPolicy.make({ deny: [{ group: "public" }] })
    assert.strictEqual(judge(inner, "::ffff:8.8.8.8"), "public is denied")
    assert.isUndefined(judge(inner, "::ffff:10.0.0.1"))
  })

  it("a long allow list is not recited", () => {
    const said = (length: number) => {
      const allow = Array.from({ length }, (_, index) => ({ port: index + 1 }))
      return judge(AddressPolicy.make({ allow }), "8.8.8.8")
    }
    assert.deepStrictEqual([0, 1, 2, 3, 4, 5].map(said), [
      "nothing is allowed",
      "only port 1 is allowed",
      "only port 1 and port 2 are allowed",
      "only port 1, port 2 and port 3 are allowed",
      "only port 1, port 2, port 3 and 1 more are allowed",
      "only port 1, port 2, port 3 and 2 more are allowed"
    ])
  })

  it("a range of mapped addresses is the range of IPv4 that it stands for, all of it too", () => {
    for (const [cidr, inside, outside] of [
      ["::ffff:0:0/96", ["1.2.3.4", "255.0.0.1"], ["2606:4700::1111", "::1"]],
      ["::ffff:10.0.0.0/104", ["10.9.9.9", "::ffff:10.1.1.1"], ["11.0.0.1"]],
      ["::ffff:1.2.3.4/128", ["1.2.3.4"], ["1.2.3.5"]]
    ] as const) {
      const policy = AddressPolicy.make({ deny: [{ cidr }] })
      for (const address of inside) assert.isDefined(judge(policy, address), `${cidr} ${address}`)
      for (const address of outside) assert.isUndefined(judge(policy, address), `${cidr} ${address}`)
    }
  })

  it("before a name is resolved it is refused only by what cannot change then", () => {
    const policy = AddressPolicy.make({
      allow: [{ host: "*.example.com" }, { cidr: "10.0.0.0/8", port: 8080 }],
      deny: [{ host: "no.example.com" }, { host: "maybe.example.com", group: "private" }, { port: 22 }]
    })
    const before = (host: string, port: number) => ruleOf(AddressPolicy.checkHost(policy, { host, port }))
    assert.isUndefined(before("api.example.com", 443))
    assert.isUndefined(before("maybe.example.com", 443))
    assert.isUndefined(before("other.test", 8080))
    assert.strictEqual(before("no.example.com", 443), "no.example.com is denied")
    assert.strictEqual(before("api.example.com", 22), "port 22 is denied")
    assert.match(before("other.test", 443) ?? "", /^only /)
    assert.isUndefined(before("10.0.0.1", 8080))
    assert.match(before("11.0.0.1", 8080) ?? "", /^only /)
  })

  it.prop("who is refused before the name is resolved would be refused with every address", [quad], ([address]) => {
    const policies = [
      publicOnly,
      AddressPolicy.noMetadata,
      AddressPolicy.make({ allow: [{ host: "a.test", cidr: "0.0.0.0/1" }, { port: 80 }], deny: [{ host: "b.test" }] })
    ]
    for (const policy of policies) {
      for (const host of ["a.test", "b.test", "c.test"]) {
        for (const port of [80, 443]) {
          if (AddressPolicy.checkHost(policy, { host, port })._tag === "Denied") {
            assert.isDefined(judge(policy, address.join("."), host, port))
          }
        }
      }
    }
  })

  it("a service in a cloud keeps its own network, and no way to its credentials", () => {
    const { noMetadata } = AddressPolicy
    assert.isUndefined(judge(noMetadata, "10.0.0.1"))
    assert.strictEqual(judge(noMetadata, "::ffff:169.254.169.254"), "metadata is denied")
    assert.strictEqual(judge(noMetadata, "169.254.7.7"), "linkLocal is denied")
  })

  it("rules that cannot be read are refused in words", () => {
    const refuses = (rule: AddressPolicy.Rule, words: RegExp) =>
      assert.throws(() => AddressPolicy.make({ deny: [{ port: 1 }, rule] }), RangeError, words)
    refuses({}, /^AddressPolicy: deny\[1\] must have a host, a port, a cidr or a group, got \{\}$/)
    refuses({ port: 65_536 }, /deny\[1\]\.port must be a whole number from 0 to 65535, got 65536/)
    refuses({ cidr: "10.0.0.1/8" }, /deny\[1\]\.cidr must be .* without bits behind its prefix.*, got 10\.0\.0\.1\/8/)
    for (const cidr of ["10.0.0.0/33", "::/129", "ten", "", "10.0.0.0/", "10.0.0/8", "fe80::%eth0/10", "[::1]"]) {
      refuses({ cidr }, /deny\[1\]\.cidr must be/)
    }
    refuses({ host: "10.0.0.1" }, /deny\[1\]\.host must be a name \(an address is a cidr: \{ cidr: "10\.0\.0\.1" \}\)/)
    refuses({ host: "[::1]" }, /an address is a cidr: \{ cidr: "::1" \}/)
    for (const host of ["", "*", "*.", "a.*.test", "http://a.test", "a.test:80", "a b", "a..b"]) {
      refuses({ host }, /deny\[1\]\.host must be a name such as/)
    }
    // a program in plain JavaScript has no type to stop it
    refuses(
      { group: "local" as AddressPolicy.Group },
      /deny\[1\]\.group must be one of public, metadata, .*, got local/
    )
    assert.throws(() => AddressPolicy.make({ allow: [{ port: -1 }] }), RangeError, /allow\[0\]\.port/)
    assert.doesNotThrow(() => AddressPolicy.make({ allow: [{ port: 0 }, { port: 65_535 }] }))
  })
})

describe("allowedOf", () => {
  const of = (...addresses: ReadonlyArray<string>) =>
    addresses.map((address) => ({ address, family: address.includes(":") ? (6 as const) : (4 as const) }))

  it("what is denied is left out, in order; only when nothing is left is the call denied, by the first rule", () => {
    const mixed = of("10.0.0.1", "2606:4700::1111", "127.0.0.1", "8.8.8.8")
    assert.deepStrictEqual(allowedOf(publicOnly, "a.test", 443, mixed), of("2606:4700::1111", "8.8.8.8"))
    const denied = allowedOf(publicOnly, "a.test", 443, of("10.0.0.1", "127.0.0.1"))
    if (!(denied instanceof AddressDenied)) return assert.fail("not denied")
    assert.strictEqual(denied.message, "a.test:443: 10.0.0.1 may not be called (private is denied); nothing was sent")
    assert.deepStrictEqual(allowedOf(publicOnly, "a.test", 443, []), [])
  })

  it("a host may be denied before it is resolved", () => {
    assert.isUndefined(deniedHost(publicOnly, "a.test", 443))
    assert.strictEqual(
      deniedHost(publicOnly, "::1", 443)?.message,
      "[::1]:443: ::1 may not be called (loopback is denied); nothing was sent"
    )
  })
})
