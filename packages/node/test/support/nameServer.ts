import { createSocket } from "node:dgram"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"

/** What the server does with one question: DNS response codes, or silence. */
export type Reply =
  | { readonly ttl: number; readonly addresses: ReadonlyArray<string>; readonly delayMillis?: number }
  | "NXDOMAIN"
  | "NODATA"
  | "SERVFAIL"
  | "silence"

export interface NameServer {
  /** `127.0.0.1:53124`. */
  readonly address: string
  /** The questions so far: `A payments.internal`. */
  readonly questions: Array<string>
  /** What it replies to each question; can be changed at any time. */
  reply: (type: "A" | "AAAA", name: string) => Reply
}

const codes = { NODATA: 0, SERVFAIL: 2, NXDOMAIN: 3, silence: 0 } as const

const ipv4Bytes = (address: string): ReadonlyArray<number> => address.split(".").map(Number)

/** Only for addresses whose eight groups are written out. */
const ipv6Bytes = (address: string): ReadonlyArray<number> =>
  address.split(":").flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff])

/** A DNS message (RFC 1035 §4) that answers the question of another. */
const respond = (question: Buffer, questionEnd: number, isIpv4: boolean, reply: Exclude<Reply, "silence">): Buffer => {
  const addresses = typeof reply === "string" ? [] : reply.addresses
  const header = Buffer.alloc(12)
  question.copy(header, 0, 0, 2)
  // a response, recursion available; then counts of questions and answers
  header.writeUInt16BE(0x8180 | (typeof reply === "string" ? codes[reply] : 0), 2)
  header.writeUInt16BE(1, 4)
  header.writeUInt16BE(addresses.length, 6)
  const answers = addresses.map((address) => {
    const bytes = isIpv4 ? ipv4Bytes(address) : ipv6Bytes(address)
    const record = Buffer.alloc(12)
    record.writeUInt16BE(0xc00c, 0) // the name of the question
    record.writeUInt16BE(isIpv4 ? 1 : 28, 2)
    record.writeUInt16BE(1, 4)
    record.writeUInt32BE(typeof reply === "string" ? 0 : reply.ttl, 6)
    record.writeUInt16BE(bytes.length, 10)
    return Buffer.concat([record, Buffer.from(bytes)])
  })
  return Buffer.concat([header, question.subarray(12, questionEnd), ...answers])
}

/** A name server on UDP at the loopback address, which is there as long as the scope. */
export const nameServer = (reply: NameServer["reply"]): Effect.Effect<NameServer, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly server: NameServer; readonly close: () => void }>((resume) => {
        const socket = createSocket("udp4")
        const timers = new Set<NodeJS.Timeout>()
        const server: NameServer = { address: "", questions: [], reply }
        socket.on("message", (message, from) => {
          const labels: Array<string> = []
          let at = 12
          for (let length = message[at] ?? 0; length > 0; length = message[at] ?? 0) {
            labels.push(message.toString("latin1", at + 1, at + 1 + length))
            at += 1 + length
          }
          const isIpv4 = message.readUInt16BE(at + 1) === 1
          const name = labels.join(".").toLowerCase()
          server.questions.push(`${isIpv4 ? "A" : "AAAA"} ${name}`)
          const answer = server.reply(isIpv4 ? "A" : "AAAA", name)
          if (answer === "silence") return
          const response = respond(message, at + 5, isIpv4, answer)
          const delayMillis = typeof answer === "string" ? 0 : (answer.delayMillis ?? 0)
          const timer = setTimeout(() => {
            timers.delete(timer)
            socket.send(response, from.port, from.address)
          }, delayMillis)
          timers.add(timer)
        })
        socket.bind(0, "127.0.0.1", () => {
          Object.assign(server, { address: `127.0.0.1:${socket.address().port}` })
          const close = (): void => {
            for (const timer of timers) clearTimeout(timer)
            socket.close()
          }
          resume(Effect.succeed({ server, close }))
        })
      }),
      ({ close }) => Effect.sync(close)
    ),
    ({ server }) => server
  )
