/**
 * Brings the encoded batches of Effect's exporter to a receiver. To the exporter it is an `HttpClient` that answers at once: it puts the
 * body into a bounded queue. One fiber for each signal takes from there, so that a receiver which is slow, down or silent costs
 * neither the calls nor the heap anything beyond the queue.
 */

import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as HttpBody from "effect/http/HttpBody"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Latch from "effect/Latch"
import * as Logger from "effect/Logger"
import * as Random from "effect/Random"
import * as References from "effect/References"
import type * as Scope from "effect/Scope"
import { attempt, type AttemptSettings, prepared } from "./deliveryAttempt.ts"
import { DeliveryMetrics } from "./deliveryMetrics.ts"
import { DeliveryPace } from "./deliveryPace.ts"
import type { DeliveryQueue, DropReason } from "./deliveryQueue.ts"
import { abandon, lose, makeDeliveryQueue, offer, oldestPending, pendingItems, settle, take } from "./deliveryQueue.ts"
import { DeliveryReports } from "./deliveryReports.ts"
import { bytesOf, type Content, encodedExport, type Encoding, halvesOf, type Piece, piecesOf } from "./exportPieces.ts"
import type { Verdict } from "./otlpAnswer.ts"
import type { Signal } from "./otlpSlice.ts"

export interface Settings extends AttemptSettings {
  readonly signal: Signal
  /** How long a batch is tried, from its first attempt. */
  readonly giveUpMillis: number
  readonly maxBytes: number
  readonly maxBatches: number
}

