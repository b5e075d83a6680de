/**
 * The process of the test upstream: real servers on 127.0.0.1 that behave as their listener's script says, and record
 * what was done to them. Started by `upstream.ts`; ends with its parent.
 */
import { randomBytes } from "node:crypto"
import * as net from "node:net"
import { Duplex } from "node:stream"
import { setTimeout as delay } from "node:timers/promises"
import * as tls from "node:tls"
import { Worker } from "node:worker_threads"
import type { Behaviour } from "./behaviour.ts"
import { converse, endConnection } from "./upstreamConversation.ts"
import type { Command, CommandMessage, Replies, ReplyMessage, TlsMaterial } from "./upstreamMessages.ts"
import type { Connection, Listener, Script } from "./upstreamRecord.ts"
import { awaitFacts, changed, factsOf, nowMillis, remember } from "./upstreamRecord.ts"
import { breakAfterFirstRecord, breakOnAccept, sendFirstRecord } from "./upstreamRelay.ts"

const host = "127.0.0.1"
const handshakeVerdictMillis = 200

// ---------------------------------------------------------------------------------------------------------------------
// Listeners
// ---------------------------------------------------------------------------------------------------------------------

const makeScript = (behaviour: Behaviour): Script => ({ behaviour, connections: 0, httpServers: new Map() })

const accept = (listener: Listener, socket: net.Socket): Connection => {
  listener.counts.opened += 1
  const connection: Connection = {
    ordinal: listener.counts.opened,
    openedAtMillis: nowMillis(),
    socket,
    stream: socket,
    protocol: listener.protocol,
    tls: undefined,
    handshakeError: undefined,
    left: undefined,
    reset: false,
    closedAtMillis: undefined,
    handshake: undefined
  }
  listener.open.add(connection)
  remember(listener.connections, connection)
  watch(connection, socket)
  socket.once("close", () => {
    const closedAtMillis = nowMillis()
    const settle = (): void => {
      connection.closedAtMillis = closedAtMillis
      listener.open.delete(connection)
      listener.counts.closed += 1
      changed(listener)
    }
    // The TLS server tells what went wrong some turns after the socket is gone, and the fact is to be whole.
    if (connection.handshake === undefined) settle()
    else void Promise.race([connection.handshake.promise, delay(handshakeVerdictMillis)]).then(settle)
  })
  changed(listener)
  return connection
}

/** Notes who leaves first, and whether with an RST. */
const watch = (connection: Connection, stream: net.Socket): void => {
  stream.on("end", () => {
    connection.left ??= "client"
  })
  stream.on("finish", () => {
    connection.left ??= "server"
  })
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (connection.left !== undefined) return
    const byClient = error.code === "ECONNRESET" || error.code === "EPIPE"
    connection.left = byClient ? "client" : "server"
    connection.reset = byClient
  })
}

const serverContext = (material: TlsMaterial): tls.TlsOptions => ({
  key: material.key,
  cert: material.cert,
  ca: material.clientAuthority,
  requestCert: material.clientCertificate !== "none",
  rejectUnauthorized: material.clientCertificate === "required",
  ALPNProtocols: [...(material.applicationProtocols ?? ["http/1.1"])],
  ...(material.minVersion === undefined ? {} : { minVersion: material.minVersion }),
  ...(material.maxVersion === undefined ? {} : { maxVersion: material.maxVersion }),
  // OpenSSL does not speak TLS 1.0 and 1.1 above security level 0.
  ...(material.maxVersion === "TLSv1" || material.maxVersion === "TLSv1.1"
    ? { minVersion: "TLSv1", ciphers: "DEFAULT@SECLEVEL=0" }
    : {})
})

type Send = (chunk: Buffer, done: (error?: Error | null) => void) => void

/**
 * The socket behind a stream of its own. TLS straight on a socket takes over its handle: then the socket no longer tells
 * of the client's FIN or RST, and to reset it crashes Node 24 (segmentation fault).
 */
