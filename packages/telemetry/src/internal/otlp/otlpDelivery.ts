/**
 * Brings the encoded batches of Effect's exporter to a receiver. To the exporter it is an `HttpClient` that answers at once: it puts the
 * body into a bounded queue. One fiber for each signal takes from there, so that a receiver which is slow, down or silent costs
 * neither the calls nor the heap anything beyond the queue.
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import { isHttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as Metric from "effect/Metric"
import * as Random from "effect/Random"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import * as RetryAfter from "@holdfast/http/RetryAfter"
import * as Transport from "@holdfast/http/Transport"
import type { Batch, DeliveryQueue, DropReason } from "./deliveryQueue.ts"
import {
  abandon,
  dropReasons,
  lose,
  makeDeliveryQueue,
  offer,
  oldestPending,
  pendingItems,
  settle,
  take
} from "./deliveryQueue.ts"
import { DropEpisode } from "./dropEpisode.ts"
import { joined } from "./joinedBytes.ts"
import type { Verdict } from "./otlpAnswer.ts"
import { judge } from "./otlpAnswer.ts"
import { cuts, type Signal, sliceable } from "./otlpSlice.ts"

export interface Settings {
  readonly signal: Signal
  readonly url: URL
  /** Further headers for the receiver, beside those of Effect's exporter, secrets included. */
  readonly headers: Readonly<Record<string, string>>
  readonly gzip: boolean
  /** Of one attempt, on real time: no other clock moves a socket. */
  readonly timeoutMillis: number
  /** How long a batch is tried, from its first attempt. */
  readonly giveUpMillis: number
  readonly maxBytes: number
  readonly maxBatches: number
}

/** The names of a signal's items, in a line of text and in OpenTelemetry's names of metrics. */
const words: { readonly [S in Signal]: { readonly plural: string; readonly metric: string; readonly unit: string } } = {
  traces: { plural: "spans", metric: "otel.sdk.exporter.span", unit: "{span}" },
  metrics: { plural: "metric points", metric: "otel.sdk.exporter.metric_data_point", unit: "{data_point}" },
  logs: { plural: "log records", metric: "otel.sdk.exporter.log", unit: "{log_record}" }
}

const backoffMillis = 1_000
const longestBackoffMillis = 30_000
const longestRetryAfterMillis = 60_000

/** So much of an answer is read; a longer one is aborted. */
const answerBytes = 65_536

/** Doubles from a second to half a minute, less up to half of it, so that the processes of a service do not return together. */
export const backoffOf = (failures: number, random: number): number =>
  Math.min(longestBackoffMillis, backoffMillis * 2 ** Math.min(failures - 1, 10)) * (1 - random / 2)

/** A batch that is larger than this share of its queue is cut, so that it does not push out batches that are not larger. */
const largestShare = 1 / 4

type Content = HttpClientRequest.HttpClientRequest

/** When a batch was first tried; its pieces have their time together. */
interface Trial {
  sinceMillis: number | undefined
}

interface Waiter {
  readonly upTo: number
  readonly done: () => void
}

/** One signal on its way to its receiver. */
export class Delivery {
  readonly settings: Settings
  readonly queue: DeliveryQueue<Content>
  /** Requests that were sent, the repeated ones included. */
  requests = 0
  lastFailure: string | undefined = undefined
  private readonly carrier: HttpClient.HttpClient
  private readonly context: Context.Context<never>
  private readonly clock: Clock.Clock
  private readonly episode = new DropEpisode()
  private readonly sizes = new WeakMap<HttpBody.HttpBody, { readonly items: number; readonly unencodable: number }>()
  private readonly waiters = new Set<Waiter>()
  private readonly work = Latch.makeUnsafe(false)
  private readonly hurry = Latch.makeUnsafe(false)
  private readonly registered = new Map<string, Metric.Registration>()
  private isClosing = false
  private isClosed = false
  /** Attempts that failed, one after another. */
  private failures = 0
  /** Nothing is sent before that instant. */
  private heldUntilMillis = -Infinity
  /** Whether the receiver itself asked for that wait. */
  private isAsked = false
  /** Any larger batch was too large for the receiver. */
  private largestBytes = Infinity

  constructor(settings: Settings, carrier: HttpClient.HttpClient, context: Context.Context<never>, clock: Clock.Clock) {
    this.settings = settings
    this.carrier = carrier
    this.context = context
    this.clock = clock
    this.queue = makeDeliveryQueue(settings)
    const { metric, unit } = words[settings.signal]
    this.register(
      "inflight",
      Metric.gauge(`${metric}.inflight`, {
        description: "Handed to the exporter, and neither exported nor dropped yet",
        attributes: { unit, ...this.attributes() }
      }),
      () => ({ value: pendingItems(this.queue) })
    )
    this.counter(undefined, () => this.queue.arrived)
  }

