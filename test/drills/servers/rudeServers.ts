/** Servers that end their connections as nobody should, and as some do. */
import { createSecureServer } from "node:http2"
import type { SecureServerOptions } from "node:http2"
import { createServer } from "node:net"
import type { Server } from "node:net"

/** The path says how long an answer takes. */
export const workMillisOf = (path: string | undefined): number => Number((path ?? "").slice(1))

type Record = (id: string | undefined) => void

const answer = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"

const headEnd = "\r\n\r\n"

const headerOf = (head: string, name: string): string | undefined =>
  new RegExp(`^${name}: *(.*)$`, "im").exec(head)?.[1]?.trim()

/**
 * Says that it keeps the connection and closes it so long after the answer. What comes in between is not read: as where the thread
 * that served the connection is gone.
 */
export const hangingUp = (afterMillis: number, record: Record): Server =>
  createServer({ noDelay: true }, (socket) => {
    let received = ""
    socket.on("error", () => {})
    socket.setEncoding("latin1")
    socket.on("data", (chunk: string) => {
      received += chunk
      const end = received.indexOf(headEnd)
      if (end === -1) return
      const head = received.slice(0, end)
      const length = Number(headerOf(head, "content-length") ?? 0)
      if (received.length < end + headEnd.length + length) return
      record(headerOf(head, "x-call"))
      socket.removeAllListeners("data").pause()
      const close = (): void => void socket.destroy()
      const hangUp = (): void => void (afterMillis === 0 ? close() : setTimeout(close, afterMillis))
      setTimeout(() => socket.write(answer, hangUp), workMillisOf(head.split(" ")[1]))
    })
  })

/**
 * Says goodbye with the answer to so many requests, and ends the connection with the last answer it owes: GOAWAY, answer and FIN come
 * together.
 */
export const endingHttp2 = (certificate: SecureServerOptions, after: number, record: Record): Server => {
  const server = createSecureServer(certificate)
  server.on("sessionError", () => {})
  server.on("session", (session) => {
    let answered = 0
    session.on("error", () => {})
    session.on("stream", (stream, headers) => {
      stream.on("error", () => {})
      stream.resume()
      stream.once("end", () => {
        record(headers["x-call"]?.toString())
        setTimeout(() => {
          if (stream.destroyed) return
          stream.respond({ ":status": 200 })
          stream.end("ok")
          answered++
          if (answered === after) session.close()
        }, workMillisOf(headers[":path"]))
      })
    })
  })
  return server
}
