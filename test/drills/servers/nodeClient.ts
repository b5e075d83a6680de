/** Node's own clients, bare: `node:http` over an agent that keeps connections, and one session of `node:http2` at a time. */
import * as http from "node:http"
import * as http2 from "node:http2"
import * as https from "node:https"
import type { Client, ClientOptions, Failure, MakeClient } from "./load.ts"
import { codeOf, statusFailure } from "./peerFailure.ts"

const failed = (error: unknown): Failure => ({ why: codeOf(error), isRefusal: false })

const overHttp1 = ({ trustedRoot, url }: ClientOptions): Client => {
  const options = { keepAlive: true, maxSockets: 64 }
  const isSecure = url.startsWith("https")
  const agent = isSecure ? new https.Agent({ ...options, ca: trustedRoot }) : new http.Agent(options)
  const request = isSecure ? https.request : http.request
  return {
    call: (method, path, id) =>
      new Promise((resolve) => {
        const sent = request(`${url}${path}`, { agent, method, headers: { "x-call": id } }, (response) => {
          response.on("error", (error) => resolve(failed(error)))
          response.on("end", () => resolve(statusFailure(response.statusCode)))
          response.resume()
        })
        sent.on("error", (error) => resolve(failed(error)))
        sent.end(method === "POST" ? "{}" : undefined)
      }),
    leave: (path) => {
      const sent = request(`${url}${path}`, { agent }, (response) => response.resume())
      sent.on("error", () => {})
      setImmediate(() => sent.destroy())
    },
    retries: () => 0,
    close: async () => agent.destroy()
  }
}

const overHttp2 = ({ trustedRoot, url }: ClientOptions): Client => {
  const open = new Set<http2.ClientHttp2Session>()
  let current: http2.ClientHttp2Session | undefined
  /** One that takes new streams: what the server has said goodbye on finishes what it has. */
  const session = (): http2.ClientHttp2Session => {
    if (current !== undefined && !current.closed && !current.destroyed) return current
    const made = http2.connect(url, { ca: trustedRoot })
    const forget = (): void => {
      if (current === made) current = undefined
    }
    open.add(made)
    made.on("error", () => {})
    made.once("goaway", forget)
    made.once("close", () => {
      forget()
      open.delete(made)
    })
    current = made
    return made
  }
  return {
    call: (method, path, id) =>
      new Promise((resolve) => {
        const stream = session().request({ ":method": method, ":path": path, "x-call": id })
        let status: number | undefined
        let hasEnded = false
        stream.once("response", (headers) => (status = headers[":status"]))
        stream.once("end", () => (hasEnded = true))
        stream.on("error", (error) => resolve(failed(error)))
        stream.once("close", () =>
          resolve(hasEnded && status !== undefined ? statusFailure(status) : { why: "closed", isRefusal: false })
        )
        stream.resume()
        stream.end(method === "POST" ? "{}" : undefined)
      }),
    leave: (path) => {
      const stream = session().request({ ":path": path })
      stream.on("error", () => {})
      setImmediate(() => stream.close(http2.constants.NGHTTP2_CANCEL))
    },
    retries: () => 0,
    close: async () => {
      for (const session of open) session.destroy()
    }
  }
}

export const makeNode: MakeClient = async (options) =>
  options.protocol === "2" ? overHttp2(options) : overHttp1(options)