const inFrontOf = (socket: net.Socket, send: Send): Duplex => {
  const front = new Duplex({
    allowHalfOpen: false,
    read: () => {
      socket.resume()
    },
    write: (chunk: Buffer, _encoding, done) => send(chunk, done),
    final: (done) => {
      socket.end(done)
    },
    destroy: (error, done) => {
      socket.destroy()
      done(error)
    }
  })
  socket.on("data", (chunk: Buffer) => {
    if (!front.push(chunk)) socket.pause()
  })
  socket.once("end", () => front.push(null))
  socket.once("close", () => front.destroy())
  front.on("error", () => {})
  return front
}

/** Ends TLS for one connection, by a TLS server of its own: a shared one does not tell whose handshake it was. */
const secure = (
  listener: Listener,
  connection: Connection,
  options: tls.TlsOptions,
  send: Send = (chunk, done) => void connection.socket.write(chunk, done)
): void => {
  const terminator = tls.createServer(options)
  const handshake = Promise.withResolvers<void>()
  connection.handshake = handshake
  const handshakeEnded = (): void => {
    connection.handshake = undefined
    handshake.resolve()
  }
  terminator.once("secureConnection", (stream) => {
    handshakeEnded()
    const subject = stream.getPeerX509Certificate()?.subject
    connection.stream = stream
    if (stream.alpnProtocol === "h2") connection.protocol = "http/2"
    if (stream.alpnProtocol === "http/1.1") connection.protocol = "http/1.1"
    connection.tls = {
      version: stream.getProtocol() ?? "",
      ...(subject === undefined ? {} : { clientSubject: subject })
    }
    watch(connection, stream)
    converse(listener, connection)
  })
  terminator.once("tlsClientError", (error: NodeJS.ErrnoException) => {
    const code = error.code ?? error.message
    connection.handshakeError = code
    // An alert is what the client said; any other TLS error is what this server found.
    connection.left ??= code === "ECONNRESET" || code.includes("ALERT") ? "client" : "server"
    handshakeEnded()
  })
  // Documented: a connection may be given to a TLS server by emitting this event.
  terminator.emit("connection", inFrontOf(connection.socket, send))
}

const makeServer = (
  material: TlsMaterial | undefined,
  protocol: Listener["protocol"],
  listener: () => Listener
): net.Server => {
  // One key for all terminators, so that a session of one connection can be resumed on another.
  const options = material === undefined ? undefined : { ...serverContext(material), ticketKeys: randomBytes(48) }
  // As Node's own servers have it: half-open for HTTP, not for HTTPS, where a client that leaves in the middle of the
  // handshake would never be noticed, and not for HTTP/2, whose sessions would not end.
  const allowHalfOpen = options === undefined && protocol === "http/1.1"
  const server = net.createServer({ allowHalfOpen, noDelay: true })
  server.on("connection", (socket) => {
    const connection = accept(listener(), socket)
    const { behaviour } = listener().script
    const fault = behaviour._tag === "Relay" ? behaviour.fault : undefined
    if (fault?.step === "onAccept") breakOnAccept(connection, fault.end)
    else if (fault?.step === "afterClientHello") breakAfterFirstRecord(connection, fault.end)
    else if (options === undefined) converse(listener(), connection)
    else if (fault?.step === "afterServerHello") {
      secure(listener(), connection, options, sendFirstRecord(connection, fault.end))
    } else secure(listener(), connection, options)
  })
  return server
}

const listeners = new Map<number, Listener>()
let nextListener = 1

const listenOn = (server: net.Server, port: number): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen({ host, port }, () => {
      server.off("error", reject)
      const address = server.address()
      if (address === null || typeof address === "string") return reject(new Error("no TCP address"))
      resolve(address.port)
    })
  })

