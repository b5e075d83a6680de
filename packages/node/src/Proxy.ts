/**
 * Which proxy a request goes through, if any: the one that you name, or the ones of the environment.
 *
 * **When to use**: where calls may leave the network only through an HTTP proxy, plain or with TLS.
 *
 * **What it is not**: a connection. It decides; `NodeTransport` connects. SOCKS proxies, proxy auto-configuration (PAC) and an
 * operating system's settings are not read. The environment is never read unless {@link fromEnvironment} asks for it.
 *
 * **Gotchas**
 *
 * - `noProxy` and `NO_PROXY` look at a request's host as it is written, and resolve nothing: `10.0.0.0/8` is about URLs with such an
 *   address, not about names that have one. Entries are names (`internal.example`, with or without a dot before it: the name
 *   and all below it), `*.internal.example` (only those below it), addresses, networks (`10.0.0.0/8`, `fd00::/8`) and `*`. All
 *   but a network may end in a port, and IPv6 addresses are then in brackets: `[::1]:8080`.
 * - Loopback is never proxied by the environment's proxies, as in Go and not in curl: they are set for a whole machine, and through
 *   a proxy elsewhere `localhost` would be the proxy's own. {@link fixed} takes you at your word: any host that `noProxy` does not
 *   name goes to the proxy.
 * - A proxy that is given without a port listens at 80, or 443 with TLS. curl takes 1080.
 * - Calls to `https:` go through a tunnel, of which the proxy sees the host and the port. Calls to `http:` are the proxy's to read,
 *   and the fields of `headers` other than `proxy-authorization` reach the upstream with them unless the proxy takes them off.
 *
 * ```ts
 * import { Redacted } from "effect"
 * import { Proxy } from "holdfast/node"
 *
 * const settings = Proxy.fixed({
 *   url: "http://proxy.internal:3128",
 *   credentials: { username: "shop", password: Redacted.make("secret") },
 *   noProxy: [".internal", "10.0.0.0/8"]
 * })
 *
 * console.log(Proxy.proxyFor(settings, { scheme: "https", host: "api.example.com", port: 443 })?.endpoint) // => proxy.internal:3128
 * console.log(Proxy.proxyFor(settings, { scheme: "http", host: "payments.internal", port: 80 })) // => undefined
 * ```
 *
 * @since 0.1.0
 */

import { validateHeaderName, validateHeaderValue } from "node:http"
import * as Redacted from "effect/Redacted"
import { type Exemption, isExempt, loopback, parseExemption } from "./internal/connect/exemption.ts"

export type { Exemption } from "./internal/connect/exemption.ts"

/**
 * The user and password for a proxy, by the Basic scheme (RFC 7617).
 *
 * @category models
 * @since 0.1.0
 */
export interface Credentials {
  /** Without a colon, which would end it. */
  readonly username: string
  readonly password: Redacted.Redacted
}

/**
 * A proxy, and the hosts that are called without it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** `http://host:port`, or `https://host:port` for a proxy that is itself spoken to with TLS. */
  readonly url: string
  /** May be in the URL instead, percent-encoded. Default: none are sent. */
  readonly credentials?: Credentials | undefined
  /** Further headers for the proxy: `{ "proxy-authorization": Redacted.make("Bearer …") }`. Default: nothing. */
  readonly headers?: { readonly [name: string]: string | Redacted.Redacted } | undefined
  /** Names, addresses and networks that are called without the proxy; see the gotchas of this module. Default: none. */
  readonly noProxy?: ReadonlyArray<string> | undefined
}

/**
 * A proxy that a request goes through.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProxyTarget {
  /** How the proxy itself is spoken to. */
  readonly scheme: "http" | "https"
  /** Name or address; an IPv6 address without brackets. */
  readonly host: string
  readonly port: number
  /** Host and port, as errors name it: `proxy.internal:3128`. */
  readonly endpoint: string
  /** The headers for the proxy, its credentials included; names in lower case. */
  readonly headers: { readonly [name: string]: Redacted.Redacted }
}

