/** In which order addresses are dialled, how long after each other, and which socket wins. */

import { connect as connectOfNode, isIP, type NetConnectOpts, type Socket } from "node:net"
import * as Effect from "effect/Effect"
import { type Address, interleaved } from "./addressOrder.ts"

/** Opens a socket that has not connected yet, as `net.connect` does. */
export type Connect = (options: NetConnectOpts) => Socket

export interface DialOptions {
  /** How long after an attempt the next is begun, while none of them has ended. Default 250 (RFC 8305 §8). */
  readonly attemptDelayMillis?: number | undefined
  /** How long a connection may be idle before the system asks whether the peer is still there. Default: it never asks. */
  readonly keepAliveProbeMillis?: number | undefined
  /** The function that opens the sockets. Default `net.connect`. */
  readonly connect?: Connect | undefined
}

/** Why one attempt came to nothing. */
export interface FailedAttempt {
  /** `127.0.0.1:8080`, or the path of a Unix socket. */
  readonly target: string
  readonly code: string
  readonly error: Error
}

/**
 * The codes, the one that says most of the peer first. A refusal comes from a machine that is there, whereas a missing route may
 * only mean that this machine has no IPv6.
 */
const telling = [
  "ECONNREFUSED",
  "ECONNRESET",
  "ETIMEDOUT",
  "EACCES",
  "EPERM",
  "ENOENT",
  "EHOSTUNREACH",
  "EHOSTDOWN",
  "ENETUNREACH",
  "ENETDOWN",
  "EADDRNOTAVAIL"
]

const mostTelling = (attempts: ReadonlyArray<FailedAttempt>): string => {
  const codes = attempts.map(({ code }) => code)
  return telling.find((code) => codes.includes(code)) ?? codes[0] ?? "ENODATA"
}

/**
 * No address took the connection. The attempts are in the order in which they failed. Their errors are not in `errors` as those of
 * an `AggregateError` are: code that walks them finds any of the codes, and not the most telling one.
 */
export class DialError extends Error {
  readonly code: string
  readonly attempts: ReadonlyArray<FailedAttempt>
  constructor(attempts: ReadonlyArray<FailedAttempt>) {
    super(
      attempts.length === 0
        ? "there is no address to connect to"
        : attempts.map(({ code, target }) => `${target} ${code}`).join(", ")
    )
    this.name = "DialError"
    this.code = mostTelling(attempts)
    this.attempts = attempts
  }
}

/** An attempt that failed though the system reported no error of it. */
class AttemptError extends Error {
  readonly code: string
  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

interface Target {
  readonly name: string
  readonly options: NetConnectOpts
}

/**
 * Keeps an error of a connection that is between two owners from ending the process. The socket is destroyed with the error,
 * which is how the next owner sees it.
 */
const whileUnclaimed = (): void => {}

/**
 * Takes a dialled socket over: from here on an `error` of it is the caller's. To be called in one go with adding a listener.
 */
export const claim = (socket: Socket): Socket => socket.off("error", whileUnclaimed)

/**
 * Connects to the first of the addresses that answers (RFC 8305): families by turns, one attempt after the other, without ending
 * those before. Node's own way (`autoSelectFamily`) gives an attempt up when it begins the next, and so cannot reach a host that
 * takes longer than its delay.
 *
 * The socket comes without listeners but for one on `error`, which {@link claim} takes off. Interrupted, every socket is destroyed.
 */
export const dial = (
  addresses: ReadonlyArray<Address>,
  port: number,
  options: DialOptions = {}
): Effect.Effect<Socket, DialError> =>
  race(
    interleaved(addresses).map(({ address, family }) => ({
      name: family === 6 ? `[${address}]:${port}` : `${address}:${port}`,
      options: {
        host: address,
        port,
        family,
        autoSelectFamily: false,
        noDelay: true,
        ...(options.keepAliveProbeMillis === undefined
          ? undefined
          : { keepAlive: true, keepAliveInitialDelay: options.keepAliveProbeMillis })
      }
    })),
    options
  )

/** Connects to a Unix socket, with the same promises. */
export const dialUnix = (path: string, options: Pick<DialOptions, "connect"> = {}): Effect.Effect<Socket, DialError> =>
  race([{ name: path, options: { path } }], options)

/**
 * A port that nobody listens at may be one that the system hands out to clients. When it hands it to the client that calls that very
 * port, the call meets itself, which TCP takes for two peers that call each other at once (RFC 9293 §3.5): connected, with every
 * byte coming back to its sender.
 */
const isItself = (socket: Socket): boolean =>
  socket.localPort !== undefined &&
  socket.localPort === socket.remotePort &&
  socket.localAddress === socket.remoteAddress

const asError = (thrown: unknown): Error => (thrown instanceof Error ? thrown : new Error(String(thrown)))

const codeOf = (error: Error): string => ("code" in error && typeof error.code === "string" ? error.code : error.name)

const race = (targets: ReadonlyArray<Target>, options: DialOptions): Effect.Effect<Socket, DialError> =>
  Effect.callback((resume) => {
    const connect = options.connect ?? connectOfNode
    const delayMillis = options.attemptDelayMillis ?? 250
    const attempts: Array<FailedAttempt> = []
    /** The connecting sockets, with a function that takes our listeners off each. */
    const pending = new Map<Socket, () => void>()
    let next = 0
    let timer: NodeJS.Timeout | undefined
    let isOver = false

    const stop = (): void => {
      isOver = true
      clearTimeout(timer)
      for (const [socket, detach] of pending) {
        detach()
        discard(socket)
      }
      pending.clear()
    }
    const onFailed = (target: Target, error: Error): void => {
      attempts.push({ target: target.name, code: codeOf(error), error })
      if (next < targets.length) return begin()
      if (pending.size === 0) resume(Effect.fail(new DialError(attempts)))
    }
    const begin = (): void => {
      clearTimeout(timer)
      const target = targets[next++]
      if (target === undefined) return
      let socket: Socket
      try {
        socket = opened(target, connect)
      } catch (thrown) {
        return onFailed(target, asError(thrown))
      }
      // a listener that is told that a socket is opened may have ended all this
      if (isOver) return discard(socket)
      const onError = (error: Error): void => {
        detach()
        pending.delete(socket)
        discard(socket)
        onFailed(target, error)
      }
      const onConnect = (): void => {
        if (isItself(socket)) {
          return onError(new AttemptError("ECONNREFUSED", "nothing listens there; the connection is to itself"))
        }
        detach()
        pending.delete(socket)
        stop()
        resume(Effect.succeed(socket.on("error", whileUnclaimed)))
      }
      const detach = (): void => {
        socket.off("connect", onConnect)
        socket.off("error", onError)
      }
      socket.on("connect", onConnect)
      socket.on("error", onError)
      pending.set(socket, detach)
      if (next < targets.length) timer = setTimeout(begin, delayMillis)
    }
    if (targets.length === 0) resume(Effect.fail(new DialError([])))
    else begin()
    return Effect.sync(stop)
  })

/** A text that is not an address would be looked up by Node, behind the back of the policy that allowed the address. */
const opened = (target: Target, connect: Connect): Socket => {
  const { options } = target
  if ("host" in options && isIP(options.host ?? "") === 0) {
    throw new AttemptError("ERR_INVALID_IP_ADDRESS", `${options.host} is not an IP address`)
  }
  return connect(options)
}

const discard = (socket: Socket): void => {
  socket.on("error", whileUnclaimed)
  socket.destroy()
}