  /** Encodes an export, without the items that cannot be, and remembers of the body how many items it is of. */
  encode<Data>(data: Data, encoding: Encoding<Data>): HttpBody.HttpBody {
    const { contentType, count, encode, fine } = encoding
    const items = count(data)
    const body = encoded(encode, data, items)
    if (body !== undefined) return this.note(HttpBody.uint8Array(body, contentType), items, 0)
    const rest = fine(data, (one) => encoded(encode, one, 1) !== undefined)
    const left = count(rest)
    // to fail here would make Effect's exporter drop everything for a minute
    const bytes = encoded(encode, rest, left) ?? new Uint8Array(0)
    return this.note(HttpBody.uint8Array(bytes, contentType), bytes.length === 0 ? 0 : left, items - left)
  }

  private note(body: HttpBody.HttpBody, items: number, unencodable: number): HttpBody.HttpBody {
    this.sizes.set(body, { items, unencodable })
    return body
  }

  /** The client that Effect's exporter takes for the receiver's. */
  readonly client: HttpClient.HttpClient = HttpClient.make((request) =>
    Effect.suspend(() => Effect.as(this.accept(request), accepted(request)))
  )

  private accept(request: Content): Effect.Effect<void> {
    const { items, unencodable } = this.sizes.get(request.body) ?? { items: 0, unencodable: 0 }
    lose(this.queue, "unencodable", unencodable)
    return Effect.andThen(this.droppedAny("unencodable", unencodable), this.acceptEncoded(request, items))
  }

  private acceptEncoded(request: Content, items: number): Effect.Effect<void> {
    // metrics are exported even when there are none
    if (items === 0) return Effect.void
    if (this.isClosed) {
      lose(this.queue, "shutdown", items)
      return this.andTell(this.dropped("shutdown", items))
    }
    const lost = { overflow: 0, oversized: 0 }
    for (const piece of this.pieces(request, items)) {
      const bytes = bytesOf(piece.content.body)
      // alone it is more than the queue holds
      if (bytes > this.settings.maxBytes) {
        lose(this.queue, "oversized", piece.items)
        lost.oversized += piece.items
      } else lost.overflow += offer(this.queue, piece.items, bytes, piece.content)
    }
    this.work.openUnsafe()
    return Effect.andThen(this.droppedAny("oversized", lost.oversized), this.droppedAny("overflow", lost.overflow))
  }

  /** A batch as it is, or cut where it is too large to be one. */
  private pieces(request: Content, items: number): ReadonlyArray<Piece> {
    const limitBytes = this.settings.maxBytes * largestShare
    const whole = bytesOf(request.body)
    if (items === 1 || whole <= limitBytes) return [{ content: request, items }]
    const body = this.sliceable(request)
    const around = whole - body.sizes.reduce((sum, size) => sum + size, 0)
    const beginnings = cuts(body.sizes, around, limitBytes)
    return beginnings.map((from, index) => {
      const to = beginnings[index + 1] ?? body.sizes.length
      return { content: withBody(request, body.slice(from, to)), items: to - from }
    })
  }

  private sliceable({ body }: Content) {
    // every body of an export is made by `encode`
    return body._tag === "Uint8Array"
      ? sliceable(this.settings.signal, body.contentType, body.body)
      : sliceable(this.settings.signal, "", new Uint8Array(0))
  }

