/** One exchange: a request, its way over a connection, and the response that its caller gets. */

import { AssertionError } from "node:assert"
import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import * as Transport from "@holdfast/http/Transport"
import type { ProxyTarget } from "../../Proxy.ts"
import type { Connection } from "../pool/connection.ts"
import { acceptedCodings, type Broken, codingOf, Decoder, type DecoderListener } from "./decoding.ts"
import * as State from "./exchangeState.ts"
import { Gathering } from "./gathering.ts"
import { nowMillis } from "./monotonic.ts"
import { OpenBody, type Source } from "./openBody.ts"
import type { Waiting } from "../pool/poolState.ts"
import { type ResponseHead, responseHead } from "./responseHead.ts"
import { absoluteForm, ProxyError, proxyHeaders, proxyReason } from "../proxy/tunnel.ts"
import { type ReadyBody, type Upload, uploadOf } from "./upload.ts"
import {
  BodyError,
  ConnectionEndedError,
  isOfStream,
  NotBegunError,
  NotHttp2Error,
  UnprocessedError,
  type WireControl,
  type WireListener
} from "./wire.ts"

const { act } = State

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
  /** The most bytes of a head, of a request or of its response. */
  readonly headerBytes: number
  /** Whether codings are asked for and undone. */
  readonly decompress: boolean
  /** The proxy that is asked for the whole URL, where there is one. */
  readonly proxy: ProxyTarget | undefined
}

/** The pool's side of an exchange. */
export interface Owner {
  /** It waits for a connection no more. */
  readonly leaveQueue: (exchange: Exchange) => void
  /** It needs its connection no more, or never got one. */
  readonly release: (exchange: Exchange) => void
  /** Its connection did nothing with it: it wants another one. */
  readonly again: (exchange: Exchange, connection: Connection) => void
  /** A connection that had been used before has answered it. */
  readonly usedAgain: () => void
  /** A connection that had been used before was closed before it answered. */
  readonly stale: (connection: Connection) => void
}

export type Answer = Transport.Response | Transport.OpenResponse
export type Settled = Exit.Exit<Answer, Reason.TransportReason>

/** When the phases ended, for observers. */
interface Marks {
  readonly begun: number
  connected: number | undefined
  started: number | undefined
  sent: number | undefined
  headers: number | undefined
}

/**
 * The shell around an exchange's state: it hears the wire, the decoder, the timers and the caller, asks the state for the next
 * step, and does it. There is no response object and no abort signal: the signal is the greatest cost elsewhere.
 */
export class Exchange implements WireListener, DecoderListener, Waiting<Exchange>, Source {
  // its place in the pool's queue
  queued = false
  arrival = 0
  previous: Exchange | undefined = undefined
  next: Exchange | undefined = undefined
  readonly freshSinceMillis: number | undefined
  connection: Connection | undefined = undefined

