/** The head of a response, read once. */

import type * as Transport from "@holdfast/http/Transport"

export interface ResponseHead {
  readonly status: number
  readonly headers: Transport.Headers
  readonly setCookies: ReadonlyArray<string> | undefined
  /** Bytes of its fields, as HTTP/2 counts them (RFC 9113 §6.5.2). */
  readonly size: number
  /** How long it says that its body is; 0 where it does not say. */
  readonly announcedBytes: number
  /** How it says that its body is coded. */
  readonly coding: string | undefined
  /** Whether the server says that it will close the connection (RFC 9112 §9.6). */
  readonly closes: boolean
}

/** The weight of a field beside its name and value. */
const fieldBytes = 32

export const responseHead = (status: number, fields: NodeJS.Dict<string | Array<string>>): ResponseHead => {
  const headers: Record<string, string> = {}
  let setCookies: ReadonlyArray<string> | undefined
  let size = 0
  for (const name of Object.keys(fields)) {
    const value = fields[name]
    if (value === undefined) continue
    const text = typeof value === "string" ? value : value.join(", ")
    size += name.length + text.length + fieldBytes
    if (name === "set-cookie") setCookies = typeof value === "string" ? [value] : value
    else if (name === "__proto__") Object.defineProperty(headers, name, { value: text, enumerable: true })
    else headers[name] = text
  }
  const { connection } = headers
  return {
    status,
    headers,
    setCookies,
    size,
    announcedBytes: Number(headers["content-length"] ?? 0),
    coding: headers["content-encoding"],
    closes: connection !== undefined && /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(connection)
  }
}
