/**
 * What the test upstream knows of each listener: its connections, their requests, and who waits for which of these facts.
 */
import { createHash } from "node:crypto"
import type * as http from "node:http"
import type * as net from "node:net"
import type { Behaviour, Http } from "./behaviour.ts"
import type { Protocol } from "./relayCut.ts"
import type { ConnectionFact, FactCondition, Facts, RequestFact } from "./upstreamMessages.ts"

const keptRecords = 10_000
const keptTextBytes = 4_096

/** On a clock that never goes back, and that is comparable with that of another process. */
export const nowMillis = (): number => performance.timeOrigin + performance.now()

export interface Connection {
  readonly ordinal: number
  readonly openedAtMillis: number
  /** The TCP socket: the only one that can be reset. */
  readonly socket: net.Socket
  /** What bytes are read from and written to: the socket itself, or TLS over it. */
  stream: net.Socket
  /** What is spoken on it. */
  protocol: Protocol
  tls: ConnectionFact["tls"]
  handshakeError: string | undefined
  /** Who left first. */
  left: "client" | "server" | undefined
  reset: boolean
  closedAtMillis: number | undefined
  /** Present while a TLS handshake is under way: to be called when it has ended, well or not. */
  handshake: PromiseWithResolvers<void> | undefined
}

export interface RecordedRequest {
  readonly ordinal: number
  readonly connection: number
  readonly arrivedAtMillis: number
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: BodyRecord
  answeredAtMillis: number | undefined
}

interface BodyRecord {
  readonly add: (chunk: Buffer) => void
  readonly end: () => void
  readonly fact: () => RequestFact["body"]
}

/** How far the listener's present script has come. */
export interface Script {
  readonly behaviour: Behaviour
  connections: number
  readonly httpServers: Map<Http, http.Server>
}

interface Waiter {
  readonly condition: FactCondition
  readonly resolve: () => void
}

export interface Listener {
  readonly id: number
  readonly server: net.Server
  /** What is spoken without TLS, and with it when the client does not choose. */
  readonly protocol: Protocol
  script: Script
  readonly counts: {
    opened: number
    closed: number
    requests: number
    bodies: number
    responses: number
  }
  readonly open: Set<Connection>
  readonly connections: Array<Connection>
  readonly requests: Array<RecordedRequest>
  readonly waiters: Set<Waiter>
}

export const remember = <A>(records: Array<A>, record: A): void => {
  records.push(record)
  if (records.length > keptRecords) records.shift()
}

const makeBodyRecord = (onEnd: () => void): BodyRecord => {
  const hash = createHash("sha256")
  let text: Array<Buffer> | undefined = []
  let size = 0
  let complete = false
  return {
    add: (chunk) => {
      hash.update(chunk)
      size += chunk.length
      if (size > keptTextBytes) text = undefined
      text?.push(chunk)
    },
    end: () => {
      if (complete) return
      complete = true
      onEnd()
    },
    fact: () => ({
      bytes: size,
      sha256: hash.copy().digest("hex"),
      complete,
      ...(text === undefined ? {} : { text: Buffer.concat(text).toString("utf8") })
    })
  }
}

export const recordRequest = (
  listener: Listener,
  connection: Connection,
  head: Pick<RecordedRequest, "method" | "url" | "headers">
): RecordedRequest => {
  listener.counts.requests += 1
  const request: RecordedRequest = {
    ...head,
    ordinal: listener.counts.requests,
    connection: connection.ordinal,
    arrivedAtMillis: nowMillis(),
    answeredAtMillis: undefined,
    body: makeBodyRecord(() => {
      listener.counts.bodies += 1
      changed(listener)
    })
  }
  remember(listener.requests, request)
  changed(listener)
  return request
}

const connectionFact = (connection: Connection): ConnectionFact => ({
  ordinal: connection.ordinal,
  openedAtMillis: connection.openedAtMillis,
  bytesReceived: connection.socket.bytesRead,
  ...(connection.tls === undefined ? {} : { tls: connection.tls }),
  ...(connection.handshakeError === undefined ? {} : { handshakeError: connection.handshakeError }),
  ...(connection.closedAtMillis === undefined
    ? {}
    : {
        closed: {
          atMillis: connection.closedAtMillis,
          closedBy: connection.left ?? "server",
          reset: connection.reset
        }
      })
})

const requestFact = ({ answeredAtMillis, body, ...request }: RecordedRequest): RequestFact => ({
  ...request,
  body: body.fact(),
  ...(answeredAtMillis === undefined ? {} : { answeredAtMillis })
})

const countFacts = ({ counts, open }: Listener): Omit<Facts, "connections" | "requests"> => ({
  connectionsOpened: counts.opened,
  connectionsOpen: open.size,
  connectionsClosed: counts.closed,
  requestsArrived: counts.requests,
  requestBodiesComplete: counts.bodies,
  responsesSent: counts.responses
})

export const factsOf = (listener: Listener): Facts => ({
  ...countFacts(listener),
  connections: listener.connections.map(connectionFact),
  requests: listener.requests.map(requestFact)
})

const holds = (listener: Listener, condition: FactCondition): boolean => {
  const facts = countFacts(listener)
  return (
    facts.connectionsOpened >= (condition.connectionsOpened ?? 0) &&
    facts.connectionsClosed >= (condition.connectionsClosed ?? 0) &&
    facts.connectionsOpen <= (condition.connectionsOpenAtMost ?? Infinity) &&
    facts.requestsArrived >= (condition.requestsArrived ?? 0) &&
    facts.requestBodiesComplete >= (condition.requestBodiesComplete ?? 0) &&
    facts.responsesSent >= (condition.responsesSent ?? 0)
  )
}

export const changed = (listener: Listener): void => {
  for (const waiter of listener.waiters) {
    if (holds(listener, waiter.condition)) waiter.resolve()
  }
}

export const awaitFacts = (listener: Listener, condition: FactCondition, withinMillis: number): Promise<Facts> =>
  new Promise((resolve, reject) => {
    const settle = (done: () => void): void => {
      clearTimeout(timer)
      listener.waiters.delete(waiter)
      done()
    }
    const waiter: Waiter = { condition, resolve: () => settle(() => resolve(factsOf(listener))) }
    const timer = setTimeout(
      () =>
        settle(() =>
          reject(
            new Error(
              `waited ${withinMillis} ms for ${JSON.stringify(condition)}, ` +
                `got ${JSON.stringify(countFacts(listener))}`
            )
          )
        ),
      withinMillis
    )
    listener.waiters.add(waiter)
    if (holds(listener, condition)) waiter.resolve()
  })
