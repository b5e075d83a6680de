/**
 * Stands before a receiver and is as bad as a test wants: it says nothing, or answers what it is told to, or hands on to the receiver
 * and gives back what that says. What it does not hand on never arrived.
 */
import { once } from "node:events"
import * as http from "node:http"
import type { OtlpReceiver } from "holdfast/testing"
import { Effect } from "effect"

export interface Answer {
  readonly status: number
  readonly headers?: Record<string, string>
  readonly body?: string | Uint8Array
}

/** Takes no more than so many bytes at once. */
export interface Limit {
  readonly largestBytes: number
}

export type Behaviour = "forward" | "hang" | "reset" | Limit | Answer

export interface Seen {
  readonly path: string
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
  readonly atMillis: number
}

const forward = (target: string, request: http.IncomingMessage, body: Buffer, response: http.ServerResponse): void => {
  const { "content-encoding": encoding, "content-type": type } = request.headers
  const headers = {
    ...(type === undefined ? {} : { "content-type": type }),
    ...(encoding === undefined ? {} : { "content-encoding": encoding })
  }
  const sent = http.request(`${target}${request.url ?? ""}`, { method: "POST", headers }, (answer) => {
    response.writeHead(answer.statusCode ?? 500, answer.headers)
    answer.pipe(response)
  })
  sent.on("error", () => response.destroy())
  sent.end(body)
}

/** Behaves as the list says, request after request; the last one of it stays. */
export const startFront = (receiver: Pick<OtlpReceiver.OtlpReceiver, "url">, first: ReadonlyArray<Behaviour>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.promise(async () => {
        const seen: Array<Seen> = []
        const state = { behaviours: [...first] }
        const server = http.createServer((request, response) => {
          const chunks: Array<Buffer> = []
          request.on("error", () => {})
          request.on("data", (chunk: Buffer) => chunks.push(chunk))
          request.on("end", () => {
            const body = Buffer.concat(chunks)
            seen.push({ path: request.url ?? "", headers: request.headers, body, atMillis: performance.now() })
            const behaviour = state.behaviours.length > 1 ? state.behaviours.shift() : state.behaviours[0]
            if (behaviour === undefined || behaviour === "hang") return
            if (behaviour === "reset") request.socket.resetAndDestroy()
            else if (behaviour === "forward") forward(receiver.url, request, body, response)
            else if ("largestBytes" in behaviour) {
              if (body.length > behaviour.largestBytes) response.writeHead(413).end()
              else forward(receiver.url, request, body, response)
            } else response.writeHead(behaviour.status, behaviour.headers).end(behaviour.body)
          })
        })
        server.listen(0, "127.0.0.1")
        await once(server, "listening")
        const address = server.address()
        const port = typeof address === "object" && address !== null ? address.port : 0
        return { server, seen, state, url: `http://127.0.0.1:${port}` }
      }),
      ({ server }) =>
        Effect.promise(async () => {
          const closed = once(server, "close")
          server.close()
          server.closeAllConnections()
          await closed
        })
    ),
    ({ seen, state, url }) => ({
      url,
      /** What came, in the order in which it came. */
      seen: Effect.sync(() => [...seen]),
      behave: (...behaviours: ReadonlyArray<Behaviour>) =>
        Effect.sync(() => {
          state.behaviours = [...behaviours]
        })
    })
  )

/** A message of protobuf with one field of bytes. */
const field = (number: number, content: Uint8Array): Buffer =>
  Buffer.concat([Buffer.from([number * 8 + 2, content.length]), content])

/** An answer that takes all but so many; in protobuf, with a message. */
export const partialSuccess = (rejected: number, message: string, protocol: "protobuf" | "json"): Answer =>
  protocol === "json"
    ? {
        status: 200,
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ partialSuccess: { rejectedSpans: String(rejected), errorMessage: message } })
      }
    : {
        status: 200,
        headers: { "content-type": "application/x-protobuf" },
        body: field(1, Buffer.concat([Buffer.from([8, rejected]), field(2, Buffer.from(message))]))
      }

/** A `google.rpc.Status` in protobuf. */
export const refusal = (status: number, message: string, headers: Record<string, string> = {}): Answer => ({
  status,
  headers: { "content-type": "application/x-protobuf", ...headers },
  body: Buffer.concat([Buffer.from([8, 3]), field(2, Buffer.from(message))])
})
