import type { Transform } from "node:stream"
import type { Dispatcher } from "undici"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import * as Transport from "@holdfast/http/Transport"
import type { ProxyTarget } from "../Proxy.ts"
import { type Connection, ConnectionEndedError, type NotBegun, NotBegunError } from "./connection.ts"
import { acceptedCodings, codingOf, makeDecoder } from "./decoding.ts"
import { nowMillis } from "./monotonic.ts"
import { OpenBody, type Source } from "./openBody.ts"
import type { Waiting } from "./poolState.ts"
import { absoluteForm, ProxyError, proxyHeaders, proxyReason } from "./tunnel.ts"
import { type ReadyBody, type Upload, uploadOf } from "./upload.ts"

/** Limits of the phases after the connection, in milliseconds. */
export interface PhaseLimits {
  readonly sendMillis: number
  readonly headersMillis: number
  readonly bodyMillis: number
  /** Of the whole body; `Infinity` for none. */
  readonly transferMillis: number
}

/** How exchanges of one pool are made. */
export interface Terms {
  readonly endpoint: string
  readonly phases: PhaseLimits
  /** Whether codings are asked for and undone. */
  readonly decompress: boolean
  /** The proxy that is asked for the whole URL, where there is one. */
  readonly proxy: ProxyTarget | undefined
}

/** What an exchange asks of the pool that it is in. */
export interface Owner {
  /** It waits for a connection no more. */
  readonly leaveQueue: (exchange: Exchange) => void
  /** It needs its connection no more, or never got one. */
  readonly release: (exchange: Exchange) => void
  /** Its connection took nothing of it: it wants another one. */
  readonly again: (exchange: Exchange) => void
}

export type Answer = Transport.Response | Transport.OpenResponse
export type Settled = Exit.Exit<Answer, Reason.TransportReason>

/** When the phases ended, for whoever listens. */
interface Marks {
  readonly begun: number
  connected: number | undefined
  started: number | undefined
  sent: number | undefined
  headers: number | undefined
}

/**
 * One exchange, on the dispatcher's own events: no response object, no abort signal. The signal is what costs most elsewhere; here
 * the dispatcher's own handle aborts.
 *
 * It has two ends, each reached once. The wire's: the response is read, or was cut; then the connection is given back. And its own:
 * whoever waits has the answer, the reason or the end of the body, or has left. Coded bodies are why they are not the same.
 */
export class Exchange implements Dispatcher.DispatchHandler, Waiting<Exchange>, NotBegun, Source {
  // its place in the pool's queue
  queued = false
  arrival = 0
  previous: Exchange | undefined = undefined
  next: Exchange | undefined = undefined
  connection: Connection | undefined = undefined

  readonly #owner: Owner
  readonly #terms: Terms
  readonly #request: Transport.Request
  readonly #body: ReadyBody
  readonly #opens: boolean
  readonly #settle: (exit: Settled) => void
  readonly #marks: Marks | undefined
  #controller: Dispatcher.DispatchController | undefined
  #phase: Reason.Phase = "connect"
  #offWire = false
  #ended = false
  #cutShort = false
  #triedAgain = false
  #status = 0
  #headers: Record<string, string> = {}
  #wanted = true
  #chunks: Array<Uint8Array> = []
  #kept = 0
  /** Bytes of the body that came, as coded. */
  #read = 0
  /** Bytes of the body that it stands for. */
  #size = 0
  #timer: NodeJS.Timeout | undefined
  /** Bounds all of a body: how long it may take, or how long one that nobody wants is drained. */
  #bodyTimer: NodeJS.Timeout | undefined
  #upload: Upload | undefined
  #decoder: Transform | undefined
  #opened: OpenBody | undefined

  constructor(
    owner: Owner,
    terms: Terms,
    request: Transport.Request,
    body: ReadyBody,
    opens: boolean,
    settle: (exit: Settled) => void
  ) {
    this.#owner = owner
    this.#terms = terms
    this.#request = request
    this.#body = body
    this.#opens = opens
    this.#settle = settle
    this.#marks =
      request.onTimings === undefined
        ? undefined
        : { begun: nowMillis(), connected: undefined, started: undefined, sent: undefined, headers: undefined }
  }

  /** Whether nobody waits for anything of it any more. */
  get isOver(): boolean {
    return this.#ended
  }

  /** Waits for a connection, and gives up after so long. */
  wait(millis: number, late: () => Reason.TransportReason): void {
    this.#arm(millis, () => this.giveUp(late))
  }