/**
 * Which proxy requests go through, by the scheme of their URL, and which go through none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly http: ProxyTarget | undefined
  readonly https: ProxyTarget | undefined
  readonly exemptions: ReadonlyArray<Exemption>
}

/**
 * Where a request goes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Destination {
  readonly scheme: "http" | "https"
  /** Name or address; an IPv6 address with brackets or without. */
  readonly host: string
  readonly port: number
}

/** Headers that belong to a message or its connection, which are made elsewhere. */
const notOurs = new Set([
  "connection",
  "content-length",
  "expect",
  "host",
  "keep-alive",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade"
])

/**
 * One proxy for every request, except to hosts that `noProxy` names.
 *
 * Throws a `RangeError` that names the option which cannot be used, and shows nothing that may be a secret.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fixed = (options: Options): Settings => {
  const { credentials: inUrl, ...address } = readUrl("url", options.url)
  if (inUrl !== undefined && options.credentials !== undefined) {
    throw new RangeError("Proxy: credentials must be given once, got them in the url too")
  }
  const proxy = targetOf(address, "credentials", options.credentials ?? inUrl, options.headers ?? {})
  const exemptions = (options.noProxy ?? []).map((entry) => {
    const exemption = parseExemption(entry)
    if (exemption === undefined) {
      throw new RangeError(
        `Proxy: noProxy must hold names, addresses, networks such as 10.0.0.0/8, or *, got ${JSON.stringify(entry)}`
      )
    }
    return exemption
  })
  return { http: proxy, https: proxy, exemptions }
}

/**
 * The proxies of an environment, that of this process by default: `http_proxy` for requests to `http:` URLs, `https_proxy` for
 * `https:`, `all_proxy` where the one for the scheme is missing, and `no_proxy`, a list parted by commas or blanks. Read once.
 *
 * Each may be in upper case; lower case wins, and an empty one is missing. In a CGI program (`REQUEST_METHOD` is there)
 * `HTTP_PROXY` comes from a client, as its header `Proxy:`, and is ignored (httpoxy, CVE-2016-5385 and others). Entries of
 * `no_proxy` that only other programs understand are passed over.
 *
 * Throws a `RangeError` that names the variable which cannot be used, and shows nothing that may be a secret.
 *
 * ```ts
 * import { Proxy } from "holdfast/node"
 *
 * const settings = Proxy.fromEnvironment({ HTTPS_PROXY: "http://shop:secret@proxy:3128", NO_PROXY: "internal" })
 *
 * const proxy = Proxy.proxyFor(settings, { scheme: "https", host: "api.example.com", port: 443 })
 * console.log(proxy?.endpoint) // => proxy:3128
 * console.log(String(proxy?.headers["proxy-authorization"])) // => <redacted>
 * console.log(Proxy.proxyFor(settings, { scheme: "http", host: "api.example.com", port: 80 })) // => undefined
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromEnvironment = (
  environment: { readonly [name: string]: string | undefined } = process.env
): Settings => {
  // On Windows `process.env` finds HTTP_PROXY by the name of http_proxy, and so would bring in the variable that CGI rules out.
  const variables = new Map(Object.entries(environment))
  const named = (name: string): Variable | undefined => {
    const value = variables.get(name)?.trim() ?? ""
    return value === "" ? undefined : { name, value }
  }
  const either = (name: string): Variable | undefined => named(name) ?? named(name.toUpperCase())
  const isCgi = variables.get("REQUEST_METHOD") !== undefined
  const all = either("all_proxy")
  const entries = either("no_proxy")?.value.split(/[\s,]+/) ?? []
  return {
    http: fromVariable((isCgi ? named("http_proxy") : either("http_proxy")) ?? all),
    https: fromVariable(either("https_proxy") ?? all),
    exemptions: [...loopback, ...entries.flatMap((entry) => parseExemption(entry) ?? [])]
  }
}

/**
 * The proxy that a request goes through; `undefined` when it goes straight to its host.
 *
 * @category getters
 * @since 0.1.0
 */
export const proxyFor = (settings: Settings, destination: Destination): ProxyTarget | undefined =>
  isExempt(settings.exemptions, destination.host, destination.port) ? undefined : settings[destination.scheme]

