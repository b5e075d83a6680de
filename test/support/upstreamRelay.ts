/**
 * What a relay does on one connection: it passes bytes on, both ways, until the step of its fault has come.
 */
import * as net from "node:net"
import type { Relay, RelayEnd, RelayFault, RelayStep } from "./behaviour.ts"
import type { Cut } from "./relayCut.ts"
import { cutOf, firstRecordEnd } from "./relayCut.ts"
import type { Connection } from "./upstreamRecord.ts"

const host = "127.0.0.1"

/** No HTTP, no frame, and no record of TLS. */
const garbage = Buffer.from("3q2+7wABAgMEBQYHCAkKCw3/7t2svA==", "base64")

/** A reset discards what the kernel has not delivered: without a breath between, the bytes before it may never be seen. */
const breathMillis = 20

/** Does to the wire what the end says. */
const breakOff = (connection: Connection, end: RelayEnd): void => {
  const { socket, stream } = connection
  if (socket.destroyed) return
  switch (end) {
    case "silence":
      return
    case "close":
      connection.left ??= "server"
      socket.end()
      return
    case "reset":
      connection.left ??= "server"
      connection.reset = true
      socket.resetAndDestroy()
      stream.destroy()
      return
    case "garbage":
      socket.write(garbage)
      return
    case "sealedGarbage":
      stream.write(garbage)
  }
}

/** Reads on and throws away, since a socket that is not read never tells that its client has left. */
const deafen = (socket: net.Socket): void => {
  socket.on("data", () => {})
  socket.once("end", () => socket.end())
}

/** Left at once; with `silence`, nothing that comes is answered. */
export const breakOnAccept = (connection: Connection, end: RelayEnd): void => {
  deafen(connection.socket)
  breakOff(connection, end)
}

/** Left when the ClientHello is there, which nothing answers. */
export const breakAfterFirstRecord = (connection: Connection, end: RelayEnd): void => {
  let received: Buffer = Buffer.alloc(0)
  let broken = false
  connection.socket.on("data", (chunk: Buffer) => {
    received = Buffer.concat([received, chunk])
    if (broken || firstRecordEnd(received) === undefined) return
    broken = true
    breakOff(connection, end)
  })
  connection.socket.once("end", () => connection.socket.end())
}

/** Sends the ServerHello of what TLS has to say, and then leaves. */
export const sendFirstRecord = (connection: Connection, end: RelayEnd) => {
  let sent: Buffer = Buffer.alloc(0)
  let broken = false
  return (chunk: Buffer, done: (error?: Error | null) => void): void => {
    if (!broken) {
      sent = Buffer.concat([sent, chunk])
      const recordEnd = firstRecordEnd(sent)
      if (recordEnd !== undefined) {
        broken = true
        connection.socket.write(sent.subarray(0, recordEnd))
        setTimeout(() => breakOff(connection, end), breathMillis)
      }
    }
    // What is withheld counts as sent, or TLS would wait to be told.
    done()
  }
}

const isOfExchange = (fault: RelayFault): fault is RelayFault & { readonly step: RelayStep } =>
  fault.step !== "onAccept" && fault.step !== "afterClientHello" && fault.step !== "afterServerHello"

/** Passes on what comes until the cut, and says when it has come. */
const passOn = (cut: Cut["at"] | undefined, to: net.Socket, broken: () => void): ((chunk: Buffer) => void) => {
  if (cut === undefined) return (chunk) => void to.write(chunk)
  let received: Buffer = Buffer.alloc(0)
  return (chunk) => {
    const passed = received.length
    received = Buffer.concat([received, chunk])
    const at = cut(received)
    if (at === undefined) {
      to.write(chunk)
      return
    }
    if (at > passed) to.write(received.subarray(passed, at))
    broken()
  }
}

/** Joins a connection to one of its own to the port behind; each ends with the other. */
export const relay = (connection: Connection, { fault, to }: Relay): void => {
  const client = connection.stream
  const server = net.connect({ host, port: to, noDelay: true })
  let isBroken = false
  const broken = (): void => {
    isBroken = true
    setTimeout(() => {
      if (fault !== undefined) breakOff(connection, fault.end)
    }, breathMillis)
  }
  const cut = fault === undefined || !isOfExchange(fault) ? undefined : cutOf(fault.step, connection.protocol)
  const up = passOn(cut?.direction === "up" ? cut.at : undefined, server, broken)
  const down = passOn(cut?.direction === "down" ? cut.at : undefined, client, broken)
  client.on("data", (chunk: Buffer) => {
    if (!isBroken) up(chunk)
  })
  server.on("data", (chunk: Buffer) => {
    if (!isBroken) down(chunk)
  })
  client.once("close", () => server.destroy())
  server.on("error", () => {})
  server.once("close", () => {
    // A server that leaves is passed on too; but not through a connection that is out of order.
    if (!isBroken) client.end()
  })
}
