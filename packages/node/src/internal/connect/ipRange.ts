/** IP addresses and ranges of them as numbers, and which address is in which range. */

import { isIP } from "node:net"

/**
 * An IP address as its bits: 32 of them, or 128.
 *
 * Node's `BlockList` is not enough for rules about addresses: it knows a mapped address, but none of the other ways in which IPv6
 * carries IPv4, and it takes every IPv4 address for one within `::/0`.
 */
export interface Ip {
  readonly family: 4 | 6
  readonly bits: bigint
}

/** The addresses that share their first `prefix` bits. */
export interface IpRange {
  readonly family: 4 | 6
  /** The bits that they share, moved to the right. */
  readonly head: bigint
  readonly prefix: number
}

const width = { 4: 32, 6: 128 } as const

const ipv4Bits = (text: string): bigint => text.split(".").reduce((bits, part) => (bits << 8n) | BigInt(part), 0n)

/** Only for texts that Node takes for an IPv6 address. */
const ipv6Bits = (text: string): bigint => {
  // the last two groups may be written as an IPv4 address
  const dotted = /[\d.]+$/.exec(text)?.[0] ?? ""
  const tail = dotted.includes(".") ? ipv4Bits(dotted) : undefined
  const hexadecimal =
    tail === undefined
      ? text
      : `${text.slice(0, -dotted.length)}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`
  const [left = "", right] = hexadecimal.split("::")
  const groupsOf = (part: string | undefined): ReadonlyArray<string> =>
    part === undefined || part === "" ? [] : part.split(":")
  const before = groupsOf(left)
  const after = groupsOf(right)
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => "0")
  return [...before, ...zeros, ...after].reduce((bits, group) => (bits << 16n) | BigInt(`0x${group}`), 0n)
}

/** An address in the spelling of Node; a zone (`%eth0`) says which interface, and is no part of the address. */
export const parseIp = (text: string): Ip | undefined => {
  const family = isIP(text)
  if (family === 4) return { family, bits: ipv4Bits(text) }
  if (family === 6) return { family, bits: ipv6Bits(text.replace(/%.*$/, "")) }
  return undefined
}

/** A range such as `10.0.0.0/8`, or a single address. `undefined` when it is neither, or when bits are set behind the prefix. */
export const parseRange = (text: string): IpRange | undefined => {
  const match = /^([^/%]+)(?:\/(\d{1,3}))?$/.exec(text)
  const ip = parseIp(match?.[1] ?? "")
  if (ip === undefined) return undefined
  const all = width[ip.family]
  const prefix = match?.[2] === undefined ? all : Number(match[2])
  if (prefix > all) return undefined
  const rest = BigInt(all - prefix)
  const head = ip.bits >> rest
  return head << rest === ip.bits ? { family: ip.family, head, prefix } : undefined
}

export const contains = (range: IpRange, ip: Ip): boolean =>
  range.family === ip.family && ip.bits >> BigInt(width[ip.family] - range.prefix) === range.head

const range = (text: string): IpRange => {
  const parsed = parseRange(text)
  if (parsed === undefined) throw new Error(`${text} is not a range`)
  return parsed
}

const mapped = range("::ffff:0:0/96")

/** The IPv4 range that one of mapped addresses stands for. */
export const unmappedRange = (given: IpRange): IpRange =>
  given.family === 6 && given.prefix >= 96 && given.head >> BigInt(given.prefix - 96) === mapped.head
    ? {
        family: 4,
        head: given.head & ((1n << BigInt(given.prefix - 96)) - 1n),
        prefix: given.prefix - 96
      }
    : given

/** Where an IPv6 address holds an IPv4 address that packets to it may end at, and how far that is from its right end. */
const carriers: ReadonlyArray<readonly [range: IpRange, shift: bigint]> = [
  [mapped, 0n],
  [range("::/96"), 0n], // IPv4-compatible (RFC 4291 §2.5.5.1), deprecated
  [range("::ffff:0:0:0/96"), 0n], // IPv4-translated (RFC 2765 §2.1)
  [range("64:ff9b::/96"), 0n], // NAT64 (RFC 6052 §2.1)
  [range("2002::/16"), 80n] // 6to4 (RFC 3056 §2)
]

/** The address itself: an IPv4-mapped one is the IPv4 address, since the system connects to that. */
export const canonical = (ip: Ip): Ip => (contains(mapped, ip) ? { family: 4, bits: ip.bits & 0xffff_ffffn } : ip)

const unspecifiedOrLoopback = range("::/127")

/** An address, and the IPv4 address that it leads to. */
export const facesOf = (ip: Ip): ReadonlyArray<Ip> => [
  ip,
  ...(contains(unspecifiedOrLoopback, ip) ? [] : carriers).flatMap(([range, shift]): ReadonlyArray<Ip> =>
    contains(range, ip) ? [{ family: 4, bits: (ip.bits >> shift) & 0xffff_ffffn }] : []
  )
]
