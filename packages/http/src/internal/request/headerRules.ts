/** Which header names and values HTTP carries, and which belong to the connection. */

import type { Issue } from "./pathTemplate.ts"

// The rules of a request's headers, for any protocol that the connection may speak: it is not known yet.

/** Fields about the connection, or about the frame of a message, are the transport's to send (RFC 9110 §7.6.1, RFC 9113 §8.2.2). */
const ofConnection: { readonly [name: string]: string } = {
  connection: "connections are the transport's to keep and to close",
  "keep-alive": "connections are the transport's to keep and to close",
  "proxy-connection": "connections are the transport's to keep and to close",
  upgrade: "a connection keeps its protocol",
  "http2-settings": "a connection keeps its protocol",
  "transfer-encoding": "the transport frames the body; leave it out",
  trailer: "no trailers can be sent",
  te: "it may only say trailers",
  expect: "a body is not held back until the server asks for it; leave it out"
}

/** Whether a name belongs to the connection or to the frame of a message, and not to the request. */
export const isOfConnection = (name: string): boolean => name === "content-length" || Object.hasOwn(ofConnection, name)

/** RFC 9110 §5.6.2, in lower case, as HTTP/2 has names (RFC 9113 §8.2). A pseudo-header is none. */
const token = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/

/** RFC 9110 §5.5. */
const characters = /^[\t\x20-\x7e\x80-\xff]*$/

/** RFC 3986 §3.2.2 and §3.2.3: a name or an IPv4 address, or an IPv6 address in brackets; and a port. */
const host = /^(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::\d{1,5})?$/

export const isHeaderName = (name: string): boolean => token.test(name)

/** Whether any protocol carries the value as it is; HTTP/2 takes a message for broken that has a blank at an end of one (§8.2.1). */
export const isHeaderValue = (value: string): boolean =>
  characters.test(value) && !isBlank(value.charCodeAt(0)) && !isBlank(value.charCodeAt(value.length - 1))

const isBlank = (code: number): boolean => code === 0x20 || code === 0x09

const valueIssue = (value: string): string =>
  characters.test(value)
    ? "the value begins or ends with a blank, which HTTP/2 does not carry"
    : "the value has a character that a header may not have"

/**
 * The fault of a header that no protocol carries, its name in lower case. Neither a value is repeated, which may be the secret that holds
 * the stray line break, nor a name that is none, which may be a value in the wrong place.
 */
export const malformedHeader = (name: string, value: string): Issue | undefined => {
  if (!isHeaderName(name)) return { path: "headers", issue: notAName }
  if (typeof value !== "string")
    return { path: `headers.${name}`, issue: `the value must be text, got ${typeof value}` }
  return isHeaderValue(value) ? undefined : { path: `headers.${name}`, issue: valueIssue(value) }
}

/** The fault of a header of a request of ours: no protocol carries it, or it is not for a request to send. */
export const wrongHeader = (name: string, value: string): Issue | undefined => {
  const malformed = malformedHeader(name, value)
  if (malformed !== undefined) return malformed
  const why = Object.hasOwn(ofConnection, name) ? ofConnection[name] : undefined
  if (why !== undefined && !(name === "te" && value.toLowerCase() === "trailers")) {
    return { path: `headers.${name}`, issue: `it is not for a request to say: ${why}` }
  }
  if (name === "host" && !host.test(value)) {
    return { path: "headers.host", issue: 'must be a host, and a port if it has one: "shop.example:8080"' }
  }
  return undefined
}

const notAName = "one of the names is not a header name: letters, digits and !#$%&'*+-.^_`|~"

/** The fault of the length that a request declares of its body, whose bytes are known unless it is a stream. */
export const wrongLength = (declared: string, bytes: number | undefined): Issue | undefined => {
  if (!/^\d{1,15}$/.test(declared)) {
    return { path: "headers.content-length", issue: "must be a whole number of bytes, in digits" }
  }
  return bytes === undefined || Number(declared) === bytes
    ? undefined
    : {
        path: "headers.content-length",
        issue: `says ${Number(declared)}, and the body has ${bytes} bytes; leave it out`
      }
}

/** Puts headers over others, by their names in lower case; or says what is wrong with one. */
export const putHeaders = (
  headers: Record<string, string>,
  given: Iterable<readonly [name: string, value: string]>
): Issue | undefined => {
  const seen = new Map<string, string>()
  for (const [written, value] of given) {
    const name = written.toLowerCase()
    const wrong = wrongHeader(name, value)
    if (wrong !== undefined) return wrong
    const other = seen.get(name)
    if (other !== undefined)
      return { path: `headers.${name}`, issue: `it is given twice, as ${other} and as ${written}` }
    seen.set(name, written)
    headers[name] = value
  }
  return undefined
}
