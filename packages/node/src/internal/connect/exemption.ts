/** Which hosts NO_PROXY exempts from a proxy. */

import { BlockList, isIP } from "node:net"
import { domainToASCII } from "node:url"

/** The hosts that are called without a proxy: everything, names below a suffix, or addresses; at one port, or at any. */
export type Exemption =
  | { readonly _tag: "Everything"; readonly port: number | undefined }
  | {
      readonly _tag: "Names"
      readonly suffix: string
      /** Whether the suffix is itself such a name, or only names below it. */
      readonly itself: boolean
      readonly port: number | undefined
    }
  | {
      readonly _tag: "Addresses"
      readonly addresses: BlockList
      readonly family: 4 | 6
      readonly port: number | undefined
    }

/**
 * Reads one entry of a NO_PROXY list; gives `undefined` for one that can match nothing, such as `10.*` or `192.168.`.
 *
 * Nothing standardises these entries. Where the programs differ, an entry means the most plain reading of it: see the table
 * of the tests, which has the readings of curl and Go beside it.
 */
export const parseExemption = (entry: string): Exemption | undefined => {
  const text = entry.trim().toLowerCase()
  const slash = text.indexOf("/")
  if (slash >= 0) return networkOf(text.slice(0, slash), text.slice(slash + 1))
  const parts = splitPort(text)
  if (parts === undefined) return undefined
  const { host, port } = parts
  if (host === "*") return { _tag: "Everything", port }
  const family = familyOf(host)
  if (family !== 0) {
    const addresses = new BlockList()
    addresses.addAddress(host, family === 4 ? "ipv4" : "ipv6")
    return { _tag: "Addresses", addresses, family, port }
  }
  const below = host.startsWith("*.")
  const suffix = asciiName(below ? host.slice(2) : host.replace(/^\./, ""))
  return isName(suffix) ? { _tag: "Names", suffix, itself: !below, port } : undefined
}

/** Whether a host, as a URL has it, is called without a proxy. */
export const isExempt = (exemptions: ReadonlyArray<Exemption>, host: string, port: number): boolean => {
  if (exemptions.length === 0) return false
  const name = asciiName(host.replace(/^\[(.*)\]$/, "$1").toLowerCase())
  const family = familyOf(name)
  return exemptions.some((exemption) => {
    if (exemption.port !== undefined && exemption.port !== port) return false
    switch (exemption._tag) {
      case "Everything":
        return true
      case "Names":
        return (
          family === 0 && ((exemption.itself && name === exemption.suffix) || name.endsWith(`.${exemption.suffix}`))
        )
      case "Addresses":
        // A list takes an IPv4 address for the IPv6 one that it is mapped to, so that ::/0 would hold them all. The other way
        // round is wanted: ::ffff:10.0.0.1 is 10.0.0.1.
        return (
          (family === 4 && exemption.family === 4 && exemption.addresses.check(name, "ipv4")) ||
          (family === 6 && exemption.addresses.check(name, "ipv6"))
        )
    }
  })
}

const networkOf = (address: string, bits: string): Exemption | undefined => {
  const family = familyOf(address)
  if (family === 0 || !/^\d{1,3}$/.test(bits)) return undefined
  const prefix = Number(bits)
  if (prefix > (family === 4 ? 32 : 128)) return undefined
  const addresses = new BlockList()
  addresses.addSubnet(address, prefix, family === 4 ? "ipv4" : "ipv6")
  return { _tag: "Addresses", addresses, family, port: undefined }
}

/** `host`, `host:port`, `::1`, `[::1]` and `[::1]:port`. */
const splitPort = (text: string): { readonly host: string; readonly port: number | undefined } | undefined => {
  if (isIP(text) === 6) return { host: text, port: undefined }
  const bracketed = /^\[([^\]]*)\](?::(\d{1,5}))?$/.exec(text)
  const [, host = "", digits] = bracketed ?? /^([^:]*)(?::(\d{1,5}))?$/.exec(text) ?? []
  if (host === "" || (bracketed !== null && isIP(host) !== 6)) return undefined
  const port = digits === undefined ? undefined : Number(digits)
  return port !== undefined && port > 65_535 ? undefined : { host, port }
}

/** 0 for a name, and for an address with a zone: no URL has one (RFC 6874 is withdrawn), and no list takes one. */
const familyOf = (host: string): 0 | 4 | 6 => {
  const family = isIP(host)
  return family === 4 || (family === 6 && !host.includes("%")) ? family : 0
}

/** A name as a resolver gets it: a dot at its end says only that it is whole. */
const asciiName = (name: string): string => {
  const whole = name.endsWith(".") ? name.slice(0, -1) : name
  // an URL holds no others, and looking is much cheaper than converting
  return /[^\0-\x7f]/.test(whole) ? domainToASCII(whole) : whole
}

/** Whether a host can have this name: one that ends in a number is read as an IPv4 address (WHATWG URL, §3.5). */
const isName = (name: string): boolean => /^[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name) && !/(^|\.)\d+$/.test(name)

/** This machine, by every name that it has for itself (RFC 6761 §6.3). */
export const loopback: ReadonlyArray<Exemption> = ["localhost", "127.0.0.0/8", "::1"].flatMap(
  (entry) => parseExemption(entry) ?? []
)
