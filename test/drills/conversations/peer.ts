/** A server that says the same on each of its connections, whatever it is asked. */
import { once } from "node:events"
import { createServer, type Socket } from "node:net"
import { frameReader, frameType } from "../endings/http2Frames.ts"
import type { Conversation } from "./conversation.ts"

export interface Peer {
  readonly port: number
  /** Ends it with what it has open, and gives how many connections it had open. */
  readonly close: () => Promise<number>
}

const prefaceBytes = 24

const say = async (socket: Socket, { end, pieces }: Conversation): Promise<void> => {
  for (const { afterMillis, bytes } of pieces) {
    if (afterMillis > 0) await new Promise((resolve) => void setTimeout(resolve, afterMillis))
    if (socket.destroyed) return
    if (bytes.length > 0) await new Promise((resolve) => void socket.write(bytes, resolve))
  }
  if (end === "FIN") socket.end()
  else if (end === "RST") socket.resetAndDestroy()
}

export const startPeer = async (given: Conversation): Promise<Peer> => {
  const open = new Set<Socket>()
  const server = createServer({ noDelay: true }, (socket) => {
    open.add(socket)
    socket.on("error", () => {})
    socket.once("close", () => open.delete(socket))
    let hasBegun = false
    const begin = (): void => {
      if (hasBegun) return
      hasBegun = true
      void say(socket, given)
    }
    if (given.protocol === "HTTP/2") {
      socket.on(
        "data",
        frameReader(prefaceBytes, ({ type }) => {
          if (type === frameType.headers) begin()
        })
      )
      return
    }
    let head = ""
    socket.on("data", (chunk: Buffer) => {
      head += chunk.toString("latin1")
      if (head.includes("\r\n\r\n")) begin()
    })
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("a port was expected")
  return {
    port: address.port,
    close: async () => {
      const left = open.size
      for (const socket of open) socket.destroy()
      server.close()
      await once(server, "close")
      return left
    }
  }
}
