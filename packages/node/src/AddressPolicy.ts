/**
 * Which hosts, ports and addresses may be called. A URL that somebody else had a say in (a webhook, a redirect, an avatar) may lead to
 * the machine itself, to the network behind it or to the cloud's credentials; a policy refuses that where it counts, at the
 * addresses that a name turned out to stand for.
 *
 * **When to use**: `AddressPolicy.publicOnly` for URLs of users; an allow list for a service that is to call its own upstreams and
 * nothing else.
 *
 * **What it is not**: a firewall. It binds the transport that it is given to, and no other code of the process. A proxy resolves
 * names by itself: behind one, only hosts and ports are judged, and the proxy needs rules of its own.
 *
 * **Gotchas**: `deny` wins over `allow`, and where there is an allow list everything else is refused. To let some private addresses
 * through and no others, allow instead of denying: `allow: [{ group: "public" }, { cidr: "10.1.0.0/16" }]`. A rule that names a
 * host allows it at any address, so that the owner of its DNS chooses the address: deny groups beside it.
 *
 * An IPv6 address that holds an IPv4 address is denied by rules for either: mapped, compatible and translated ones, NAT64
 * (`64:ff9b::/96`) and 6to4. For an allow list only a mapped address is its IPv4 address. The prefix of a NAT64 of your own is not
 * known here: deny it by its range.
 *
 * ```ts
 * import { AddressPolicy } from "holdfast/node"
 *
 * const policy = AddressPolicy.make({
 *   allow: [{ host: "*.example.com", port: 443 }],
 *   deny: AddressPolicy.notPublic
 * })
 *
 * console.log(AddressPolicy.check(policy, { host: "api.example.com", port: 443, address: "93.184.216.34" }))
 * // => { _tag: 'Allowed' }
 * console.log(AddressPolicy.check(policy, { host: "api.example.com", port: 443, address: "::ffff:10.0.0.1" }))
 * // => { _tag: 'Denied', rule: 'private is denied' }
 * console.log(AddressPolicy.checkHost(policy, { host: "example.org", port: 443 }))
 * // => { _tag: 'Denied', rule: 'only *.example.com:443 is allowed' }
 * ```
 *
 * @since 0.1.0
 */

import { domainToASCII } from "node:url"
import { groupNames, isInGroup, type SpecialGroup } from "./internal/connect/addressGroups.ts"
import {
  canonical,
  contains,
  facesOf,
  type Ip,
  type IpRange,
  parseIp,
  parseRange,
  unmappedRange
} from "./internal/connect/ipRange.ts"

/**
 * Addresses by their purpose.
 *
 * - `loopback`: this machine: `127.0.0.0/8`, `::1`, and the unspecified addresses, which lead there too
 * - `unspecified`: `0.0.0.0` and `::`
 * - `private`: RFC 1918, and the shared `100.64.0.0/10`
 * - `uniqueLocal`: the private addresses of IPv6, `fc00::/7`
 * - `linkLocal`: `169.254.0.0/16` and `fe80::/10`
 * - `metadata`: the services of clouds that give credentials to a machine, such as `169.254.169.254` and `fd00:ec2::254`
 * - `multicast`: `224.0.0.0/4` and `ff00::/8`
 * - `reserved`: documentation, benchmarks, broadcast, and any others that are not assigned to the public
 * - `public`: none of the above
 *
 * @category models
 * @since 0.1.0
 */
export type Group = SpecialGroup | "public"

/**
 * The addresses that a rule allows or denies. At least one of the parts; an address is meant if it has all of them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rule {
  /** A name, `api.example.com`, or all names below one at any depth, `*.example.com`. Upper case and the last dot mean nothing. */
  readonly host?: string | undefined
  /** From 0 to 65535. */
  readonly port?: number | undefined
  /** A range of addresses, `10.0.0.0/8`, or one address. */
  readonly cidr?: string | undefined
  readonly group?: Group | undefined
}

/**
 * The rules of a policy.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Addresses that may be called; everything else may not. Left out, everything may that is not denied. An empty list allows nothing. */
  readonly allow?: ReadonlyArray<Rule> | undefined
  /** Addresses that may not be called, allowed or not. Default: nothing. */
  readonly deny?: ReadonlyArray<Rule> | undefined
}

