/** What Node's own clients, which take more than they have to, make of the same bytes. */
import * as http from "node:http"
import * as http2 from "node:http2"
import type { Conversation } from "./conversation.ts"

export interface Accepted {
  readonly status: number
  readonly contentEncoding: string | undefined
  readonly body: Buffer
}

const nothing = (): void => {}

/** What was accepted completely; nothing where anything was wrong, or nothing came for so long. */
export const oracle = (given: Conversation, port: number, limitMillis: number): Promise<Accepted | undefined> =>
  new Promise((resolve) => {
    const ask = given.protocol === "HTTP/2" ? askHttp2 : askHttp1
    const leave = ask(given, port, (accepted) => {
      clearTimeout(timer)
      leave()
      resolve(accepted)
    })
    const timer = setTimeout(() => {
      leave()
      resolve(undefined)
    }, limitMillis)
  })

type Tell = (accepted: Accepted | undefined) => void

const textOf = (value: string | ReadonlyArray<string> | undefined): string | undefined =>
  value === undefined || typeof value === "string" ? value : value.join(", ")

const askHttp1 = ({ method }: Conversation, port: number, tell: Tell): (() => void) => {
  const request = http.request({ host: "127.0.0.1", port, method, agent: false, insecureHTTPParser: true })
  const refuse = (): void => tell(undefined)
  request.on("error", refuse)
  request.on("upgrade", (_, socket) => {
    socket.destroy()
    refuse()
  })
  request.on("response", (response) => {
    const chunks: Array<Buffer> = []
    response.on("error", refuse)
    response.on("data", (chunk: Buffer) => void chunks.push(chunk))
    response.on("end", () => {
      if (!response.complete) refuse()
      else {
        const contentEncoding = textOf(response.headers["content-encoding"])
        tell({ status: response.statusCode ?? 0, contentEncoding, body: Buffer.concat(chunks) })
      }
    })
  })
  request.end(method === "POST" ? "asked" : undefined)
  return () => void request.destroy()
}

const askHttp2 = ({ method }: Conversation, port: number, tell: Tell): (() => void) => {
  const session = http2.connect(`http://127.0.0.1:${port}`)
  const refuse = (): void => tell(undefined)
  session.on("error", refuse)
  session.once("close", refuse)
  const stream = session.request({ ":method": method, ":path": "/" }, { endStream: method === "GET" })
  if (method === "POST") stream.end("asked")
  const chunks: Array<Buffer> = []
  let head: http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader = {}
  stream.on("error", refuse)
  stream.on("aborted", refuse)
  stream.on("response", (given) => (head = given))
  stream.on("data", (chunk: Buffer) => void chunks.push(chunk))
  stream.on("end", () => {
    if (stream.rstCode !== 0 && stream.rstCode !== undefined) refuse()
    else tell({ status: head[":status"] ?? 0, contentEncoding: head["content-encoding"], body: Buffer.concat(chunks) })
  })
  return () => {
    session.on("error", nothing)
    stream.on("error", nothing)
    session.destroy()
  }
}