  /** Sends the waiting batches, and waits for more. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => {
    const batch = take(this.queue)
    if (batch !== undefined) return this.deliver(batch)
    this.work.closeUnsafe()
    return this.work.await
  }).pipe(Effect.forever)

  private deliver({ content, items }: Batch<Content>): Effect.Effect<void> {
    return this.deliverPiece({ content, items }, { sinceMillis: undefined })
  }

  private deliverPiece(piece: Piece, trial: Trial): Effect.Effect<void> {
    const bytes = bytesOf(piece.content.body)
    if (bytes > this.largestBytes && piece.items > 1) return this.deliverHalves(piece, trial)
    return Effect.flatMap(this.prepare(piece.content), (request) => {
      const attempt: Effect.Effect<void> = Effect.suspend(() => {
        const waitMillis = this.heldUntilMillis - this.nowMillis()
        if (waitMillis > 0) return Effect.andThen(this.hold(waitMillis), attempt)
        const since = (trial.sinceMillis ??= this.nowMillis())
        return Effect.flatMap(this.exchange(request), ([verdict, askedMillis]) => {
          if (verdict._tag === "TooLarge" && piece.items > 1) {
            this.failures = 0
            this.largestBytes = Math.min(this.largestBytes, Math.ceil(bytes / 2))
            // a receiver for which everything is too large is not asked for ever
            return this.nowMillis() - since > this.settings.giveUpMillis
              ? this.conclude(verdict, piece.items)
              : this.deliverHalves(piece, trial)
          }
          if (verdict._tag !== "Retry") return this.conclude(verdict, piece.items)
          this.lastFailure = verdict.why
          return Effect.flatMap(Random.next, (random) => {
            this.postpone(askedMillis, random)
            return this.heldUntilMillis - since > this.settings.giveUpMillis
              ? this.lost("exhausted", piece.items)
              : attempt
          })
        })
      })
      return attempt
    })
  }

  /** One after the other, as two pieces. */
  private deliverHalves({ content, items }: Piece, trial: Trial): Effect.Effect<void> {
    return Effect.suspend(() => {
      const body = this.sliceable(content)
      const middle = Math.ceil(items / 2)
      const half = (from: number, to: number) =>
        this.deliverPiece({ content: withBody(content, body.slice(from, to)), items: to - from }, trial)
      return Effect.andThen(
        half(0, middle),
        Effect.suspend(() => half(middle, items))
      )
    })
  }

  private conclude(verdict: Exclude<Verdict, { readonly _tag: "Retry" }>, items: number): Effect.Effect<void> {
    this.failures = 0
    if (verdict._tag !== "Arrived") {
      this.lastFailure = verdict.why
      return this.lost("refused", items)
    }
    const lost = settle(this.queue, "arrived", verdict.rejected, items)
    if (lost > 0) {
      this.lastFailure = `partial success${verdict.message === "" ? "" : `, ${verdict.message}`}`
      return this.andTell(this.dropped("partial", lost))
    }
    return this.andTell(this.arrived())
  }

  /** Says so when it is the end of drops. */
  private arrived(): Effect.Effect<void> {
    const over = this.episode.noteArrived(this.nowMillis())
    if (over === undefined) return Effect.void
    const reasons = dropReasons.flatMap((reason) => {
      const items = over.dropped.get(reason)
      return items === undefined ? [] : [`${reason} ${items}`]
    })
    const total = [...over.dropped.values()].reduce((sum, items) => sum + items, 0)
    return Effect.logInfo(
      `Otlp: ${this.plural} arrive again at ${this.shownUrl()}; ${total} were dropped in ` +
        `${Duration.format(Duration.seconds(Math.ceil(over.millis / 1000)))} (${reasons.join(", ")})`
    )
  }

  /** Nothing is sent for a while after a failure. */
  private postpone(askedMillis: number | undefined, random: number): void {
    this.failures++
    // a closing layer has little time: it waits no longer than after a first failure
    const own = backoffOf(this.isClosing ? 1 : this.failures, random)
    this.isAsked = askedMillis !== undefined && askedMillis > own
    this.heldUntilMillis = this.nowMillis() + Math.max(own, Math.min(askedMillis ?? 0, longestRetryAfterMillis))
  }

  /** A wait that a flush ends, unless the receiver asked for it. */
  private hold(millis: number): Effect.Effect<void> {
    const sleep = Effect.sleep(Duration.millis(Math.ceil(millis)))
    if (this.isAsked) return sleep
    const hurried = Effect.map(this.hurry.await, () => {
      this.heldUntilMillis = -Infinity
    })
    return Effect.raceFirst(sleep, hurried)
  }

  private prepare(content: Content): Effect.Effect<Content> {
    const request = HttpClientRequest.setHeaders(content, this.settings.headers)
    if (!this.settings.gzip || typeof CompressionStream === "undefined") return Effect.succeed(request)
    return Effect.catchCause(HttpClientRequest.compressBody(request, "gzip"), () => Effect.succeed(request))
  }

  /** One attempt. */
  private exchange(request: Content): Effect.Effect<readonly [Verdict, askedMillis: number | undefined]> {
    this.requests++
    const { timeoutMillis } = this.settings
    const sent = this.carrier.execute(request).pipe(
      Effect.flatMap((response) =>
        Effect.map(readAnswer(response), (bytes) => {
          const { headers, status } = response
          const verdict = judge(status, headers["content-type"] ?? "", bytes)
          const asked = RetryAfter.fromHeaders(headers, this.clock.currentTimeMillisUnsafe())
          return [verdict, asked === undefined ? undefined : Duration.toMillis(asked)] as const
        })
      ),
      Effect.exit,
      Effect.map((exit) => (Exit.isSuccess(exit) ? exit.value : ([failed(exit, this.shownUrl()), undefined] as const))),
      // no spans of the client, whichever it is made of, and no trace headers, which Effect's clients send even without spans
      Effect.withTracerEnabled(false),
      Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
      // fetch would follow a redirect by itself, and take the headers along; other clients do not read this
      Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
    )
    const silent: Verdict = {
      _tag: "Retry",
      why: `no answer within ${Duration.format(Duration.millis(timeoutMillis))}`
    }
    return Effect.raceFirst(sent, Effect.as(realTime(timeoutMillis), [silent, undefined] as const))
  }