const listen = async (command: Extract<Command, { _tag: "Listen" }>): Promise<Replies["Listen"]> => {
  const listener: Listener = {
    id: nextListener++,
    server: makeServer(command.tls, command.protocol, () => listener),
    protocol: command.protocol,
    script: makeScript(command.behaviour),
    counts: { opened: 0, closed: 0, requests: 0, bodies: 0, responses: 0 },
    open: new Set(),
    connections: [],
    requests: [],
    waiters: new Set()
  }
  const port = await listenOn(listener.server, command.port ?? 0)
  listeners.set(listener.id, listener)
  return { id: listener.id, port }
}

const stop = (listener: Listener): Promise<null> =>
  new Promise((resolve) => {
    listener.server.close(() => resolve(null))
    for (const connection of listener.open) {
      connection.left ??= "server"
      connection.stream.destroy()
      connection.socket.destroy()
    }
  })

// ---------------------------------------------------------------------------------------------------------------------
// Ports that nobody answers
// ---------------------------------------------------------------------------------------------------------------------

const connectTo = (port: number): Promise<net.Socket> =>
  new Promise((resolve, reject) => {
    const socket = net.connect({ host, port }, () => {
      socket.off("error", reject)
      socket.on("error", () => {})
      resolve(socket)
    })
    socket.once("error", reject)
  })

/**
 * The local end of a connection: bound, so nothing else can be given the port, and not listening, so the kernel
 * refuses. A port that was listened on and released might be somebody else's a moment later.
 */
const refusedPort = async (): Promise<Replies["RefusedPort"]> => {
  const holder = net.createServer((socket) => socket.on("error", () => {}))
  const socket = await connectTo(await listenOn(holder, 0))
  if (socket.localPort === undefined) throw new Error("the port could not be held")
  return { port: socket.localPort }
}

/**
 * A thread that listens and then stands still, its accept queue (one, and the one that Linux adds) filled from here:
 * the kernel drops every further SYN, so a connection is neither made nor refused.
 */
const unansweredPort = async (): Promise<Replies["UnansweredPort"]> => {
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads")
     const server = require("node:net").createServer()
     server.listen({ host: "${host}", port: 0, backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       setImmediate(() => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0))
     })`,
    { eval: true }
  )
  const port = await new Promise<number>((resolve, reject) => {
    worker.once("message", resolve)
    worker.once("error", reject)
  })
  await connectTo(port)
  await connectTo(port)
  return { port }
}

// ---------------------------------------------------------------------------------------------------------------------
// Commands
// ---------------------------------------------------------------------------------------------------------------------

const listenerOf = (id: number): Listener => {
  const listener = listeners.get(id)
  if (listener === undefined) throw new Error(`there is no listener ${id}`)
  return listener
}

const obey = async (command: Command): Promise<Replies[Command["_tag"]]> => {
  switch (command._tag) {
    case "Listen":
      return listen(command)
    case "Become":
      listenerOf(command.listener).script = makeScript(command.behaviour)
      return null
    case "EndConnections":
      for (const connection of listenerOf(command.listener).open) endConnection(connection, command.end)
      return null
    case "Stop":
      return stop(listenerOf(command.listener))
    case "Facts":
      return factsOf(listenerOf(command.listener))
    case "AwaitFacts":
      return awaitFacts(listenerOf(command.listener), command.condition, command.withinMillis)
    case "RefusedPort":
      return refusedPort()
    case "UnansweredPort":
      return unansweredPort()
  }
}

const reply = (message: ReplyMessage): void => {
  if (process.connected) process.send?.(message)
}

process.on("message", ({ command, id }: CommandMessage) => {
  obey(command).then(
    (value) => reply({ _tag: "Done", id, value }),
    (error: unknown) =>
      reply({
        _tag: "Failed",
        id,
        message: `${command._tag}: ${error instanceof Error ? error.message : String(error)}`
      })
  )
})

// The one tie to the parent: when it is cut, by whatever end the parent came to, nothing may stay behind.
process.on("disconnect", () => process.exit(0))

reply({ _tag: "Ready" })
