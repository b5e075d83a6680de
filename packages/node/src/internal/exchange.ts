import type { Dispatcher } from "undici"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import * as Transport from "@holdfast/http/Transport"
import { ClientRefusedError, ConnectTimeoutError } from "./connector.ts"

/** Limits of the phases after the connection, in milliseconds. */
export interface PhaseLimits {
  readonly headersMillis: number
  readonly bodyMillis: number
}

type Settled = Exit.Exit<Transport.Response, Reason.TransportReason>

/**
 * One exchange, on the dispatcher's own events: no response object, no stream, no abort signal. The signal is what costs
 * most elsewhere; here the dispatcher's own handle aborts.
 *
 * An exchange settles once, by whichever comes first: the end of the body, an error, a limit, or the caller's interruption
 * through `abort`. Whatever leaves a response unread aborts it, which destroys its connection and frees its place in the pool.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: Transport.Request
  readonly #phases: PhaseLimits
  readonly #endpoint: string
  readonly #settle: (exit: Settled) => void
  #controller: Dispatcher.DispatchController | undefined
  #phase: Reason.Phase = "connect"
  #settled = false
  #status = 0
  #headers: Record<string, string> = {}
  #wanted = true
  #chunks: Array<Buffer> = []
  #kept = 0
  #read = 0
  #timer: NodeJS.Timeout | undefined
  #drainTimer: NodeJS.Timeout | undefined
  #upload: Upload | undefined

  constructor(request: Transport.Request, phases: PhaseLimits, endpoint: string, settle: (exit: Settled) => void) {
    this.#request = request
    this.#phases = phases
    this.#endpoint = endpoint
    this.#settle = settle
  }

  start(agent: Dispatching, body: ReadyBody): void {
    const { headers, method, origin, path } = this.#request
    let sent: string | Uint8Array | AsyncIterable<Uint8Array> | null = null
    if (typeof body === "string" || body instanceof Uint8Array) sent = body
    else if (body !== undefined) {
      this.#upload = uploadOf(body)
      sent = this.#upload.body
    }
    try {
      agent.dispatch({ origin, path, method, headers, body: sent }, this)
    } catch (error) {
      this.fail(error)
    }
  }

  /** The caller went away. Says whether that is what ended the exchange. */
  abort(): boolean {
    if (this.#settled) return false
    this.#finish()
    // an exchange that still waits for a connection has no controller; it is dropped when it gets one
    this.#controller?.abort(callerLeft)
    return true
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    // Its caller left while it waited. Thrown here, the request is dropped; an abort would destroy the connection that it has
    // just been given, which is whole.
    if (this.#settled) throw callerLeft
    this.#controller = controller
    this.#phase = "send"
    this.#arm(this.#phases.headersMillis, () => this.#headersLate())
  }

  onBodySent(): void {
    // an upload that goes on is not late, however long it takes; one that the server no longer takes is
    if (this.#phase === "send" && !this.#settled) this.#timer?.refresh()
  }

  onRequestSent(): void {
    if (this.#phase !== "send" || this.#settled) return
    this.#phase = "wait"
    // the limit of the headers counts from the end of the request, not from its beginning
    this.#timer?.refresh()
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: NodeJS.Dict<string | Array<string>>
  ): void {
    if (status < 200) return // 100 and 103 come before the response
    this.#phase = "receive"
    this.#status = status
    this.#headers = joined(headers)
    this.#wanted = Transport.isExpected(this.#request, status)
    this.#arm(this.#phases.bodyMillis, () => this.#bodyLate())
    const announced = this.#request.method === "HEAD" ? 0 : Number(this.#headers["content-length"] ?? 0)
    if (this.#wanted) {
      if (announced > this.#request.limits.responseBytes) this.#tooLarge(announced)
      return
    }
    const { drainBytes, drainTime } = this.#request.limits
    if (announced > drainBytes) {
      // reading it costs more than a new connection: keep what comes with the headers, which is nothing yet
      this.#answerUnread()
      return
    }
    this.#drainTimer = setTimeout(() => this.#answerUnread(), Duration.toMillis(drainTime))
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#settled) return
    this.#timer?.refresh()
    this.#read += chunk.length
    const { drainBytes, errorBytes, responseBytes } = this.#request.limits
    if (this.#wanted) {
      if (this.#read > responseBytes) {
        this.#tooLarge(this.#read)
        return
      }
      this.#chunks.push(chunk)
      this.#kept += chunk.length
      return
    }
    const room = errorBytes - this.#kept
    if (room > 0) {
      const part = chunk.length > room ? chunk.subarray(0, room) : chunk
      this.#chunks.push(part)
      this.#kept += part.length
    }
    if (this.#read > drainBytes) this.#answerUnread()
  }

  onResponseEnd(): void {
    if (this.#settled) return
    this.#succeed(this.#kept === this.#read)
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#settled) return
    // the status is known and says more than a body that was cut
    if (this.#phase === "receive" && !this.#wanted) {
      this.#succeed(false)
      return
    }
    this.fail(error)
  }

  /** Settles with the reason that an error stands for. */
  fail(error: unknown): void {
    if (this.#settled) return
    this.#finish()
    this.#settle(Exit.fail(reasonOf(error, this.#endpoint, this.#phase)))
  }

  #succeed(bodyComplete: boolean): void {
    this.#finish()
    const body =
      this.#chunks.length === 1 && this.#chunks[0] !== undefined
        ? this.#chunks[0]
        : Buffer.concat(this.#chunks, this.#kept)
    this.#settle(Exit.succeed({ status: this.#status, headers: this.#headers, body, bodyComplete }))
  }

  /** Answers with the error status and as much of its body as was read, and lets the connection go. */
  #answerUnread(): void {
    if (this.#settled) return
    this.#succeed(false)
    this.#controller?.abort(notRead)
  }

  #tooLarge(size: number): void {
    this.#giveUp(
      () => new Reason.ResponseTooLarge({ endpoint: this.#endpoint, limit: this.#request.limits.responseBytes, size })
    )
  }

  #headersLate(): void {
    this.#giveUp(
      () => new Reason.HeadersTimeout({ endpoint: this.#endpoint, limit: Duration.millis(this.#phases.headersMillis) })
    )
  }

  #bodyLate(): void {
    if (!this.#wanted) {
      this.#answerUnread()
      return
    }
    this.#giveUp(
      () => new Reason.BodyTimeout({ endpoint: this.#endpoint, limit: Duration.millis(this.#phases.bodyMillis) })
    )
  }

  #giveUp(reason: () => Reason.TransportReason): void {
    if (this.#settled) return
    this.#finish()
    this.#settle(Exit.fail(stackless(reason)))
    this.#controller?.abort(notRead)
  }

  /** One timer serves both phases; it is pushed back by progress, which costs nothing but a timestamp. */
  #arm(millis: number, late: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = millis === Infinity ? undefined : setTimeout(late, millis)
  }

  #finish(): void {
    this.#settled = true
    clearTimeout(this.#timer)
    clearTimeout(this.#drainTimer)
    // undici leaves a body that it no longer reads as it is
    this.#upload?.end()
  }
}

// made once: an abort needs an error, and nobody reads it
const callerLeft = stackless(() => new Error("the caller no longer wants the response"))
const notRead = stackless(() => new Error("the response is not read to its end"))

const joined = (headers: NodeJS.Dict<string | Array<string>>): Record<string, string> => {
  const joined: Record<string, string> = {}
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (value !== undefined) joined[name] = typeof value === "string" ? value : value.join(", ")
  }
  return joined
}

const reasonOf = (error: unknown, endpoint: string, phase: Reason.Phase): Reason.TransportReason => {
  if (error instanceof ConnectTimeoutError) {
    return stackless(() => new Reason.ConnectTimeout({ endpoint, limit: Duration.millis(error.limitMillis) }))
  }
  if (error instanceof ClientRefusedError) {
    return stackless(() => new Reason.ClientCertificateRequired({ endpoint, phase: "connect", code: error.code }))
  }
  return stackless(() => FailureClassifier.classify(error, { endpoint, phase }))
}

/** A body that can be sent: a stream has got the context that it runs in. */
export type ReadyBody = string | Uint8Array | AsyncIterable<Uint8Array> | undefined

/** undici's dispatcher by what it takes, which is any async iterable: its own type names only some of them. */
interface Dispatching {
  dispatch(
    options: Omit<Dispatcher.DispatchOptions, "body"> & {
      body?: Exclude<Dispatcher.DispatchOptions["body"], undefined> | AsyncIterable<Uint8Array>
    },
    handler: Dispatcher.DispatchHandler
  ): boolean
}

interface Upload {
  readonly body: AsyncIterable<Uint8Array>
  /** Interrupts the stream and runs its finalizers, if it was begun and has not ended. */
  readonly end: () => void
}

const uploadOf = (source: AsyncIterable<Uint8Array>): Upload => {
  let iterator: AsyncIterator<Uint8Array> | undefined
  const body: AsyncIterable<Uint8Array> = {
    [Symbol.asyncIterator]: () => (iterator = source[Symbol.asyncIterator]())
  }
  return {
    body,
    // the call has ended, so that nobody is left to hear of a finalizer that fails
    end: () => void iterator?.return?.().catch(() => undefined)
  }
}