  /** Goes over a connection. */
  start(connection: Connection): void {
    this.connection = connection
    if (this.#marks !== undefined) this.#marks.connected = nowMillis()
    const { method, origin, path } = this.#request
    let sent: string | Uint8Array | AsyncIterable<Uint8Array> | null = null
    const headers = this.#headersToSend()
    if (this.#body !== undefined) {
      this.#upload = uploadOf(this.#body, headers)
      sent = this.#upload.body
    }
    if (connection.capacity > 1) connection.waiting.add(this)
    try {
      const dispatcher: Dispatching = connection.client
      dispatcher.dispatch(
        // one connection has one peer: whatever the host header says, undici need not connect anew
        {
          origin,
          path: this.#terms.proxy === undefined ? path : absoluteForm(origin, path),
          method,
          headers,
          body: sent,
          servername: "peer"
        },
        this
      )
    } catch (error) {
      this.fail(error)
    }
  }

  /** The caller went away, or leaves the rest of the body. */
  leave(): void {
    if (this.#ended) return
    this.#cut()
    this.#finish()
  }

  /** Ends it with a reason of our own. */
  giveUp(reason: () => Reason.TransportReason): void {
    if (this.#ended) return
    this.#cut()
    this.#failWith(stackless(reason))
  }

  /** Ends it with the reason that an error stands for. */
  fail(error: unknown): void {
    if (this.#ended) return
    this.#cut()
    this.#failWith(stackless(() => reasonOf(error, this.#terms.endpoint, this.#phase)))
  }

  // -------------------------------------------------------------------------------------------------------------------
  // what the dispatcher says
  // -------------------------------------------------------------------------------------------------------------------

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.connection?.waiting.delete(this)
    // Its caller left while it waited. Thrown here, the request is dropped; an abort would destroy the connection that it has
    // just been given, which is whole.
    if (this.#ended) throw callerLeft
    this.#controller = controller
    this.#phase = "send"
    if (this.#marks !== undefined) this.#marks.started = nowMillis()
    if (this.#body === undefined) clearTimeout(this.#timer)
    else this.#arm(this.#terms.phases.sendMillis, () => this.#sendLate())
  }

  onBodySent(): void {
    // an upload that goes on is not late, however long it takes; one that the server no longer takes is
    if (this.#phase === "send" && !this.#offWire) this.#timer?.refresh()
  }

  onRequestSent(): void {
    if (this.#phase !== "send" || this.#offWire) return
    this.#phase = "wait"
    if (this.#marks !== undefined) this.#marks.sent = nowMillis()
    this.#arm(this.#terms.phases.headersMillis, () => this.#headersLate())
  }

  onResponseStart(
    _: Dispatcher.DispatchController,
    status: number,
    headers: NodeJS.Dict<string | Array<string>>
  ): void {
    if (status < 200 || this.#offWire) return // 100 and 103 come before the response
    const { endpoint, proxy } = this.#terms
    // only a proxy says so (RFC 9110 §15.5.8), and a tunnel would not have been made: the request went no further
    if (status === 407 && proxy !== undefined) {
      this.giveUp(() => proxyReason(new ProxyError({ proxy: proxy.endpoint, status }), endpoint))
      return
    }
    this.#phase = "receive"
    this.#status = status
    this.#headers = joined(headers)
    this.#wanted = Transport.isExpected(this.#request, status)
    if (this.#marks !== undefined) this.#marks.headers = nowMillis()
    if (this.connection !== undefined) {
      this.connection.unanswered = 0
      this.connection.answered = true
      if (closes(this.#headers)) this.connection.reusable = false
    }
    this.#awaitBody()
    const bodiless = this.#request.method === "HEAD" || status === 204 || status === 304
    const announced = bodiless ? 0 : Number(this.#headers["content-length"] ?? 0)
    if (!bodiless) this.#decode()
    const { drainBytes, drainTime, responseBytes } = this.#request.limits
    if (!this.#wanted) {
      // reading it would cost more than a new connection: keep what comes with the headers, which is nothing yet
      if (announced > drainBytes) this.#answerUnread()
      else this.#bodyTimer = setTimeout(() => this.#answerUnread(), Duration.toMillis(drainTime))
      return
    }
    if (announced > responseBytes) {
      this.#tooLarge(announced)
      return
    }
    const { transferMillis } = this.#terms.phases
    if (transferMillis !== Infinity) this.#bodyTimer = setTimeout(() => this.#transferLate(), transferMillis)
    if (this.#opens) {
      this.#opened = new OpenBody(this)
      this.#tell(Exit.succeed({ status, headers: this.#headers, stream: this.#opened.stream }))
    }
  }

  onResponseData(_: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#offWire) return
    this.#timer?.refresh()
    this.#read += chunk.length
    const { drainBytes, responseBytes } = this.#request.limits
    if (this.#wanted && this.#read > responseBytes) {
      this.#tooLarge(this.#read)
      return
    }
    if (this.#decoder === undefined) this.#take(chunk)
    else if (!this.#decoder.write(chunk)) this.#hold()
    if (!this.#wanted && this.#read > drainBytes) this.#answerUnread()
  }

  onResponseEnd(): void {
    if (this.#offWire) return
    this.#leaveWire()
    clearTimeout(this.#timer)
    if (this.#decoder === undefined) this.#bodyEnded()
    else this.#decoder.end()
  }

  onResponseError(_: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#offWire) return
    // it may have gone to another connection already
    if (error instanceof NotBegunError && error.connection !== this.connection) return
    const { connection } = this
    if (connection !== undefined && !endsStream(error)) {
      // the end of a stream is that exchange's alone; whatever else happens to a connection, happens to all on it
      connection.reusable = false
      if (!(error instanceof NotBegunError)) connection.error ??= error
    }
    if (this.#phase === "connect" || error instanceof NotBegunError) this.notBegun()
    // the status is known and says more than a body that was cut
    else if (this.#phase === "receive" && !this.#wanted) this.#answerUnread()
    else this.fail(error)
  }

  /** Its connection will not do anything of it. */
  notBegun(): void {
    if (this.#offWire || this.#tryAgain()) return
    const { connection } = this
    this.fail(connection?.error ?? connection?.connected.socket.errored ?? new ConnectionEndedError())
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the body
  // -------------------------------------------------------------------------------------------------------------------

  /** Puts a decoder between the wire and whoever takes the body, if it is coded in a way that was asked for. */
  #decode(): void {
    const coding = this.#terms.decompress ? codingOf(this.#headers["content-encoding"]) : undefined
    if (coding === undefined) return
    const decoder = makeDecoder(coding, !this.#wanted)
    // what they describe is not what is handed on
    delete this.#headers["content-encoding"]
    delete this.#headers["content-length"]
    decoder.on("data", (chunk: Buffer) => this.#take(chunk))
    decoder.on("drain", () => this.#go())
    decoder.once("end", () => this.#bodyEnded())
    decoder.once("error", (error: NodeJS.ErrnoException) => this.#broken(coding, error))
    this.#decoder = decoder
  }

  /** Takes a piece of the body itself. */
  #take(chunk: Uint8Array): void {
    if (this.#ended) return
    this.#size += chunk.length
    const { errorBytes, responseBytes } = this.#request.limits
    if (!this.#wanted) {
      const room = errorBytes - this.#kept
      if (room > 0) this.#keep(chunk.length > room ? chunk.subarray(0, room) : chunk)
      return
    }
    if (this.#size > responseBytes) {
      this.#tooLarge(this.#size)
      return
    }
    if (this.#opened === undefined) this.#keep(chunk)
    else if (!this.#opened.push(chunk)) {
      this.#decoder?.pause()
      this.#hold()
    }
  }

  #keep(chunk: Uint8Array): void {
    this.#chunks.push(chunk)
    this.#kept += chunk.length
  }

  #bodyEnded(): void {
    if (this.#ended) return
    if (this.#opened === undefined) this.#succeed()
    else {
      this.#opened.end()
      this.#finish()
    }
  }

  /** Holds the wire up: whoever reads is behind, which is no fault of the server's. */
  #hold(): void {
    if (this.#offWire) return
    clearTimeout(this.#timer)
    this.#controller?.pause()
  }

  /** Lets the wire go on. */
  #go(): void {
    if (this.#offWire || this.#controller?.paused !== true || this.#decoder?.writableNeedDrain === true) return
    this.#awaitBody()
    this.#controller.resume()
  }

  /** Whoever reads has room again. */
  resume(): void {
    if (this.#ended) return
    // later: a reader may be resumed from inside the dispatcher
    queueMicrotask(() => {
      if (this.#ended) return
      this.#decoder?.resume()
      this.#go()
    })
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the ends
  // -------------------------------------------------------------------------------------------------------------------

  #succeed(): void {
    const body =
      this.#chunks.length === 1 && this.#chunks[0] !== undefined
        ? this.#chunks[0]
        : Buffer.concat(this.#chunks, this.#kept)
    const bodyComplete = !this.#cutShort && this.#kept === this.#size
    this.#finish()
    this.#tell(Exit.succeed({ status: this.#status, headers: this.#headers, body, bodyComplete }))
  }

  #failWith(reason: Reason.TransportReason): void {
    this.#finish()
    if (this.#opened === undefined) this.#tell(Exit.fail(reason))
    else this.#opened.fail(reason)
  }

  /** Answers with the error status and as much of its body as was read, and lets the connection go. */
  #answerUnread(): void {
    if (this.#offWire || this.#ended) return
    this.#cutShort = true
    this.#cut()
    clearTimeout(this.#timer)
    if (this.#decoder === undefined) this.#succeed()
    else this.#decoder.end()
  }

  #tooLarge(size: number): void {
    const { endpoint } = this.#terms
    this.giveUp(() => new Reason.ResponseTooLarge({ endpoint, limit: this.#request.limits.responseBytes, size }))
  }

  #broken(coding: string, error: NodeJS.ErrnoException): void {
    // of an error's body, what came before is kept
    if (!this.#wanted) {
      this.#cutShort = true
      if (!this.#offWire) this.#cut()
      if (!this.#ended) this.#succeed()
      return
    }
    const detail = `its ${coding} coding is broken`
    this.giveUp(
      () =>
        new Reason.MalformedResponse({
          endpoint: this.#terms.endpoint,
          phase: "receive",
          ...(error.code === undefined ? {} : { code: error.code }),
          detail
        })
    )
  }

  #sendLate(): void {
    this.#late(this.#terms.phases.sendMillis, (given) => new Reason.SendTimeout(given))
  }

  #headersLate(): void {
    this.#late(this.#terms.phases.headersMillis, (given) => new Reason.HeadersTimeout(given))
  }

  #bodyLate(): void {
    if (this.#wanted) this.#late(this.#terms.phases.bodyMillis, (given) => new Reason.BodyTimeout(given))
    else this.#answerUnread()
  }

  #transferLate(): void {
    this.#late(this.#terms.phases.transferMillis, (given) => new Reason.TransferTimeout(given))
  }

  #late(
    millis: number,
    reason: (given: { readonly endpoint: string; readonly limit: Duration.Duration }) => Reason.TransportReason
  ): void {
    const { connection } = this
    this.giveUp(() => reason({ endpoint: this.#terms.endpoint, limit: Duration.millis(millis) }))
    if (connection === undefined) return
    connection.reusable = false
    if (connection.capacity === 1 || connection.answered) return
    // nothing has ever come over it, and others may wait for their turn on it
    void connection.close()
  }

  #awaitBody(): void {
    this.#arm(this.#terms.phases.bodyMillis, () => this.#bodyLate())
  }

  /** One timer serves all phases; it is pushed back by progress, which costs nothing but a timestamp. */
  #arm(millis: number, late: () => void): void {
    clearTimeout(this.#timer)
    this.#timer = millis === Infinity ? undefined : setTimeout(late, millis)
  }

  /** Takes what is left of it off the wire. One that waits for its turn is dropped when that comes. */
  #cut(): void {
    if (this.#offWire) return
    const begun = this.#controller !== undefined
    this.#leaveWire()
    if (begun && this.connection !== undefined) this.#judge(this.connection)
    this.#controller?.abort(notRead)
  }

  /**
   * What a cut exchange says of its connection. One of HTTP/1.1 is of no use after it. One that carries many goes on, unless it
   * has fallen silent, which nothing else would tell for a while: a limit has passed on it, or nobody got an answer for some time.
   */
  #judge(connection: Connection): void {
    if (connection.connected.protocol === "http/1.1") connection.reusable = false
    else if (this.#phase !== "receive" && ++connection.unanswered >= silentAfter) connection.reusable = false
  }

  #leaveWire(): void {
    this.#offWire = true
    this.connection?.waiting.delete(this)
    // at once: who comes in this turn must not wait behind one that has left, or find his place taken
    if (this.queued) this.#owner.leaveQueue(this)
    // Later: the pool gives the connection to the next one, which must not enter undici from its own callback, in the middle of
    // its bookkeeping. It asserts that nobody does, and a failed assertion there ends the process.
    queueMicrotask(() => this.#owner.release(this))
  }

  /** Later, for the same reason: a fiber goes on at once, and with it its next call. */
  #tell(exit: Settled): void {
    queueMicrotask(() => this.#settle(exit))
  }

  /**
   * Goes to another connection: from one that has answered others, however often, because its peer gets somewhere. From any other
   * once, and not from one that was made for it: that says enough of the endpoint.
   */
  #tryAgain(): boolean {
    const { connection } = this
    if (connection === undefined) return false
    if (!connection.answered) {
      if (this.#triedAgain || connection.served < 2) return false
      this.#triedAgain = true
    }
    connection.waiting.delete(this)
    clearTimeout(this.#timer)
    this.#upload?.end()
    this.#upload = undefined
    this.#controller = undefined
    this.#phase = "connect"
    this.#owner.again(this)
    return true
  }

  #finish(): void {
    this.#ended = true
    clearTimeout(this.#timer)
    clearTimeout(this.#bodyTimer)
    this.#decoder?.destroy()
    // undici leaves a body that it no longer reads as it is
    this.#upload?.end()
    if (this.#marks !== undefined) this.#request.onTimings?.(this.#timings(this.#marks))
  }

  #timings({ begun, connected, headers, sent, started }: Marks): Transport.PhaseTimings {
    const now = nowMillis()
    const connection = this.connection
    const isNew = connection?.served === 1
    const made = isNew ? connection.connected : undefined
    return {
      ...(connection === undefined
        ? {}
        : {
            connection: isNew ? "new" : "reused",
            protocol: connection.connected.protocol,
            peer: connection.connected.peer
          }),
      queueMillis: (connected ?? now) - begun,
      dnsMillis: made?.dnsMillis,
      connectMillis: made?.connectMillis,
      tlsMillis: made?.tlsMillis,
      sendMillis: started === undefined ? undefined : (sent ?? now) - started,
      waitMillis: sent === undefined ? undefined : (headers ?? now) - sent,
      receiveMillis: headers === undefined ? undefined : now - headers
    }
  }

  /** Names and values in turn, as undici reads them fastest. */
  #headersToSend(): Array<string> {
    const { headers } = this.#request
    const { decompress, proxy } = this.#terms
    const sent: Array<string> = []
    for (const name of Object.keys(headers)) {
      const value = headers[name]
      if (value !== undefined) sent.push(name, value)
    }
    if (decompress && headers["accept-encoding"] === undefined) sent.push("accept-encoding", acceptedCodings)
    if (proxy !== undefined) for (const [name, value] of Object.entries(proxyHeaders(proxy))) sent.push(name, value)
    return sent
  }
}

/** After so many exchanges without an answer a connection that carries many counts as silent. */
const silentAfter = 3

// made once: an abort needs an error, and nobody reads it
const callerLeft = stackless(() => new Error("the caller no longer wants the response"))
const notRead = stackless(() => new Error("the response is not read to its end"))

const endsStream = (error: NodeJS.ErrnoException): boolean => error.code === "ERR_HTTP2_STREAM_ERROR"

const joined = (headers: NodeJS.Dict<string | Array<string>>): Record<string, string> => {
  const joined: Record<string, string> = {}
  for (const name of Object.keys(headers)) {
    const value = headers[name]
    if (value !== undefined) joined[name] = typeof value === "string" ? value : value.join(", ")
  }
  return joined
}

/** Whether the server says that it will close the connection (RFC 9112 §9.6). */
const closes = ({ connection }: { readonly [name: string]: string }): boolean =>
  connection !== undefined && /(?:^|,)[\t ]*close[\t ]*(?:,|$)/i.test(connection)

/**
 * The reason that an error stands for. An exchange has a connection whose handshake is done, so that TLS which breaks is a damaged
 * record: the classifier, which knows no transport's phases for sure, would say that the handshake failed, and so that nothing was
 * sent.
 */
const reasonOf = (error: unknown, endpoint: string, phase: Reason.Phase): Reason.TransportReason => {
  const reason = FailureClassifier.classify(error, { endpoint, phase })
  if (reason._tag !== "TlsHandshakeFailed") return reason
  const code = reason.code === undefined ? {} : { code: reason.code }
  return new Reason.MalformedResponse({ endpoint, phase, ...code, detail: "a record of TLS is damaged" })
}

/** undici's dispatcher by what it takes, which is any async iterable: its own type names only some of them. */
interface Dispatching {
  dispatch(
    options: Omit<Dispatcher.DispatchOptions, "body"> & {
      body?: Exclude<Dispatcher.DispatchOptions["body"], undefined> | AsyncIterable<Uint8Array>
      servername?: string
    },
    handler: Dispatcher.DispatchHandler
  ): boolean
}
