/**
 * One exchange: a request, its way over a connection, and the response that its caller gets. The consequence of an event is decided in
 * `exchangeState.ts`, and carried out here.
 */

import * as Duration from "effect/Duration"
import * as Exit from "effect/Exit"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Transport from "@holdfast/http/Transport"
import type { ProxyTarget } from "../../Proxy.ts"
import type { Connection } from "../pool/connection.ts"
import type { Waiting } from "../pool/poolState.ts"
import { absoluteForm, ProxyError, proxyReason } from "../proxy/tunnel.ts"
import { type Broken, codingOf } from "./decoding.ts"
import { isHeadOverflow, isUntouched, reasonOf, reasonOfBroken, reasonOfCut, saysStale } from "./exchangeReasons.ts"
import * as State from "./exchangeState.ts"
import { ExchangeTimers } from "./exchangeTimers.ts"
import { IncomingResponse, type ResponseOwner } from "./incomingResponse.ts"
import { nowMillis } from "./monotonic.ts"
import { makePhaseMarks, type PhaseMarks, timingsOf } from "./phaseMarks.ts"
import { fieldsToSend } from "./requestHead.ts"
import { type ResponseHead, responseHead } from "./responseHead.ts"
import { isOneWrite, type ReadyBody, type Upload, uploadOf } from "./upload.ts"
import {
  ConnectionEndedError,
  isOfStream,
  NotBegunError,
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

/**
 * The shell around an exchange's state: it hears the wire, the decoder, the timers and the caller, asks the state for the next
 * step, and does it. There is no response object and no abort signal: the signal is the greatest cost elsewhere.
 */
export class Exchange implements WireListener, ResponseOwner, Waiting<Exchange> {
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
  readonly #marks: PhaseMarks | undefined
  readonly #state = State.makeExchangeState()
  readonly #timers = new ExchangeTimers()
  #control: WireControl | undefined
  /** Whether its connection was made for it, and how much had come over it before. */
  #isFirst = false
  #bytesBefore = 0
  #triedAgain = false
  /** Connections that it has left, because they did nothing with it. */
  #moves = 0
  #waitUntil: number | undefined
  #upload: Upload | undefined
  #response: IncomingResponse | undefined

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
    this.#marks = request.onTimings === undefined ? undefined : makePhaseMarks()
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
    if (left > 0) this.#timers.begin(left, giveUp)
    else giveUp()
    return left > 0
  }

  /** Goes over a connection. */
  start(connection: Connection): void {
    this.connection = connection
    this.#isFirst = connection.carried === 1
    State.granted(this.#state)
    if (this.#marks !== undefined) this.#marks.connectedMillis = nowMillis()
    const { headers: given, method, origin, path } = this.#request
    const { decompress, proxy } = this.#terms
    const headers = fieldsToSend(given, decompress, proxy)
    if (this.#body !== undefined) this.#upload = uploadOf(this.#body, headers)
    try {
      connection.send(
        {
          origin,
          path: proxy === undefined ? path : absoluteForm(origin, path),
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
    this.#bytesBefore = this.connection?.bytesRead ?? 0
    if (this.#marks !== undefined) this.#marks.startedMillis = nowMillis()
    if (this.#body === undefined) this.#timers.end()
    else this.#timers.begin(this.#terms.phases.sendMillis, () => this.#sendLate())
  }

  onBodySent(): void {
    // an upload that goes on is not late, however long it takes; one that the server no longer takes is
    if (this.#state.wire === "sending") this.#timers.progress()
  }

  onRequestSent(): void {
    if (!State.sent(this.#state)) return
    if (this.#marks !== undefined) this.#marks.sentMillis = nowMillis()
    this.#timers.begin(this.#terms.phases.headersMillis, () => this.#headersLate())
  }

  onResponseStart(_: WireControl, status: number, fields: NodeJS.Dict<string | Array<string>>): void {
    if (status < 200) return // an informational response comes before the final one
    const { headerBytes, phases, proxy } = this.#terms
    // only a proxy says so (RFC 9110 §15.5.8), and a tunnel would not have been made: the request went no further
    if (status === 407 && proxy !== undefined) {
      return this.giveUp(() => proxyReason(new ProxyError({ proxy: proxy.endpoint, status }), this.#terms.endpoint))
    }
    const head = responseHead(status, fields)
    if (head.size > headerBytes) return this.giveUp(() => this.#headersTooLarge(head.size))
    const { limits, method } = this.#request
    const isWanted = Transport.isExpected(this.#request, status)
    const isBodiless = method === "HEAD" || status === 204 || status === 304
    const coding = isBodiless ? undefined : this.#codingOf(head)
    const acts = State.head(this.#state, { isWanted, isOpened: this.#opens, isCoded: coding !== undefined })
    if (!State.isGranted(this.#state)) return
    if (this.#marks !== undefined) this.#marks.headersMillis = nowMillis()
    this.#response = new IncomingResponse(this, head, limits, isWanted, coding)
    if (this.connection !== undefined) {
      this.connection.onHead(head.closes)
      if (!this.#isFirst) this.#owner.usedAgain()
    }
    this.#awaitBody()
    const announced = isBodiless ? 0 : head.announcedBytes
    if (!isWanted) {
      // reading it would cost more than a new connection: keep what comes with the headers, which is nothing yet
      if (announced > limits.drainBytes) this.onDrainedEnough()
      else this.#timers.boundBody(Duration.toMillis(limits.drainTime), () => this.onDrainedEnough())
      return
    }
    if (announced > limits.responseBytes) {
      this.onTooLarge(announced)
      return
    }
    if (phases.transferMillis !== Infinity) {
      this.#timers.boundBody(phases.transferMillis, () => this.#transferLate())
    }
    this.#do(acts)
  }

  onResponseData(_: WireControl, chunk: Buffer): void {
    if (this.#state.wire !== "receiving") return
    this.#timers.progress()
    this.#response?.receive(chunk)
  }

  onResponseEnd(_: WireControl, trailers: NodeJS.Dict<string | Array<string>>): void {
    // a peer that resets the connection ends a body without a length, to undici's mind
    if (this.#state.wire === "receiving" && this.connection?.isCutOff === true) {
      this.onResponseError(undefined, this.connection.error ?? new ConnectionEndedError())
      return
    }
    this.#response?.endWith(trailers)
    this.#do(State.ended(this.#state))
  }

  onResponseError(_: WireControl | undefined, error: Error): void {
    const { connection } = this
    if (!State.isGranted(this.#state) || connection === undefined) return
    connection.onCut(error)
    const phase = State.phaseOf(this.#state)
    const untouched = isUntouched(error, phase, this.#isOneWrite(connection))
    if (untouched && this.#tryAgain(connection, error)) return
    const reason = this.#reasonOfCut(connection, error, phase, untouched)
    this.#do(State.cut(this.#state), reason)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the response
  // -------------------------------------------------------------------------------------------------------------------

  onTooLarge(size: number): void {
    const { endpoint } = this.#terms
    this.giveUp(() => new Reason.ResponseTooLarge({ endpoint, limit: this.#request.limits.responseBytes, size }))
  }

  onEnough(): void {
    this.#do(State.enough(this.#state))
  }

  onDrainedEnough(): void {
    this.#do(State.drainedEnough(this.#state))
  }

  /** Holds the wire up: a reader that is behind is no fault of the server's. */
  onBehind(): void {
    // all of it is here: there is nothing to hold up, and a pause would keep the end of it from being seen
    if (this.#state.wire !== "receiving" || this.#response?.isAllHere === true) return
    this.#timers.end()
    this.#control?.pause()
  }

  /** Lets the wire go on. */
  onRoom(): void {
    if (this.#state.wire !== "receiving" || this.#control?.paused !== true) return
    if (this.#response?.hasRoom === false) return
    this.#awaitBody()
    this.#control.resume()
  }

  onDecodeEnd(): void {
    this.#do(State.decoded(this.#state))
  }

  onDecodeBroken(broken: Broken): void {
    const coding = this.#response?.head.coding ?? ""
    this.#do(State.broken(this.#state), () => reasonOfBroken(broken, this.#terms.endpoint, coding))
  }

  /** The reader has room again. */
  resume(): void {
    if (this.isOver) return
    // later: a reader may be resumed from inside the wire
    queueMicrotask(() => {
      if (this.isOver) return
      this.#response?.resumeDecoder()
      this.onRoom()
    })
  }

  /** The coding that is undone. The content of a range of a coded body is not known without the rest (RFC 9110 §14.2). */
  #codingOf({ coding, status }: ResponseHead): ReturnType<typeof codingOf> {
    return this.#terms.decompress && status !== 206 ? codingOf(coding) : undefined
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
    if ((acts & act.abort) !== 0 && this.#control !== undefined) {
      this.connection?.onLeft(this.#response !== undefined)
      this.#control.abort(notRead)
    }
    // Later: the pool gives the connection to the next exchange, which must not enter undici from its own callback, in the middle of
    // its bookkeeping. It asserts that nobody does, and a failed assertion there ends the process.
    if ((acts & act.giveBack) !== 0) {
      this.#timers.end()
      queueMicrotask(() => this.#owner.release(this))
    }
    if ((acts & act.endDecoder) !== 0) this.#response?.endDecoder()
    if ((acts & act.stopDecoder) !== 0) this.#response?.stopDecoder()
    if ((acts & act.open) !== 0 && this.#response !== undefined) this.#tell(Exit.succeed(this.#response.open()))
    if ((acts & act.succeed) !== 0) this.#succeed()
    if ((acts & act.fail) !== 0) this.#failed(stackless(reason ?? unknown))
    if (this.isOver) this.#finish()
  }

  #succeed(): void {
    const response = this.#response
    if (response?.opened !== undefined) response.opened.end()
    else if (response !== undefined) this.#tell(Exit.succeed(response.whole(this.#state.isCutShort)))
  }

  #failed(reason: Reason.TransportReason): void {
    const opened = this.#response?.opened
    if (opened === undefined) this.#tell(Exit.fail(reason))
    else opened.fail(reason)
  }

  /** Later, for the same reason: a fiber goes on at once, and with it its next call. */
  #tell(exit: Settled): void {
    queueMicrotask(() => this.#settle(exit))
  }

  #finish(): void {
    this.#timers.stop()
    // undici leaves a body that it no longer reads as it is
    this.#upload?.end()
    this.#upload = undefined
    if (this.#marks === undefined) return
    this.#request.onTimings?.(timingsOf(this.#marks, this.connection?.connected, this.#isFirst))
  }

  // -------------------------------------------------------------------------------------------------------------------
  // when its connection fails it
  // -------------------------------------------------------------------------------------------------------------------

  /** Whether all of it went to the system in one write, on a connection that has no frames of its own to write. */
  #isOneWrite(connection: Connection): boolean {
    return !connection.isMultiplexed && isOneWrite(this.#upload?.body)
  }

  /**
   * Goes to another connection, until its time to wait is over: from one whose peer answers others, because that gets somewhere, though
   * not from any number of them. From any other once: that says enough of the endpoint.
   */
  #tryAgain(connection: Connection, error: Error): boolean {
    if (this.#moves >= mostMoves || !this.#isWhole()) return false
    const answersOthers = error instanceof UnprocessedError ? error.isLeaving : connection.hasAnswered
    if (!answersOthers) {
      if (this.#triedAgain) return false
      this.#triedAgain = true
    }
    this.#moves++
    this.#timers.end()
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

  /** The connection's present state goes into the reason, which is made if somebody is left to hear it. */
  #reasonOfCut(
    connection: Connection,
    error: Error,
    phase: Reason.Phase,
    untouched: boolean
  ): () => Reason.TransportReason {
    if (isHeadOverflow(error) && phase !== "receive") return () => this.#headersTooLarge(undefined)
    const cause = error instanceof NotBegunError ? (connection.error ?? new ConnectionEndedError()) : error
    const hasRead = phase === "receive" || connection.hasReadSince(this.#bytesBefore)
    const cut = {
      endpoint: this.#terms.endpoint,
      phase,
      error: cause,
      isShort: phase === "receive" && this.#response?.isShort === true,
      isStale: !this.#isFirst && connection.hasAnswered && !hasRead && !isOfStream(cause),
      isUntouched: untouched,
      inHead: phase !== "receive" && connection.hasBegunHead
    }
    return () => {
      const reason = reasonOfCut(cut)
      if (saysStale(reason)) this.#owner.stale(connection)
      return reason
    }
  }

  // -------------------------------------------------------------------------------------------------------------------
  // limits
  // -------------------------------------------------------------------------------------------------------------------

  #headersTooLarge(size: number | undefined): Reason.TransportReason {
    const { endpoint, headerBytes } = this.#terms
    return new Reason.HeadersTooLarge({
      endpoint,
      of: "response",
      limit: headerBytes,
      ...(size === undefined ? {} : { size })
    })
  }

  #sendLate(): void {
    this.#late(this.#terms.phases.sendMillis, (given) => new Reason.SendTimeout(given))
  }

  #headersLate(): void {
    this.#late(this.#terms.phases.headersMillis, (given) => new Reason.HeadersTimeout(given))
  }

  #bodyLate(): void {
    if (this.#state.isWanted) this.#late(this.#terms.phases.bodyMillis, (given) => new Reason.BodyTimeout(given))
    else this.onDrainedEnough()
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
    connection?.onLate()
  }

  #awaitBody(): void {
    this.#timers.begin(this.#terms.phases.bodyMillis, () => this.#bodyLate())
  }
}

const unknown = (): Reason.TransportReason => new Reason.TransportFailed({ endpoint: "", phase: "connect" })

/**
 * So often an exchange goes from a connection that did nothing with it to another, unasked and unpaid. A server that restarts costs two or
 * three; one that answers one call on each of its connections, as nginx with `keepalive_requests 1`, costs the last of a burst as many as
 * there were before it. A server that refuses more than this takes nothing. Whether to go on is for the policy to say, which waits between
 * attempts and has a budget for them.
 */
const mostMoves = 256

// made once: an abort needs an error, and nobody reads it
const callerLeft = stackless(() => new Error("the caller no longer wants the response"))
const notRead = stackless(() => new Error("the response is not read to its end"))