interface Variable {
  readonly name: string
  readonly value: string
}

const fromVariable = (variable: Variable | undefined): ProxyTarget | undefined => {
  if (variable === undefined) return undefined
  // a host without a scheme is a plain proxy's, in curl and in Go
  const url = variable.value.includes("://") ? variable.value : `http://${variable.value}`
  const { credentials, ...address } = readUrl(variable.name, url)
  return targetOf(address, variable.name, credentials, {})
}

type Address = Pick<ProxyTarget, "scheme" | "host" | "port">

const readUrl = (option: string, text: string): Address & { readonly credentials: Credentials | undefined } => {
  const refuse = (must: string): never => {
    throw new RangeError(`Proxy: ${option} must ${must}, got ${shown(text)}`)
  }
  // without the slashes `URL` would take `http:proxy`, and `proxy:3128` for a scheme
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) {
    return refuse("be http:// or https:// with the host and port of a proxy")
  }
  const url = new URL(text)
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") return refuse("have nothing behind the port")
  const scheme = url.protocol === "https:" ? "https" : "http"
  const address: Address = {
    scheme,
    host: url.hostname.replace(/^\[(.*)\]$/, "$1"),
    port: url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port)
  }
  if (url.username === "" && url.password === "") return { ...address, credentials: undefined }
  try {
    const username = decodeURIComponent(url.username)
    const password = Redacted.make(decodeURIComponent(url.password))
    return { ...address, credentials: { username, password } }
  } catch {
    return refuse("have its credentials percent-encoded (a % is %25)")
  }
}

/**
 * The part that may be shown of a text that may be wrong anywhere: only its author knows where it has its credentials, if it is a URL
 * at all.
 */
const shown = (text: string): string => {
  const [, scheme] = /^(https?|socks[45]?[ah]?|ftp|wss?):\/\//i.exec(text) ?? []
  const what = scheme === undefined ? "something else" : `${scheme.toLowerCase()}://…`
  return `${what} (the rest is not shown: it may hold a password)`
}

const targetOf = (
  address: Address,
  option: string,
  credentials: Credentials | undefined,
  given: NonNullable<Options["headers"]>
): ProxyTarget => {
  const headers: Record<string, Redacted.Redacted> = {}
  for (const [index, [name, value]] of Object.entries(given).entries()) {
    const known = name.toLowerCase()
    const text = Redacted.isRedacted(value) ? Redacted.value(value) : value
    if (notOurs.has(known) || !isHeader(known, text)) {
      throw new RangeError(
        `Proxy: headers must have names and values that HTTP allows, and none of the connection's own, ` +
          `got ${notOurs.has(known) ? known : `another in place ${index + 1}`}`
      )
    }
    if (Object.hasOwn(headers, known) || (known === authorization && credentials !== undefined)) {
      // a name may be a secret that stands in the wrong place
      const which = known === authorization ? known : `of one, in place ${index + 1}`
      throw new RangeError(`Proxy: headers must give each name once, got a second ${which}`)
    }
    headers[known] = Redacted.isRedacted(value) ? value : Redacted.make(value)
  }
  if (credentials !== undefined) headers[authorization] = basic(option, credentials)
  return { ...address, endpoint: `${bracketed(address.host)}:${address.port}`, headers }
}

const authorization = "proxy-authorization"

const isHeader = (name: string, value: string): boolean => {
  try {
    validateHeaderName(name)
    validateHeaderValue(name, value)
    return true
  } catch {
    return false
  }
}

const basic = (option: string, { password, username }: Credentials): Redacted.Redacted => {
  const secret = Redacted.value(password)
  // RFC 7617 §2: the first colon ends the user-id, and neither part may hold a control character
  if (username.includes(":") || /\p{Cc}/u.test(username + secret)) {
    throw new RangeError(`Proxy: ${option} must have a username without colons, and no control characters`)
  }
  return Redacted.make(`Basic ${Buffer.from(`${username}:${secret}`, "utf8").toString("base64")}`)
}

const bracketed = (host: string): string => (host.includes(":") ? `[${host}]` : host)