/**
 * The decision on one address.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict = Allowed | Denied

/**
 * It may be called; from `checkHost`: that depends on its address, if on anything.
 *
 * @category models
 * @since 0.1.0
 */
export interface Allowed {
  readonly _tag: "Allowed"
}

/**
 * It may not be called, and by which rule: `loopback is denied`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Denied {
  readonly _tag: "Denied"
  readonly rule: string
}

/** A rule that has been read. */
interface ReadRule {
  readonly text: string
  readonly matchesHost: ((host: string) => boolean) | undefined
  readonly port: number | undefined
  readonly range: IpRange | undefined
  readonly group: Group | undefined
}

/**
 * Rules that have been read, made by `make`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AddressPolicy {
  /** @internal */
  readonly allow: ReadonlyArray<ReadRule> | undefined
  /** @internal */
  readonly deny: ReadonlyArray<ReadRule>
}

const allowed: Allowed = { _tag: "Allowed" }

/** A name as rules compare it: without upper case, final dots, and differences in how letters beyond ASCII are written. */
const comparable = (host: string): string => {
  const bare = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host
  if (parseIp(bare) !== undefined) return bare
  // empty for a text that cannot be a host, and cut short at a character that would end one in a URL
  const ascii = /[\s/\\?#@:%]/.test(bare) ? "" : domainToASCII(bare)
  return (ascii === "" ? bare.toLowerCase() : ascii).replace(/\.+$/, "")
}

const badRule = (where: string, must: string, got: unknown): RangeError =>
  new RangeError(`AddressPolicy: ${where} must ${must}, got ${String(got)}`)

const readHost = (where: string, given: string): ((host: string) => boolean) => {
  const isWild = given.startsWith("*.")
  const name = comparable(isWild ? given.slice(2) : given)
  if (parseIp(name) !== undefined) {
    throw badRule(`${where}.host`, `be a name (an address is a cidr: { cidr: "${name}" })`, given)
  }
  if (!/^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name)) {
    throw badRule(`${where}.host`, "be a name such as api.example.com or *.example.com", given)
  }
  return isWild ? (host) => host.endsWith(`.${name}`) : (host) => host === name
}

const readRange = (where: string, given: string): IpRange => {
  const range = parseRange(given)
  if (range === undefined) {
    throw badRule(`${where}.cidr`, "be an address or a range without bits behind its prefix, such as 10.0.0.0/8", given)
  }
  return unmappedRange(range)
}

const read =
  (list: "allow" | "deny") =>
  (rule: Rule, index: number): ReadRule => {
    const where = `${list}[${index}]`
    const { cidr, group, host, port } = rule
    if (host === undefined && port === undefined && cidr === undefined && group === undefined) {
      throw badRule(where, "have a host, a port, a cidr or a group", JSON.stringify(rule))
    }
    if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65_535)) {
      throw badRule(`${where}.port`, "be a whole number from 0 to 65535", port)
    }
    if (group !== undefined && group !== "public" && !groupNames.includes(group)) {
      throw badRule(`${where}.group`, `be one of public, ${groupNames.join(", ")}`, group)
    }
    const what = [host, cidr, group].filter((part) => part !== undefined).join(" at ")
    return {
      text:
        what === ""
          ? `port ${port}`
          : port === undefined
            ? what
            : `${what}${cidr === undefined ? ":" : " port "}${port}`,
      matchesHost: host === undefined ? undefined : readHost(where, host),
      port,
      range: cidr === undefined ? undefined : readRange(where, cidr),
      group
    }
  }

/**
 * Reads the rules. Throws a `RangeError` that says which of them cannot be read, and why.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): AddressPolicy => ({
  allow: options.allow?.map(read("allow")),
  deny: (options.deny ?? []).map(read("deny"))
})

/**
 * Every group of addresses that is not public, for the deny list of a policy of your own.
 *
 * @category presets
 * @since 0.1.0
 */
export const notPublic: ReadonlyArray<Rule> = groupNames.map((group) => ({ group }))

