/**
 * The subject of a request, in a few words that go along with it from service to service: a tenant, a test run, a region. It is the
 * `baggage` header of W3C Baggage, and goes to an upstream that is to have it: `propagateTrace: { baggage: true }`.
 *
 * **When to use**: {@link fromHeader} where a request comes in, {@link withMember} where something is known that all services below
 * should know, and {@link Current} to read it.
 *
 * **What it is not**: a place for secrets, or for values that a service must be able to trust. Every service on the way can read it and
 * change it.
 *
 * **Gotchas**: at most 64 members and 8192 bytes are sent. A member without room is left out whole; later members that fit are
 * sent.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Baggage, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", {
 *   baseUrl: "https://stock.internal",
 *   propagateTrace: { baggage: true }
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   yield* stock.get("/items").pipe(Baggage.withMember("tenant", "Müller & Co"))
 *   const { requests } = yield* ScriptedTransport.seen
 *   console.log(requests[0]?.headers["baggage"])
 * })
 *
 * const script = ScriptedTransport.layer({ "*": [ScriptedTransport.json({})] })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provideMerge(script)))))
 * // => tenant=M%C3%BCller%20%26%20Co
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * The entry of one key.
 *
 * @category models
 * @since 0.1.0
 */
export interface Member {
  readonly value: string
  /** Its properties, as they came: `ttl=30;hidden`. It is passed on. */
  readonly properties?: string | undefined
}

/**
 * Members by their keys, in the order in which they are sent.
 *
 * @category models
 * @since 0.1.0
 */
export type Baggage = ReadonlyMap<string, Member>

/**
 * The bounds of the sent header (W3C Baggage, "limits": every service must pass on at least so much).
 *
 * @category defaults
 * @since 0.1.0
 */
export const limits = { members: 64, bytes: 8192 } as const

/**
 * The baggage of the running fiber. Default: none.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<Baggage> = Context.Reference<Baggage>("@holdfast/http/Baggage/Current", {
  defaultValue: () => new Map()
})

/** RFC 9110 §5.6.2. */
const token = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/

/**
 * Runs an effect with one member more, or another value for one. Throws a `RangeError` for a key that a header may not have.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withMember = (
  key: string,
  value: string
): (<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) => {
  if (!token.test(key)) {
    throw new RangeError(
      `Baggage: a key must be a token (letters, digits and !#$%&'*+-.^_\`|~), got ${JSON.stringify(key)}`
    )
  }
  return Effect.updateService(Current, (current) => new Map(current).set(key, { value }))
}

/**
 * Reads a header. A member that is not well-formed, or has no room within the limits, is left out, and no other one with it.
 *
 * ```ts
 * import { Baggage } from "holdfast"
 *
 * const baggage = Baggage.fromHeader("tenant=acme;ttl=30, region=eu%20west, nonsense")
 * console.log(baggage.get("tenant"), baggage.get("region")?.value) // => { value: 'acme', properties: 'ttl=30' } eu west
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromHeader = (header: string): Baggage => {
  const baggage = new Map<string, Member>()
  let bytes = 0
  for (const member of withinLimit(header).split(",")) {
    const [pair = "", ...rest] = member.split(";")
    const at = pair.indexOf("=")
    const key = pair.slice(0, at).trim()
    const value = decoded(pair.slice(at + 1).trim())
    if (at === -1 || !token.test(key) || value === undefined) continue
    // a member that does not fit leaves its room to later ones
    const room = bytes + (bytes === 0 ? 0 : 1) + member.length
    if (room > limits.bytes || (baggage.size >= limits.members && !baggage.has(key))) continue
    bytes = room
    const properties = rest.map((property) => property.trim()).join(";")
    baggage.set(key, properties === "" ? { value } : { value, properties })
  }
  return baggage
}

/** The bounds of parsing a header: one member that is too long leaves room for those behind it, and many do not. */
const longestRead = limits.bytes * 8

/** Whole members only. */
const withinLimit = (header: string): string =>
  header.length <= longestRead ? header : header.slice(0, Math.max(0, header.lastIndexOf(",", longestRead)))

const decoded = (value: string): string | undefined => {
  // W3C Baggage §3.3.1.3, baggage-octet
  if (!/^[!#-+\--:<-[\]-~]*$/.test(value)) return undefined
  try {
    return decodeURIComponent(value)
  } catch {
    return undefined
  }
}

/** The characters that may stand after a value without being taken for another member, or another header. */
const sendable = /^[!-+\--~ \t]*$/

/**
 * The header, within the limits; empty when there is nothing to send.
 *
 * ```ts
 * import { Baggage } from "holdfast"
 *
 * console.log(Baggage.toHeader(new Map([["tenant", { value: "acme, inc" }], ["run", { value: "7", properties: "ttl=30" }]])))
 * // => tenant=acme%2C%20inc,run=7;ttl=30
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const toHeader = (baggage: Baggage): string => {
  let header = ""
  let members = 0
  for (const [key, { properties: given = "", value }] of baggage) {
    if (members === limits.members) break
    const properties = given.trim()
    if (!token.test(key) || !sendable.test(properties)) continue
    const member = `${key}=${encodeURIComponent(value.toWellFormed())}${properties === "" ? "" : `;${properties}`}`
    const separator = header === "" ? "" : ","
    // it is ASCII by now, so that its length is its bytes
    if (header.length + separator.length + member.length > limits.bytes) continue
    header += separator + member
    members++
  }
  return header
}