/** A batch that is larger than this share of its queue is cut, so that it does not push out what is not larger. */
const largestShare = 1 / 4

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
  private readonly carrier: HttpClient.HttpClient
  private readonly context: Context.Context<never>
  private readonly clock: Clock.Clock
  private readonly pace = new DeliveryPace()
  private readonly reports: DeliveryReports
  private readonly metrics: DeliveryMetrics
  private readonly sizes = new WeakMap<HttpBody.HttpBody, { readonly items: number; readonly unencodable: number }>()
  private readonly waiters = new Set<Waiter>()
  private readonly work = Latch.makeUnsafe(false)
  private isClosed = false
  /** A larger body was too large for the receiver. */
  private largestBytes = Infinity

  constructor(settings: Settings, carrier: HttpClient.HttpClient, context: Context.Context<never>, clock: Clock.Clock) {
    this.settings = settings
    this.carrier = carrier
    this.context = context
    this.clock = clock
    this.queue = makeDeliveryQueue(settings)
    this.reports = new DeliveryReports(settings)
    this.metrics = new DeliveryMetrics(settings.signal, settings.url, context)
    this.metrics.inFlight(() => pendingItems(this.queue))
    this.metrics.exported(undefined, () => this.queue.arrived)
  }

  get lastFailure(): string | undefined {
    return this.reports.lastFailure
  }

  // -------------------------------------------------------------------------------------------------------------------
  // taking over
  // -------------------------------------------------------------------------------------------------------------------

  /** Encodes an export, and remembers of the body how many items it is of. */
  encode<Data>(data: Data, encoding: Encoding<Data>): HttpBody.HttpBody {
    const { bytes, ...sizes } = encodedExport(data, encoding)
    const body = HttpBody.uint8Array(bytes, encoding.contentType)
    this.sizes.set(body, sizes)
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

  private acceptEncoded(content: Content, items: number): Effect.Effect<void> {
    // metrics are exported even when there are none
    if (items === 0) return Effect.void
    if (this.isClosed) {
      lose(this.queue, "shutdown", items)
      return this.andTell(this.dropped("shutdown", items))
    }
    const { maxBytes, signal } = this.settings
    const lost = { overflow: 0, oversized: 0 }
    for (const piece of piecesOf(signal, { content, items }, maxBytes * largestShare)) {
      const bytes = bytesOf(piece.content)
      // alone it is more than the queue holds
      if (bytes > maxBytes) {
        lose(this.queue, "oversized", piece.items)
        lost.oversized += piece.items
      } else lost.overflow += offer(this.queue, piece.items, bytes, piece.content)
    }
    this.work.openUnsafe()
    return Effect.andThen(this.droppedAny("oversized", lost.oversized), this.droppedAny("overflow", lost.overflow))
  }

  // -------------------------------------------------------------------------------------------------------------------
  // sending
  // -------------------------------------------------------------------------------------------------------------------

  /** Sends the waiting batches, and waits for more. */
  readonly run: Effect.Effect<never> = Effect.suspend(() => {
    const batch = take(this.queue)
    if (batch !== undefined) return this.deliver(batch, { sinceMillis: undefined })
    this.work.closeUnsafe()
    return this.work.await
  }).pipe(Effect.forever)

  private deliver(piece: Piece, trial: Trial): Effect.Effect<void> {
    const bytes = bytesOf(piece.content)
    if (bytes > this.largestBytes && piece.items > 1) return this.deliverHalves(piece, trial)
    return Effect.flatMap(prepared(this.settings, piece.content), (request) => {
      const again: Effect.Effect<void> = Effect.suspend(() => {
        const waitMillis = this.pace.heldUntilMillis - this.nowMillis()
        if (waitMillis > 0) return Effect.andThen(this.pace.wait(waitMillis), again)
        const since = (trial.sinceMillis ??= this.nowMillis())
        this.requests++
        return Effect.flatMap(attempt(this.settings, this.carrier, this.clock, request), ([verdict, askedMillis]) => {
          if (verdict._tag === "TooLarge" && piece.items > 1) {
            this.pace.answered()
            this.largestBytes = Math.min(this.largestBytes, Math.ceil(bytes / 2))
            // a receiver for which everything is too large is not asked for ever
            return this.nowMillis() - since > this.settings.giveUpMillis
              ? this.conclude(verdict, piece.items)
              : this.deliverHalves(piece, trial)
          }
          if (verdict._tag !== "Retry") return this.conclude(verdict, piece.items)
          this.reports.lastFailure = verdict.why
          return Effect.flatMap(Random.next, (random) => {
            this.pace.failed(this.nowMillis(), askedMillis, random)
            return this.pace.heldUntilMillis - since > this.settings.giveUpMillis
              ? this.lost("exhausted", piece.items)
              : again
          })
        })
      })
      return again
    })
  }

  /** One after the other, as two pieces. */
  private deliverHalves(piece: Piece, trial: Trial): Effect.Effect<void> {
    return Effect.suspend(() => {
      const [first, second] = halvesOf(this.settings.signal, piece)
      return Effect.andThen(
        this.deliver(first(), trial),
        Effect.suspend(() => this.deliver(second(), trial))
      )
    })
  }

  private conclude(verdict: Exclude<Verdict, { readonly _tag: "Retry" }>, items: number): Effect.Effect<void> {
    this.pace.answered()
    if (verdict._tag !== "Arrived") {
      this.reports.lastFailure = verdict.why
      return this.lost("refused", items)
    }
    const lost = settle(this.queue, "arrived", verdict.rejected, items)
    if (lost > 0) {
      this.reports.lastFailure = `partial success${verdict.message === "" ? "" : `, ${verdict.message}`}`
      return this.andTell(this.dropped("partial", lost))
    }
    return this.andTell(this.reports.arrived(this.nowMillis()))
  }

  // -------------------------------------------------------------------------------------------------------------------
  // dropping
  // -------------------------------------------------------------------------------------------------------------------

  /** So much of the batch that was being sent is given up. */
  private lost(reason: DropReason, items: number): Effect.Effect<void> {
    return this.andTell(this.dropped(reason, settle(this.queue, reason, 0, items)))
  }

  private droppedAny(reason: DropReason, items: number): Effect.Effect<void> {
    return items === 0 ? Effect.void : this.andTell(this.dropped(reason, items))
  }

  private dropped(reason: DropReason, items: number): Effect.Effect<void> {
    this.metrics.exported(reason, () => this.queue.dropped[reason])
    return this.reports.dropped(reason, items, this.queue.bytes, this.nowMillis())
  }

  // -------------------------------------------------------------------------------------------------------------------
  // flushing and closing
  // -------------------------------------------------------------------------------------------------------------------

  /** When all that has been handed over has arrived or was dropped. */
  readonly settled: Effect.Effect<void> = Effect.callback((resume) => {
    const stop = this.whenSettled(() => resume(Effect.void))
    this.pace.hurry()
    return Effect.sync(stop)
  })

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
      this.pace.close()
      // one callback for both ends of the wait, because nothing in a finalizer can be interrupted
      const done = (): void => {
        clearTimeout(timer)
        stop()
        this.isClosed = true
        worker.interruptUnsafe()
        const lost = abandon(this.queue)
        this.tell()
        this.metrics.remove()
        resume(lost === 0 ? Effect.void : this.reports.shutDown(lost))
      }
      const timer = setTimeout(done, withinMillis)
      const stop = this.whenSettled(() => queueMicrotask(done))
      this.pace.hurry()
    })
  }

  private nowMillis(): number {
    return Number(this.clock.monotonicTimeNanosUnsafe()) / 1e6
  }
}

const accepted = (request: Content): HttpClientResponse.HttpClientResponse =>
  HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))

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
