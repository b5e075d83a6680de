import { Effect, Schema } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Baggage from "../src/Baggage.ts"

const of = (members: Readonly<Record<string, string>>): Baggage.Baggage =>
  new Map(Object.entries(members).map(([key, value]) => [key, { value }]))

describe("Baggage", () => {
  it("reads what the specification shows", () => {
    assert.deepStrictEqual(
      [...Baggage.fromHeader("key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue")],
      [
        ["key1", { value: "value1", properties: "property1;property2" }],
        ["key2", { value: "value2" }],
        ["key3", { value: "value3", properties: "propertyKey=propertyValue" }]
      ]
    )
    assert.deepStrictEqual(
      [...Baggage.fromHeader("serverNode=DF%2028,isProduction=false")],
      [
        ["serverNode", { value: "DF 28" }],
        ["isProduction", { value: "false" }]
      ]
    )
  })

  it("leaves out what is not well-formed, and keeps the rest", () => {
    for (const broken of ["", "key", "=value", "k y=1", "key=a b", 'key="a"', "key=%zz", "key=a\\b", "ключ=1"]) {
      assert.deepStrictEqual([...Baggage.fromHeader(`${broken},kept=1`).keys()], ["kept"], broken)
    }
  })

  it("leaves out a member that has no room, and keeps those behind it", () => {
    assert.deepStrictEqual([...Baggage.fromHeader(`first=1,long=${"x".repeat(9000)},last=2`).keys()], ["first", "last"])
    assert.strictEqual(Baggage.fromHeader(`a=${"x".repeat(8190)}`).size, 1)
    assert.deepStrictEqual([...Baggage.fromHeader(`a=${"x".repeat(8190)},b=1`).keys()], ["a"])
    const many = Array.from({ length: 64 }, (_, at) => `key${at}=${at}`).join(",")
    const read = Baggage.fromHeader(`${many},key65=1,key3=again`)
    assert.deepStrictEqual([read.size, read.has("key65"), read.get("key3")?.value], [64, false, "again"])
  })

  it.prop("what is sent is read as it was", [Schema.Array(Schema.Tuple([Schema.Int, Schema.String]))], ([members]) => {
    const given = members.slice(0, 20).map(([key, value]) => [`k${key}`, { value: value.toWellFormed() }] as const)
    const baggage: Baggage.Baggage = new Map(given)
    const header = Baggage.toHeader(baggage)
    assert.match(header, /^[!-~]*$/)
    assert.deepStrictEqual([...Baggage.fromHeader(header)], [...baggage])
  })

  it("sends 64 members at most", () => {
    const many = of(Object.fromEntries(Array.from({ length: 70 }, (_, at) => [`key${at}`, String(at)])))
    const sent = Baggage.toHeader(many).split(",")
    assert.deepStrictEqual([sent.length, sent.at(-1)], [64, "key63=63"])
    assert.strictEqual(Baggage.fromHeader(`${Baggage.toHeader(many)},one=more`).size, 64)
  })

  it("keeps 8192 bytes of what it is sent at most, every member and its comma counted", () => {
    const member = `=${"x".repeat(95)}`
    const many = Array.from({ length: 60 }, (_, at) => `key${at + 10}${member}`)
    assert.strictEqual(Baggage.fromHeader(many.join(",")).size, 60)
    const long = Array.from({ length: 60 }, (_, at) => `key${at + 10}=${"x".repeat(194)}`)
    // 201 bytes each with its comma
    assert.strictEqual(Baggage.fromHeader(long.join(",")).size, 40)
    assert.strictEqual(Baggage.fromHeader(`a=${"x".repeat(8189)}`).size, 1)
    assert.strictEqual(Baggage.fromHeader(`a=${"x".repeat(8191)}`).size, 0)
  })

  it("sends 8192 bytes at most, cuts no member, and goes on with those that have room", () => {
    // percent-encoded, the long one has six bytes for each letter
    const header = Baggage.toHeader(of({ first: "1", long: "ü".repeat(1400), last: "2" }))
    assert.strictEqual(header, "first=1,last=2")
    const full = Baggage.toHeader(of({ a: "x".repeat(8190) }))
    assert.strictEqual(full.length, 8192)
    assert.strictEqual(Baggage.toHeader(of({ a: "x".repeat(8191) })), "")
    assert.strictEqual(Baggage.toHeader(of({ a: "x".repeat(8186), b: "", c: "" })).split(",").length, 2)
  })

  it("sends nothing that would be another member or another header", () => {
    const header = Baggage.toHeader(
      new Map([
        ["tenant", { value: "a,b=c;d\r\nx-admin: 1" }],
        ["bad key", { value: "1" }],
        ["bad", { value: "1", properties: "ttl=1, role=admin" }],
        ["worse", { value: "1", properties: "ttl=1\r\nx-admin: 1" }],
        ["good", { value: "\ud800", properties: "ttl=1" }]
      ])
    )
    assert.strictEqual(header, "tenant=a%2Cb%3Dc%3Bd%0D%0Ax-admin%3A%201,good=%EF%BF%BD;ttl=1")
  })

  it.effect("a member is there for the effect that it is given to, and for nothing else", () =>
    Effect.gen(function* () {
      const now = Effect.map(Baggage.Current, (baggage) => Baggage.toHeader(baggage))
      const inner = now.pipe(Baggage.withMember("b", "2"), Baggage.withMember("b", "0"), Baggage.withMember("a", "1"))
      assert.deepStrictEqual([yield* inner, yield* now], ["a=1,b=2", ""])
      assert.throws(() => Baggage.withMember("a b", "1"), RangeError, "must be a token")
    })
  )
})