  /** So much of the batch that was being sent is given up. */
  private lost(reason: DropReason, items: number): Effect.Effect<void> {
    return this.andTell(this.dropped(reason, settle(this.queue, reason, 0, items)))
  }

  private droppedAny(reason: DropReason, items: number): Effect.Effect<void> {
    return items === 0 ? Effect.void : this.andTell(this.dropped(reason, items))
  }

  /** Counts, and says so when it begins. */
  private dropped(reason: DropReason, items: number): Effect.Effect<void> {
    this.counter(reason, () => this.queue.dropped[reason])
    if (!this.episode.noteDropped(this.nowMillis(), reason, items)) return Effect.void
    return Effect.logWarning(
      `Otlp: ${this.plural} for ${this.shownUrl()} are being dropped (${reason}): ${this.explain(reason)}. ` +
        `Further drops are counted, not logged`
    )
  }

  private explain(reason: DropReason): string {
    switch (reason) {
      case "overflow": {
        const last = this.lastFailure === undefined ? "the receiver is too slow" : `last failure: ${this.lastFailure}`
        return `the queue is full with ${this.queue.bytes} bytes, ${last}`
      }
      case "oversized":
        return `one alone is more than the ${this.settings.maxBytes} bytes that may wait`
      case "unencodable":
        return "they cannot be encoded"
      case "shutdown":
        return "the exporter is closed"
      default:
        return this.lastFailure ?? "the receiver did not say why"
    }
  }

  /** When all that has been handed over has arrived or was dropped. */
  readonly settled: Effect.Effect<void> = Effect.callback((resume) => {
    const stop = this.whenSettled(() => resume(Effect.void))
    this.wake()
    return Effect.sync(stop)
  })

  /** Ends the wait that there is, and none that is to come. */
  private wake(): void {
    this.hurry.openUnsafe()
    this.hurry.closeUnsafe()
  }

  private whenSettled(done: () => void): () => void {
    const waiter: Waiter = { upTo: this.queue.lastSequence, done }
    this.waiters.add(waiter)
    this.tell()
    return () => this.waiters.delete(waiter)
  }

  /** Waiting callers go on after the line has been logged. */
  private andTell(log: Effect.Effect<void>): Effect.Effect<void> {
    return Effect.andThen(
      log.pipe(
        // Effect's exporter annotates the lines that it logs where it hands over, and says that it is its own
        Effect.provideService(References.CurrentLogAnnotations, {}),
        // a caller that flushes may have the exporter of logs among its own loggers
        Effect.provideService(Logger.CurrentLoggers, Context.get(this.context, Logger.CurrentLoggers))
      ),
      Effect.sync(() => this.tell())
    )
  }

  private tell(): void {
    const oldest = oldestPending(this.queue)
    for (const waiter of [...this.waiters]) {
      if (oldest !== undefined && oldest <= waiter.upTo) continue
      this.waiters.delete(waiter)
      waiter.done()
    }
  }