  readonly #owner: Owner
  readonly #terms: Terms
  readonly #request: Transport.Request
  readonly #body: ReadyBody
  readonly #opens: boolean
  readonly #settle: (exit: Settled) => void
  readonly #marks: Marks | undefined
  readonly #state = State.makeExchangeState()
  #control: WireControl | undefined
  /** Whether its connection was made for it, and how much had come over it before. */
  #isFirst = false
  #bytesBefore = 0
  #triedAgain = false
  /** Connections that it has left, because they did nothing with it. */
  #moves = 0
  #head: ResponseHead | undefined
  #gathered: Gathering | undefined
  #trailers: Transport.Headers | undefined
  /** Bytes of the body that came, as coded. */
  #read = 0
  /** Bytes of the body that it stands for. */
  #size = 0
  #timer: NodeJS.Timeout | undefined
  /** Whether the timer is due, and events of the same moment are looked at first. */
  #isDue = false
  /** Bounds all of a body: how long it may take, or how long one that nobody wants is drained. */
  #bodyTimer: NodeJS.Timeout | undefined
  #waitUntil: number | undefined
  #upload: Upload | undefined
  #decoder: Decoder | undefined
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
    this.freshSinceMillis = request.freshConnection === true ? nowMillis() : undefined
    this.#marks =
      request.onTimings === undefined
        ? undefined
        : { begun: nowMillis(), connected: undefined, started: undefined, sent: undefined, headers: undefined }
  }

  /** Whether its caller has been told how it ended, or has left. */
  get isOver(): boolean {
    return this.#state.caller === "gone"
  }

  /**
   * Waits for a connection, and gives up after so long, counted from when it first waited. False says that it has given up already.
   */
  wait(millis: number, late: (waitedMillis: number) => Reason.TransportReason): boolean {
    const now = nowMillis()
    this.#waitUntil ??= now + millis
    const left = this.#waitUntil - now
    const giveUp = (): void => this.giveUp(() => late(millis))
    if (left > 0) this.#arm(left, giveUp)
    else giveUp()
    return left > 0
  }

  /** Goes over a connection. */
  start(connection: Connection): void {
    this.connection = connection
    this.#isFirst = connection.served === 1
    State.granted(this.#state)
    if (this.#marks !== undefined) this.#marks.connected = nowMillis()
    const { method, origin, path } = this.#request
    const headers = this.#headersToSend()
    if (this.#body !== undefined) this.#upload = uploadOf(this.#body, headers)
    try {
      connection.send(
        {
          origin,
          path: this.#terms.proxy === undefined ? path : absoluteForm(origin, path),
          method,
          headers,
          body: this.#upload?.body
        },
        this
      )
    } catch (error) {
      this.#fail(error)
    }
  }

  /** The caller went away, or leaves the rest of the body. */
  leave(): void {
    this.#do(State.left(this.#state))
  }

  /** Ends it with a reason of our own. */
  giveUp(reason: () => Reason.TransportReason): void {
    this.#do(State.fail(this.#state), reason)
  }

  /** Ends it with the reason that an error stands for. */
  #fail(error: unknown): void {
    const phase = State.phaseOf(this.#state)
    this.giveUp(() => reasonOf(error, { endpoint: this.#terms.endpoint, phase }))
  }

  // -------------------------------------------------------------------------------------------------------------------
  // events of the wire
  // -------------------------------------------------------------------------------------------------------------------

  onRequestStart(control: WireControl): void {
    // Its caller left while it waited. Thrown here, the request is dropped; an abort would destroy the connection that it has
    // just been given, which is whole.
    if (!State.begun(this.#state)) throw callerLeft
    this.#control = control
    this.#bytesBefore = this.connection?.connected.socket.bytesRead ?? 0
    if (this.#marks !== undefined) this.#marks.started = nowMillis()
    if (this.#body === undefined) this.#disarm()
    else this.#arm(this.#terms.phases.sendMillis, () => this.#sendLate())
  }

  onBodySent(): void {
    // an upload that goes on is not late, however long it takes; one that the server no longer takes is
    if (this.#state.wire === "sending") this.#progress()
  }

  onRequestSent(): void {
    if (!State.sent(this.#state)) return
    if (this.#marks !== undefined) this.#marks.sent = nowMillis()
    this.#arm(this.#terms.phases.headersMillis, () => this.#headersLate())
  }

  onResponseStart(_: WireControl, status: number, fields: NodeJS.Dict<string | Array<string>>): void {
    if (status < 200) return // events before the response
    const { headerBytes, proxy } = this.#terms
    // only a proxy says so (RFC 9110 §15.5.8), and a tunnel would not have been made: the request went no further
    if (status === 407 && proxy !== undefined) {
      this.giveUp(() => proxyReason(new ProxyError({ proxy: proxy.endpoint, status }), this.#terms.endpoint))
      return
    }
    const response = responseHead(status, fields)
    if (response.size > headerBytes) {
      this.giveUp(() => this.#headersTooLarge(response.size))
      return
    }
    this.#head = response
    const isWanted = Transport.isExpected(this.#request, status)
    const isBodiless = this.#request.method === "HEAD" || status === 204 || status === 304
    const coding = isBodiless ? undefined : this.#codingOf(response)
    const acts = State.head(this.#state, { isWanted, isOpened: this.#opens, isCoded: coding !== undefined })
    if (!State.isGranted(this.#state)) return
    if (this.#marks !== undefined) this.#marks.headers = nowMillis()
    const { connection } = this
    if (connection !== undefined) {
      connection.unanswered = 0
      connection.answered = true
      if (!this.#isFirst) this.#owner.usedAgain()
      if (response.closes) connection.retire()
    }
    this.#awaitBody()
    if (coding !== undefined) this.#decoder = new Decoder(coding, this)
    const announced = isBodiless ? 0 : response.announcedBytes
    const { drainBytes, drainTime, responseBytes } = this.#request.limits
    if (!isWanted) {
      // reading it would cost more than a new connection: keep the part that comes with the headers, which is nothing yet
      if (announced > drainBytes) this.#drainedEnough()
      else this.#bodyTimer = setTimeout(lookOnce, Duration.toMillis(drainTime), () => this.#drainedEnough())
      return
    }
    if (announced > responseBytes) {
      this.#tooLarge(announced)
      return
    }
    const { transferMillis } = this.#terms.phases
    if (transferMillis !== Infinity) this.#bodyTimer = setTimeout(lookOnce, transferMillis, () => this.#transferLate())
    this.#do(acts)
  }

  onResponseData(_: WireControl, chunk: Buffer): void {
    const state = this.#state
    if (state.wire !== "receiving") return
    this.#progress()
    this.#read += chunk.length
    const { drainBytes, responseBytes } = this.#request.limits
    if (state.isWanted && this.#read > responseBytes) {
      this.#tooLarge(this.#read)
      return
    }
    if (state.body === "plain") this.#take(chunk)
    else if (state.body === "coded" && this.#decoder?.write(chunk) === false) this.#hold()
    if (!state.isWanted && this.#read > drainBytes) this.#drainedEnough()
  }

  onResponseEnd(_: WireControl, trailers: NodeJS.Dict<string | Array<string>>): void {
    // a peer that resets the connection ends a body without a length, to undici's mind
    if (this.#isResetWithin()) {
      this.onResponseError(undefined, this.connection?.error ?? new ConnectionEndedError())
      return
    }
    if (hasFields(trailers)) this.#trailers = responseHead(0, trailers).headers
    this.#do(State.ended(this.#state))
  }

  onResponseError(_: WireControl | undefined, error: Error): void {
    const state = this.#state
    if (!State.isGranted(state)) return
    const { connection } = this
    if (connection === undefined) return
    if (!isOfStream(error)) {
      // the end of a stream is that exchange's alone; any other event of a connection happens to all on it
      connection.retire()
      if (!(error instanceof NotBegunError)) connection.onError(error)
    }
    const phase = State.phaseOf(state)
    if (this.#isUntouched(error, phase) && this.#tryAgain(connection, error)) return
    const reason = this.#reasonOfCut(connection, error, phase)
    this.#do(State.cut(state), reason)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // events of the decoder
  // -------------------------------------------------------------------------------------------------------------------

  onDecoded(chunk: Buffer): void {
    this.#take(chunk)
  }

  onRoom(): void {
    this.#go()
  }

  onDecodeEnd(): void {
    this.#do(State.decoded(this.#state))
  }

  onDecodeBroken({ code, isCut }: Broken): void {
    const { endpoint } = this.#terms
    const coding = this.#head?.coding ?? ""
    this.#do(State.broken(this.#state), () => {
      const given = { endpoint, phase: "receive" as const, ...(code === undefined ? {} : { code }) }
      return isCut
        ? new Reason.ResponseTruncated({ ...given, detail: `its ${coding} coding is cut short` })
        : new Reason.MalformedResponse({ ...given, detail: `its ${coding} coding is broken` })
    })
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the body
  // -------------------------------------------------------------------------------------------------------------------

  /** The coding that is undone. A range of a coded body cannot be decoded without the rest (RFC 9110 §14.2). */
  #codingOf({ coding, status }: ResponseHead): ReturnType<typeof codingOf> {
    return this.#terms.decompress && status !== 206 ? codingOf(coding) : undefined
  }

  /** Takes a piece of the body itself. */
  #take(chunk: Uint8Array): void {
    const state = this.#state
    if (state.caller === "gone") return
    this.#size += chunk.length
    const { errorBytes, responseBytes } = this.#request.limits
    if (!state.isWanted) {
      const room = errorBytes - (this.#gathered?.length ?? 0)
      if (room > 0) this.#keep(chunk.length > room ? chunk.subarray(0, room) : chunk)
      if (chunk.length > room) this.#do(State.enough(state))
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
    this.#gathered ??= new Gathering()
    this.#gathered.add(chunk)
  }

  /** Holds the wire up: its reader is behind, which is no fault of the server's. */
  #hold(): void {
    // all of it is here: there is nothing to hold up, and a pause would keep the end of it from being seen
    if (this.#state.wire !== "receiving" || this.#read === this.#head?.announcedBytes) return
    this.#disarm()
    this.#control?.pause()
  }

  /** Lets the wire go on. */
  #go(): void {
    if (this.#state.wire !== "receiving" || this.#control?.paused !== true) return
    if (this.#decoder?.hasRoom === false) return
    this.#awaitBody()
    this.#control.resume()
  }

  /** The reader has room again. */
  resume(): void {
    if (this.isOver) return
    // later: a reader may be resumed from inside the wire
    queueMicrotask(() => {
      if (this.isOver) return
      this.#decoder?.resume()
      this.#go()
    })
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the next steps
  // -------------------------------------------------------------------------------------------------------------------

  /** Does the steps that the state asks for, in the order of its bits. */
  #do(acts: State.Acts, reason?: () => Reason.TransportReason): void {
    if (acts === 0) return
    if ((acts & act.leaveQueue) !== 0) {
      // at once: the next caller must not find its place taken
      this.#owner.leaveQueue(this)
      queueMicrotask(() => this.#owner.release(this))
    }
    if ((acts & act.abort) !== 0) {
      if (this.connection !== undefined && this.#control !== undefined) this.#judge(this.connection)
      this.#control?.abort(notRead)
    }
    // Later: the pool gives the connection to the next exchange, which must not enter undici from its own callback, in the middle of
    // its bookkeeping. It asserts that nobody does, and a failed assertion there ends the process.
    if ((acts & act.giveBack) !== 0) {
      this.#disarm()
      queueMicrotask(() => this.#owner.release(this))
    }
    if ((acts & act.endDecoder) !== 0) this.#decoder?.end()
    if ((acts & act.stopDecoder) !== 0) this.#decoder?.stop()
    if ((acts & act.open) !== 0) this.#open()
    if ((acts & act.succeed) !== 0) this.#succeed()
    if ((acts & act.fail) !== 0) this.#failed(stackless(reason ?? unknown))
    if (this.isOver) this.#finish()
  }

  #open(): void {
    const { headers, setCookies, status } = this.#shown()
    this.#opened = new OpenBody(this)
    this.#tell(
      Exit.succeed({
        status,
        headers,
        ...(setCookies === undefined ? {} : { setCookies }),
        trailers: () => this.#trailers,
        stream: this.#opened.stream
      })
    )
  }

  #succeed(): void {
    if (this.#opened !== undefined) {
      this.#opened.end()
      return
    }
    const { headers, setCookies, status } = this.#shown()
    const kept = this.#gathered?.length ?? 0
    const body = this.#gathered?.whole() ?? nothing
    const bodyComplete = !this.#state.isCutShort && kept === this.#size
    const response: Transport.Response = { status, headers, body, bodyComplete }
    if (setCookies === undefined && this.#trailers === undefined) this.#tell(Exit.succeed(response))
    else this.#tell(Exit.succeed({ ...response, setCookies, trailers: this.#trailers }))
  }

  #failed(reason: Reason.TransportReason): void {
    if (this.#opened === undefined) this.#tell(Exit.fail(reason))
    else this.#opened.fail(reason)
  }

  /** The head as the caller sees it: its words about a coding that was undone do not fit the decoded body. */
  #shown(): ResponseHead {
    const head = this.#head ?? noHead
    if (this.#decoder === undefined) return head
    const { "content-encoding": _, "content-length": __, ...headers } = head.headers
    return { ...head, headers }
  }

  /** Later, for the same reason: a fiber goes on at once, and with it its next call. */
  #tell(exit: Settled): void {
    queueMicrotask(() => this.#settle(exit))
  }

  #finish(): void {
    this.#disarm()
    clearTimeout(this.#bodyTimer)
    // undici leaves a body that it no longer reads as it is
    this.#upload?.end()
    this.#upload = undefined
    if (this.#marks !== undefined) this.#request.onTimings?.(this.#timings(this.#marks))
  }

  // -------------------------------------------------------------------------------------------------------------------
  // how a connection ends
  // -------------------------------------------------------------------------------------------------------------------

  /** Whether it is certain that the server did nothing with it. */
  #isUntouched(error: Error, phase: Reason.Phase): boolean {
    if (phase === "receive") return false
    return (
      phase === "connect" ||
      error instanceof NotBegunError ||
      error instanceof UnprocessedError ||
      this.#isUnwritten(error)
    )
  }

  /** Whether the very first write failed. All of a small request goes into one, and the system takes it whole or not at all. */
  #isUnwritten(error: NodeJS.ErrnoException): boolean {
    const { body } = this.#upload ?? {}
    const isSmall = body === undefined || (typeof body === "string" && body.length <= oneWriteBytes)
    return error.syscall === "write" && isSmall && this.connection?.isMultiplexed === false
  }

  /**
   * Goes to another connection, until its time to wait is over: from one whose peer answers others, because that gets somewhere, though
   * not from any number of them. From any other once: that says enough of the endpoint.
   */
  #tryAgain(connection: Connection, error: Error): boolean {
    if (this.#moves >= mostMoves || !this.#isWhole()) return false
    const answersOthers = error instanceof UnprocessedError ? error.isLeaving : connection.answered
    if (!answersOthers) {
      if (this.#triedAgain) return false
      this.#triedAgain = true
    }
    this.#moves++
    this.#disarm()
    this.#upload?.end()
    this.#upload = undefined
    this.#control = undefined
    this.connection = undefined
    State.again(this.#state)
    this.#owner.again(this, connection)
    return true
  }

  /** Whether all of its body can be sent once more: a stream that was begun cannot. */
  #isWhole(): boolean {
    return this.#upload === undefined || !this.#upload.isBegun()
  }

  #reasonOfCut(connection: Connection, error: Error, phase: Reason.Phase): () => Reason.TransportReason {
    const { endpoint } = this.#terms
    if (isHeadOverflow(error) && phase !== "receive") return () => this.#headersTooLarge(undefined)
    const isUntouched = this.#isUntouched(error, phase)
    const cause = error instanceof NotBegunError ? (connection.error ?? new ConnectionEndedError()) : error
    const isShort = phase === "receive" && this.#read < (this.#head?.announcedBytes ?? 0)
    const inHead = phase !== "receive" && connection.hasBegunHead
    const hasRead = phase === "receive" || this.#hasRead(connection)
    return () => {
      const reason = reasonOf(cause, { endpoint, phase })
      if (isShort && reason._tag === "MalformedResponse") {
        return new Reason.ResponseTruncated({ endpoint, phase, ...codeOf(reason) })
      }
      if (reason._tag !== "ConnectionClosed" && reason._tag !== "ConnectionReset") return reason
      const isStale = !this.#isFirst && connection.answered && !hasRead && !isOfStream(cause)
      if (isStale) this.#owner.stale(connection)
      if (!isStale && !isUntouched && !inHead) return reason
      const Ended = reason._tag === "ConnectionClosed" ? Reason.ConnectionClosed : Reason.ConnectionReset
      return new Ended({
        endpoint,
        phase: reason.phase,
        ...codeOf(reason),
        ...(isStale ? { stale: true } : {}),
        ...(inHead ? { inHead } : {}),
        ...(isUntouched && reason.phase !== "connect" ? { unprocessed: true } : {})
      })
    }
  }

  /** Whether a byte came that may be one of an answer. */
  #hasRead({ connected, isMultiplexed }: Connection): boolean {
    // of many on a connection nobody knows whose the bytes are, but a head that has begun is not cut off
    return (
      !isMultiplexed && connected.socket.bytesRead > this.#bytesBefore + closingBytes(connected.tlsMillis !== undefined)
    )
  }

  #isResetWithin(): boolean {
    const { connection } = this
    if (connection === undefined || connection.isMultiplexed || this.#state.wire !== "receiving") return false
    return connection.error !== undefined && !isReset(connection.error)
  }

  /**
   * The reason of a cut exchange, about its connection. One of HTTP/1.1 is of no use after it. One that carries many goes on, unless it
   * has fallen silent, which nothing else would tell for a while: a limit has passed on it, or nobody got an answer for some time.
   */
  #judge(connection: Connection): void {
    if (!connection.isMultiplexed) connection.retire()
    else if (this.#head === undefined && ++connection.unanswered >= silentAfter) connection.retire()
  }

  // -------------------------------------------------------------------------------------------------------------------
  // limits
  // -------------------------------------------------------------------------------------------------------------------

  #tooLarge(size: number): void {
    const { endpoint } = this.#terms
    this.giveUp(() => new Reason.ResponseTooLarge({ endpoint, limit: this.#request.limits.responseBytes, size }))
  }

  #headersTooLarge(size: number | undefined): Reason.TransportReason {
    const { endpoint, headerBytes } = this.#terms
    return new Reason.HeadersTooLarge({
      endpoint,
      of: "response",
      limit: headerBytes,
      ...(size === undefined ? {} : { size })
    })
  }

  #drainedEnough(): void {
    this.#do(State.drainedEnough(this.#state))
  }

  #sendLate(): void {
    this.#late(this.#terms.phases.sendMillis, (given) => new Reason.SendTimeout(given))
  }

  #headersLate(): void {
    this.#late(this.#terms.phases.headersMillis, (given) => new Reason.HeadersTimeout(given))
  }

  #bodyLate(): void {
    if (this.#state.isWanted) this.#late(this.#terms.phases.bodyMillis, (given) => new Reason.BodyTimeout(given))
    else this.#drainedEnough()
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
    connection.retire()
    if (!connection.isMultiplexed || connection.answered) return
    // nothing has ever come over it, and others may wait for their turn on it
    void connection.close()
  }

  #awaitBody(): void {
    this.#arm(this.#terms.phases.bodyMillis, () => this.#bodyLate())
  }

  /** One timer serves all phases; it is pushed back by progress, which costs nothing but a timestamp. */
  #arm(millis: number, late: () => void): void {
    this.#disarm()
    if (millis === Infinity) return
    this.#timer = setTimeout(() => {
      // a loop that was held up finds the timer due before it has looked at its sockets
      this.#isDue = true
      setImmediate(() => {
        if (this.#isDue) late()
      })
    }, millis)
  }

  #progress(): void {
    this.#isDue = false
    this.#timer?.refresh()
  }

  #disarm(): void {
    this.#isDue = false
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #timings({ begun, connected, headers, sent, started }: Marks): Transport.PhaseTimings {
    const now = nowMillis()
    const { connection } = this
    const made = this.#isFirst ? connection?.connected : undefined
    return {
      ...(connection === undefined
        ? {}
        : {
            connection: this.#isFirst ? "new" : "reused",
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

  /** Names and values in turn, as wires read them fastest. */
  #headersToSend(): Array<string> {
    const { headers } = this.#request
    const { decompress, proxy } = this.#terms
    const sent: Array<string> = []
    for (const name of Object.keys(headers)) {
      const value = headers[name]
      if (value !== undefined) sent.push(name, value)
    }
    // a range is of the body as it is sent: coded, it would be of something else
    if (decompress && headers["accept-encoding"] === undefined && headers["range"] === undefined) {
      sent.push("accept-encoding", acceptedCodings)
    }
    if (proxy !== undefined) for (const [name, value] of Object.entries(proxyHeaders(proxy))) sent.push(name, value)
    return sent
  }
}

const nothing = new Uint8Array(0)

const noHead: ResponseHead = responseHead(0, {})

const unknown = (): Reason.TransportReason => new Reason.TransportFailed({ endpoint: "", phase: "connect" })

/**
 * So often an exchange goes from a connection that did nothing with it to another, unasked and unpaid. A server that restarts costs two or
 * three; one that answers one call on each of its connections, as nginx with `keepalive_requests 1`, costs the last of a burst as many as
 * there were before it. A server that refuses more than this takes nothing. Whether to go on is for the policy to say, which waits between
 * attempts and has a budget for them.
 */
const mostMoves = 256

/** After so many exchanges without an answer a connection that carries many counts as silent. */
const silentAfter = 3

/** Smaller than any system takes at once. */
const oneWriteBytes = 8192

/** The closing alert of TLS is no byte of an answer. */
const closingBytes = (isTls: boolean): number => (isTls ? 64 : 0)

// made once: an abort needs an error, and nobody reads it
const callerLeft = stackless(() => new Error("the caller no longer wants the response"))
const notRead = stackless(() => new Error("the response is not read to its end"))

const hasFields = (fields: object): boolean => {
  for (const name in fields) if (Object.hasOwn(fields, name)) return true
  return false
}

const lookOnce = (late: () => void): void => void setImmediate(late)

const isHeadOverflow = (error: NodeJS.ErrnoException): boolean => error.code === "UND_ERR_HEADERS_OVERFLOW"

/** undici ends a connection with this when it has no use for it any more. */
const isReset = (error: NodeJS.ErrnoException): boolean => error.code === "UND_ERR_INFO"

const codeOf = ({ code }: { readonly code?: string }): { readonly code?: string } =>
  code === undefined ? {} : { code }

/** Whether undici's parser was given a frame SETTINGS on stream 0, with which a server of HTTP/2 begins (RFC 9113 §3.4, §6.5). */
const isSettings = (error: unknown): boolean => {
  if (!(error instanceof Error && "data" in error && typeof error.data === "string")) return false
  // three bytes of length, of which the first is none, the type 4, no flags, and the stream
  return error.data.startsWith("\0") && error.data.slice(3, 9) === "\u0004\0\0\0\0\0"
}

/**
 * The reason that an error stands for. An exchange has a connection whose handshake is done, so that TLS which breaks is a damaged
 * record: the classifier, which knows no transport's phases for sure, would say that the handshake failed, and so that nothing was
 * sent.
 */
const reasonOf = (error: unknown, circumstances: FailureClassifier.Circumstances): Reason.TransportReason => {
  const { endpoint, phase } = circumstances
  // a status that there is not, such as 000, or a 101 that nobody asked for, is an assertion that fails in undici
  if (error instanceof AssertionError) {
    return new Reason.MalformedResponse({
      endpoint,
      phase,
      code: error.code,
      detail: "the status is none that it can have"
    })
  }
  if (error instanceof NotHttp2Error || isSettings(error)) {
    const detail =
      error instanceof NotHttp2Error
        ? "its first bytes are not HTTP/2; for HTTP/1.1 set http2: false, or true to let TLS decide"
        : "it speaks HTTP/2 and was spoken to in HTTP/1.1; set http2: true over TLS, and http2: { priorKnowledge: true } without"
    return new Reason.MalformedResponse({ endpoint, phase, code: Reason.otherVersion, detail })
  }
  if (error instanceof BodyError) {
    return new Reason.TransportFailed({ endpoint, phase, ...codeOf(error), detail: "the body of the request failed" })
  }
  const reason = FailureClassifier.classify(error, circumstances)
  if (reason._tag !== "TlsHandshakeFailed") return reason
  return new Reason.MalformedResponse({ endpoint, phase, ...codeOf(reason), detail: "a record of TLS is damaged" })
}
