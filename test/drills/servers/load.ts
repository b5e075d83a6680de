/**
 * The load of the drill, the same for every client: callers that call one after the other, or all at once in rounds. GET and POST
 * take turns, each with an id that the backend writes down. Bounded in time and in number.
 */
import { setTimeout as delay } from "node:timers/promises"
import type { Protocol } from "./setting.ts"

export interface Load {
  readonly callers: number
  /** Clients that share the callers, each with connections of its own. */
  readonly clients: number
  /** How long the backend takes for an answer. */
  readonly workMillis: number
  readonly bound: { readonly millis: number; readonly calls: number }
  /** Set: all callers call at once and then wait this long, a little differently each. Left out: nobody waits. */
  readonly rounds?: {
    readonly pauseMillis: readonly [from: number, to: number]
    /** Calls that are begun and left at once at the beginning of each pause: a connection may be made that carries nothing. */
    readonly left?: number
  }
}

export const clientNames = ["holdfast", "undici", "node"] as const

export type ClientName = (typeof clientNames)[number]

export interface ClientOptions {
  readonly url: string
  readonly protocol: Protocol
  /** PEM of the root to trust. */
  readonly trustedRoot: string
}

/** Why a call failed, in one word, and whether it was refused on this side. */
export interface Failure {
  readonly why: string
  readonly isRefusal: boolean
}

export type Method = "GET" | "POST"

/** An id says what it is the id of. */
export const methodOf = (id: string): Method => (id.endsWith("POST") ? "POST" : "GET")

export interface Client {
  readonly call: (method: Method, path: string, id: string) => Promise<Failure | undefined>
  /** Begins a GET and leaves it before anything can have come of it. */
  readonly leave: (path: string) => void
  /** Made so far, where the client counts them. */
  readonly retries: () => number
  readonly close: () => Promise<void>
}

export type MakeClient = (options: ClientOptions) => Promise<Client>

export interface Job extends ClientOptions {
  readonly client: ClientName
  readonly load: Load
  /** What the ids begin with. */
  readonly prefix: string
}

/** What a client told its callers. */
export interface Told {
  readonly calls: Readonly<Record<Method, number>>
  readonly failed: ReadonlyArray<Failure & { readonly method: Method; readonly id: string }>
  /** Calls that did not end. */
  readonly hanging: number
  readonly retries: number
  /** Errors that reached nobody but the process. */
  readonly uncaught: ReadonlyArray<string>
}

/** A call that has not ended so long after the load is over hangs. */
const graceMillis = 6_000
const failurePauseMillis = 5

export const run = async ({ load, prefix, ...options }: Omit<Job, "client">, make: MakeClient) => {
  const clients = await Promise.all(Array.from({ length: load.clients }, () => make(options)))
  const calls = { GET: 0, POST: 0 }
  const failed: Array<Told["failed"][number]> = []
  const path = `/${load.workMillis}`
  const over = performance.now() + load.bound.millis
  let begun = 0
  let ended = 0
  const isOver = (): boolean => performance.now() >= over || begun >= load.bound.calls

  const call = async (client: Client): Promise<void> => {
    const method = begun++ % 2 === 0 ? "GET" : "POST"
    const id = `${prefix}${begun} ${method}`
    const failure = await client.call(method, path, id)
    ended++
    calls[method]++
    if (failure === undefined) return
    failed.push({ ...failure, method, id })
    // a failure may come at once, and the next one with it: they are not to take the processor from the other clients
    await delay(failurePauseMillis)
  }

  const { rounds } = load
  const callers = Array.from({ length: load.callers }, (_, caller) => clients[caller % clients.length]).filter(
    (client) => client !== undefined
  )
  const steady = async (): Promise<void> => {
    await Promise.all(
      callers.map(async (client) => {
        while (!isOver()) await call(client)
      })
    )
  }
  const inRounds = async ({ left = 0, pauseMillis: [from, to] }: NonNullable<Load["rounds"]>): Promise<void> => {
    while (!isOver()) {
      for (const client of clients) for (let count = 0; count < left; count++) client.leave(path)
      await Promise.all(
        callers.map(async (client) => {
          await delay(from + Math.random() * (to - from))
          await call(client)
        })
      )
    }
  }

  const late = new AbortController()
  await Promise.race([
    rounds === undefined ? steady() : inRounds(rounds),
    delay(load.bound.millis + graceMillis, undefined, { signal: late.signal }).catch(() => {})
  ])
  late.abort()
  const told = {
    calls,
    failed,
    hanging: begun - ended,
    retries: clients.reduce((sum, client) => sum + client.retries(), 0)
  }
  return { told, close: () => Promise.all(clients.map((client) => client.close())) }
}
