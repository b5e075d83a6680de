/** The head of a request: which fields go with those of the caller, and what all of it weighs. */

import type * as Transport from "@holdfast/http/Transport"
import type { ProxyTarget } from "../../Proxy.ts"
import { proxyHeaders } from "../proxy/tunnel.ts"
import { acceptedCodings } from "./decoding.ts"

/** Names and values in turn, as wires read them fastest. */
export const fieldsToSend = (
  headers: Transport.Headers,
  decompress: boolean,
  proxy: ProxyTarget | undefined
): Array<string> => {
  const sent: Array<string> = []
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (value !== undefined) sent.push(name, value)
  }
  // a range is of the body as it is sent: coded, it would be of something else
  if (decompress && headers["accept-encoding"] === undefined && headers["range"] === undefined) {
    sent.push("accept-encoding", acceptedCodings)
  }
  if (proxy !== undefined) for (const [name, value] of Object.entries(proxyHeaders(proxy))) sent.push(name, value)
  return sent
}

/** Its path, and its fields as HTTP/2 counts them (RFC 9113 §6.5.2). */
export const requestHeadBytes = ({ headers, path }: Transport.Request): number => {
  let size = path.length
  for (const name of Object.keys(headers)) size += name.length + (headers[name]?.length ?? 0) + 32
  return size
}