/**
 * Only public addresses: for URLs that others had a say in.
 *
 * @category presets
 * @since 0.1.0
 */
export const publicOnly: AddressPolicy = make({ deny: notPublic })

/**
 * Everything but the metadata services of clouds and link-local addresses: the least that a service in a cloud should refuse, which
 * leaves it its own network.
 *
 * @category presets
 * @since 0.1.0
 */
export const noMetadata: AddressPolicy = make({ deny: [{ group: "metadata" }, { group: "linkLocal" }] })

const isSpecial = (ip: Ip): boolean => groupNames.some((name) => isInGroup(name, ip))

const isPublic = (ip: Ip): boolean => !facesOf(ip).some(isSpecial)

/** Whether a denying rule covers an address, in any form in which packets reach it. */
const reaches = (rule: ReadRule, faces: ReadonlyArray<Ip>): boolean => {
  const { group, range } = rule
  if (range !== undefined && !faces.some((face) => contains(range, face))) return false
  if (group === undefined) return true
  return group === "public" ? faces.every((face) => !isSpecial(face)) : faces.some((face) => isInGroup(group, face))
}

/** Whether a rule that allows means an address. */
const covers = (rule: ReadRule, ip: Ip): boolean => {
  const { group, range } = rule
  if (range !== undefined && !contains(range, ip)) return false
  return group === undefined || (group === "public" ? isPublic(ip) : isInGroup(group, ip))
}

const concerns = (rule: ReadRule, host: string, port: number): boolean =>
  (rule.port === undefined || rule.port === port) && (rule.matchesHost === undefined || rule.matchesHost(host))

/** How many rules of an allow list a refusal names. */
const namedRules = 3

const notAllowed = (rules: ReadonlyArray<ReadRule>): Denied => {
  const named = rules.slice(0, namedRules).map(({ text }) => text)
  const others = rules.length - named.length
  const all = [...named, ...(others > 0 ? [`${others} more`] : [])]
  const last = all.at(-1)
  const list = all.length > 1 ? `${all.slice(0, -1).join(", ")} and ${last}` : last
  return {
    _tag: "Denied",
    rule: list === undefined ? "nothing is allowed" : `only ${list} ${all.length > 1 ? "are" : "is"} allowed`
  }
}

const denied = ({ text }: ReadRule): Denied => ({ _tag: "Denied", rule: `${text} is denied` })

/**
 * Whether a connection to this address may be made for that host and port. A text that is no IP address is denied.
 *
 * @category checks
 * @since 0.1.0
 */
export const check = (
  policy: AddressPolicy,
  target: { readonly host: string; readonly port: number; readonly address: string }
): Verdict => {
  const { address, port } = target
  const given = parseIp(address)
  if (given === undefined) return { _tag: "Denied", rule: "it is not an IP address" }
  const host = comparable(target.host)
  const faces = facesOf(given)
  const denying = policy.deny.find((rule) => concerns(rule, host, port) && reaches(rule, faces))
  if (denying !== undefined) return denied(denying)
  const ip = canonical(given)
  const isAllowed = policy.allow?.some((rule) => concerns(rule, host, port) && covers(rule, ip)) ?? true
  return isAllowed ? allowed : notAllowed(policy.allow ?? [])
}

/**
 * The decision before a name is resolved: `Denied` is final, and spares the look-up; `Allowed` leaves it to `check`. A host that is
 * an IP address, in any spelling, is judged as such.
 *
 * @category checks
 * @since 0.1.0
 */
export const checkHost = (policy: AddressPolicy, target: { readonly host: string; readonly port: number }): Verdict => {
  const { port } = target
  const host = comparable(target.host)
  if (parseIp(host) !== undefined) return check(policy, { host, port, address: host })
  const isAboutHost = (rule: ReadRule): boolean => rule.range === undefined && rule.group === undefined
  const denying = policy.deny.find((rule) => isAboutHost(rule) && concerns(rule, host, port))
  if (denying !== undefined) return denied(denying)
  const mayBeAllowed = policy.allow?.some((rule) => concerns(rule, host, port)) ?? true
  return mayBeAllowed ? allowed : notAllowed(policy.allow ?? [])
}
