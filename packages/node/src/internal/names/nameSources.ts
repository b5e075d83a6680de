/** The sources of the addresses of a host, and the error of each when it has none. */

import * as dns from "node:dns"
import * as Effect from "effect/Effect"
import { type Address, distinct } from "../connect/addressOrder.ts"

/** A source's answer for a host that it knows. */
export interface Found {
  readonly addresses: ReadonlyArray<Address>
  /** `undefined` when the source does not say. */
  readonly timeToLiveMillis: number | undefined
}

/** Why a source gives no address: the code of Node. */
export interface NotFound {
  readonly code: string
}

/** How long the answer for one family waits for that of the other (RFC 8305 §3, "Resolution Delay"). */
const resolutionDelayMillis = 50

/** The codes that say that a name has no address. Everything else says nothing of the name: the resolver is down. */
const negative: ReadonlySet<string> = new Set([
  "ENOTFOUND",
  "ENODATA",
  // a name that cannot be one
  "EBADNAME",
  "ERR_INVALID_ARG_VALUE"
])

export const isNegative = (code: string): boolean => negative.has(code)

const codeOf = (error: NodeJS.ErrnoException): string => error.code ?? "EAI_FAIL"

/** Only the end of a look-up is told: getaddrinfo cannot be called off. */
export const askSystem = (host: string): Effect.Effect<Found, NotFound> =>
  Effect.callback((resume) => {
    try {
      dns.lookup(host, { all: true, order: "verbatim" }, (error, found) => {
        if (error !== null) return resume(Effect.fail({ code: codeOf(error) }))
        const addresses = found.map(({ address, family }): Address => ({ address, family: family === 6 ? 6 : 4 }))
        resume(Effect.succeed({ addresses: distinct(addresses), timeToLiveMillis: undefined }))
      })
    } catch (error) {
      // a name that Node refuses is thrown, and is always one of its own errors
      resume(Effect.fail({ code: codeOf(error as NodeJS.ErrnoException) }))
    }
  })

/** The result of the query for one family. */
type Half = { readonly records: ReadonlyArray<dns.RecordWithTtl> } | { readonly code: string }

/**
 * Asks name servers for A and AAAA at once. One of both may fail, and neither waits for the other longer than a moment; an
 * answer with one family only, for that reason, is to be looked up again soon.
 */
export const askServers =
  (resolver: dns.Resolver) =>
  (host: string): Effect.Effect<Found, NotFound> =>
    Effect.callback((resume) => {
      let ipv4: Half | undefined
      let ipv6: Half | undefined
      let patience: NodeJS.Timeout | undefined
      const settle = (): void => {
        clearTimeout(patience)
        resume(judged(ipv4, ipv6))
      }
      const onHalf = (): void => {
        if (ipv4 !== undefined && ipv6 !== undefined) return settle()
        if ("records" in (ipv4 ?? ipv6 ?? {})) patience = setTimeout(settle, resolutionDelayMillis)
      }
      resolver.resolve4(host, { ttl: true }, (error, records) => {
        ipv4 = error === null ? { records } : { code: codeOf(error) }
        onHalf()
      })
      resolver.resolve6(host, { ttl: true }, (error, records) => {
        ipv6 = error === null ? { records } : { code: codeOf(error) }
        onHalf()
      })
      return Effect.sync(() => clearTimeout(patience))
    })

const judged = (ipv4: Half | undefined, ipv6: Half | undefined): Effect.Effect<Found, NotFound> => {
  const recordsOf = (half: Half | undefined): ReadonlyArray<dns.RecordWithTtl> =>
    half !== undefined && "records" in half ? half.records : []
  const found = [...recordsOf(ipv6), ...recordsOf(ipv4)]
  if (found.length > 0) {
    const isWhole = ipv4 !== undefined && ipv6 !== undefined
    return Effect.succeed({
      // IPv6 first (RFC 8305 §4): a machine without it fails at once, and the next attempt begins
      addresses: distinct([
        ...recordsOf(ipv6).map(({ address }): Address => ({ address, family: 6 })),
        ...recordsOf(ipv4).map(({ address }): Address => ({ address, family: 4 }))
      ]),
      timeToLiveMillis: isWhole ? 1000 * Math.min(...found.map(({ ttl }) => ttl)) : 0
    })
  }
  const codes = [ipv4, ipv6].flatMap((half) => (half !== undefined && "code" in half ? [half.code] : []))
  // that one family is not there says nothing of the name while the other could not be asked
  const code = codes.find((each) => !isNegative(each)) ?? codes.find((each) => each !== "ENODATA") ?? "ENODATA"
  return Effect.fail({ code })
}