  /** Sends the waiting batches for so long at most, on real time, and drops the rest. */
  close(worker: Fiber.Fiber<never>, withinMillis: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      this.isClosing = true
      // one callback for both ends of the wait, because nothing in a finalizer can be interrupted
      const done = (): void => {
        clearTimeout(timer)
        stop()
        this.isClosed = true
        worker.interruptUnsafe()
        const lost = abandon(this.queue)
        this.tell()
        for (const registration of this.registered.values()) registration.remove()
        resume(lost === 0 ? Effect.void : this.shutDown(lost))
      }
      const timer = setTimeout(done, withinMillis)
      const stop = this.whenSettled(() => queueMicrotask(done))
      this.wake()
    })
  }

  private shutDown(items: number): Effect.Effect<void> {
    return Effect.logWarning(
      `Otlp: ${items} ${this.plural} were dropped at shutdown: ${this.lastFailure ?? "there was no time to send them"} ` +
        `(${this.shownUrl()})`
    )
  }

  private get plural(): string {
    return words[this.settings.signal].plural
  }

  private nowMillis(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }

  /** Without the credentials and the query that a url may have. */
  private shownUrl(): string {
    return `${this.settings.url.origin}${this.settings.url.pathname}`
  }

  private attributes(): Record<string, string> {
    const { host, port } = Transport.serverOf(this.settings.url.origin)
    return {
      "otel.component.type": "holdfast_otlp_http_exporter",
      "server.address": host,
      "server.port": String(port)
    }
  }

  /** One series for arrived items, and one for each reason of drops that there were: it is read when somebody exports it. */
  private counter(reason: DropReason | undefined, read: () => number): void {
    const { metric, unit } = words[this.settings.signal]
    this.register(
      reason ?? "arrived",
      Metric.counter(`${metric}.exported`, {
        description: "Exported, or dropped for the reason in error.type",
        incremental: true,
        attributes: { unit, ...this.attributes(), ...(reason === undefined ? {} : { "error.type": reason }) }
      }),
      () => ({ count: read(), incremental: true })
    )
  }

  private register<State>(key: string, metric: Metric.Metric<number, State>, get: () => State): void {
    if (this.registered.has(key)) return
    const update = (): void => {}
    this.registered.set(key, Metric.registerUnsafe(metric, this.context, { get, update, modify: update }))
  }
}

/** How exports of a signal are encoded. */
export interface Encoding<Data> {
  readonly contentType: string
  readonly count: (data: Data) => number
  readonly encode: (data: Data, items: number) => Uint8Array<ArrayBuffer>
  /** The export without the items of which an export is not fine. */
  readonly fine: (data: Data, isFine: (one: Data) => boolean) => Data
}

const encoded = <Data>(
  encode: Encoding<Data>["encode"],
  data: Data,
  items: number
): Uint8Array<ArrayBuffer> | undefined => {
  try {
    return encode(data, items)
  } catch {
    return undefined
  }
}

interface Piece {
  readonly content: Content
  readonly items: number
}

const withBody = (request: Content, bytes: Uint8Array<ArrayBuffer>): Content =>
  HttpClientRequest.setBody(
    request,
    HttpBody.uint8Array(bytes, request.body._tag === "Uint8Array" ? request.body.contentType : undefined)
  )

const bytesOf = (body: HttpBody.HttpBody): number => (body._tag === "Uint8Array" ? body.contentLength : 0)

const accepted = (request: Content): HttpClientResponse.HttpClientResponse =>
  HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))

/** The first bytes of an answer. Its status counts, however its body ends. */
const readAnswer = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Uint8Array> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    return response.stream.pipe(
      Stream.runForEachWhile((chunk) =>
        Effect.sync(() => {
          size += chunk.length
          chunks.push(chunk)
          return size < answerBytes
        })
      ),
      Effect.ignore,
      Effect.map(() => joined(chunks))
    )
  })

/** A request that cannot be made will not be made the next time either; any other failure may have passed by then. */
const failed = (exit: Exit.Failure<unknown, unknown>, endpoint: string): Verdict => {
  const error = Exit.findErrorOption(exit)
  if (error._tag === "None") return { _tag: "Retry", why: "the client that carries it broke" }
  if (!isHttpClientError(error.value)) return { _tag: "Retry", why: "the client that carries it failed" }
  const { _tag } = error.value.reason
  if (_tag === "EncodeError" || _tag === "InvalidUrlError") {
    return { _tag: "Refused", why: `the request cannot be made (${_tag})` }
  }
  return {
    _tag: "Retry",
    why: ErrorCatalog.of(FailureClassifier.classify(error.value, { endpoint, phase: "wait" })).code
  }
}

const realTime = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

/** Deliveries that end with the scope, together, within `shutdownMillis`. */
export const makeDeliveries = (
  all: ReadonlyArray<Settings>,
  shutdownMillis: number
): Effect.Effect<ReadonlyArray<Delivery>, never, HttpClient.HttpClient | Scope.Scope> =>
  Effect.gen(function* () {
    const carrier = yield* HttpClient.HttpClient
    const context = yield* Effect.context<never>()
    const clock = yield* Clock.Clock
    const running = yield* Effect.acquireRelease(
      Effect.forEach(all, (settings) => {
        const delivery = new Delivery(settings, carrier, context, clock)
        // not a child of the scope, which would wait for a client that does not let itself be interrupted
        return Effect.map(Effect.forkDetach(delivery.run), (worker) => ({ delivery, worker }))
      }),
      Effect.forEach(({ delivery, worker }) => delivery.close(worker, shutdownMillis), {
        concurrency: "unbounded",
        discard: true
      })
    )
    return running.map(({ delivery }) => delivery)
  })
