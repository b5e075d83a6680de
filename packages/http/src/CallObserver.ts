/**
 * A listener that hears of every call: telemetry, a window of the last minutes, a report of failures. An observer is told what happened as
 * plain facts, at once, by the call that it happened to; nothing is made or kept while there is none.
 *
 * **When to use**: to count, measure or log calls in a way that `@holdfast/telemetry` does not.
 *
 * **What it is not**: a stage. It cannot change, delay or refuse anything.
 *
 * **Gotchas**: a call is heard by the observers that its upstream's layer was built with, and by those of the fiber that calls, each
 * once: {@link layer} may stand below the layers of upstreams, beside them, or around the program. An
 * observer runs inside the call; it must be quick, and what it throws is dropped. Attempts that other calls joined may be heard of
 * after the end of the call that began them, whose caller left.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type { AnySpan } from "effect/Tracer"
import type { CallError } from "@holdfast/core/CallError"
import type { DeadlineExceeded, PolicyReason, Reason } from "@holdfast/core/Reason"
import { listeners, type Unobserved } from "./internal/watch/unobserved.ts"
import type { PhaseTimings } from "./Transport.ts"
import type { Registered } from "./UpstreamRegistry.ts"

/**
 * The call that something happened to. The same object for all that is told of one call.
 *
 * @category models
 * @since 0.1.0
 */
export interface ObservedCall {
  readonly upstream: string
  /** Method and path template. */
  readonly operation: string
  readonly method: string
  /** The path template, below the base URL; empty for the calls of a client, which have none. */
  readonly template: string
  readonly requestId: string
  /** Scheme, host and port of the base URL. */
  readonly origin: string
  /** When it began, in milliseconds on the clock of its fiber that only goes forward: only differences mean anything. */
  readonly startMillis: number
  /** Its span, while somebody traces. */
  readonly span: AnySpan | undefined
  /** Its upstream's entry in the registry that it is in; none for a client that is in none. */
  readonly registered?: Registered | undefined
  /** The services of the fiber that called: tags, the request's identity, loggers. */
  readonly context: Context.Context<never>
}

/**
 * How a call ended. An interruption is no failure: its caller went away. A call whose answer is streamed ends with its body: a
 * reader who wants no more of it makes it a success, and one who is interrupted does not.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallEnd {
  /** A response that a client gives although its status is an error is a failure. */
  readonly outcome: "success" | "failure" | "interrupted"
  readonly durationMillis: number
  /** Attempts that were sent; none by a call that joined another one. */
  readonly attempts: number
  /** Of a failure. A defect has none, and neither has an error of a client's own. */
  readonly error: CallError | undefined
}

/**
 * How an attempt ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptEnd {
  /** Where it went, as in a URL: `https://a.payments.internal`. */
  readonly origin: string
  /** 0 for the first attempt, 1 for the next of whatever kind. */
  readonly resend: number
  /** Whether the hedge started it, beside one that still ran. */
  readonly isHedge: boolean
  readonly outcome: "success" | "failure" | "interrupted"
  /** From the moment it had its turn; of an answer that is streamed, up to its headers. */
  readonly durationMillis: number
  /** Of the response, when one came. */
  readonly status: number | undefined
  /** Why it failed. */
  readonly reason: Reason | undefined
  /**
   * The transport's measurements, when it can measure: of the last exchange, where redirects were followed. None of an answer that is
   * streamed, which is measured when its body has ended.
   */
  readonly timings: PhaseTimings | undefined
  /** Bytes of the request's body, where they are known before it is sent: 0 for none. */
  readonly requestBytes: number | undefined
  /** Bytes of the response's body that were read, where all of them were read within the attempt. */
  readonly responseBytes: number | undefined
}

/**
 * The events that an observer wants to hear; an event that it leaves out costs nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallObserver {
  /**
   * Where it keeps what it hears. Of several observers with one sink a call is told to the first alone, and an upstream's layer comes before
   * the fiber that calls: nothing is counted twice in one place. Default: a sink of its own.
   */
  readonly sink?: object | undefined
  readonly callStarted?: (call: ObservedCall) => void
  readonly callEnded?: (call: ObservedCall, end: CallEnd) => void
  /** The attempt has passed every stage, and goes to the transport. */
  readonly attemptStarted?: (
    call: ObservedCall,
    attempt: { readonly origin: string; readonly resend: number; readonly isHedge: boolean }
  ) => void
  readonly attemptEnded?: (call: ObservedCall, end: AttemptEnd) => void
  /**
   * A further attempt is to follow the last one, after so long. `isFresh`: it replaces one whose connection was stale, at once, and is
   * no retry that the policy counts or pays for.
   */
  readonly retryScheduled?: (
    call: ObservedCall,
    retry: {
      readonly reason: Reason
      readonly delayMillis: number
      readonly resend: number
      readonly isFresh?: boolean | undefined
    }
  ) => void
  /** A stage on this side refused an attempt, or the call, or its deadline was spent: nothing was sent. */
  readonly refused?: (call: ObservedCall, reason: PolicyReason | DeadlineExceeded) => void
  /** A call or an attempt has waited for its turn, in a queue of this side; whether or not its turn came. */
  readonly waited?: (
    call: ObservedCall,
    wait: { readonly stage: "rateLimit" | "bulkhead"; readonly millis: number }
  ) => void
  /** A hedge was started, so long after the first attempt was asked for. */
  readonly hedgeStarted?: (call: ObservedCall, hedge: { readonly afterMillis: number }) => void
  /** A call that was hedged has its answer, good or bad; `isHedge` says whether a hedge gave it. */
  readonly hedgeSettled?: (call: ObservedCall, settled: { readonly isHedge: boolean }) => void
  /** The call joined another one that was under way. */
  readonly joined?: (call: ObservedCall) => void
}

/**
 * The keys of the observers that live. Each has its own, so that layers which stand side by side do not take each other's place, and to
 * look for these few in a context costs a call less than to go through all that is in it.
 */
const living = new Set<Context.Key<never, CallObserver>>()
let made = 0

/**
 * A context with an observer in it, beside the observers that others have added. Once the scope closes, it is not found any more.
 *
 * @category constructors
 * @since 0.1.0
 */
export const context = (observer: CallObserver): Effect.Effect<Context.Context<never>, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => {
        // nobody asks for it by its key, so that no type need tell of it
        const key = Context.Service<never, CallObserver>(`@holdfast/http/CallObserver/${made++}`)
        living.add(key)
        return key
      }),
      (key) => Effect.sync(() => void living.delete(key))
    ),
    (key) => Context.make(key, observer)
  )

const nobody: ReadonlyArray<CallObserver> = []

/**
 * The observers of a context.
 *
 * @category getters
 * @since 0.1.0
 */
export const observersOf = (context: Context.Context<never>): ReadonlyArray<CallObserver> => {
  let found: Array<CallObserver> | undefined
  for (const key of living) {
    const observer = Context.getOrUndefined(context, key)
    if (observer !== undefined) (found ??= []).push(observer)
  }
  return found ?? nobody
}

/**
 * The observers of the calls that are made here.
 *
 * @category getters
 * @since 0.1.0
 */
export const all: Effect.Effect<ReadonlyArray<CallObserver>> = Effect.map(Effect.context<never>(), observersOf)

/**
 * Hears of each call of this process that nobody observes, when it begins, until the scope closes. It is for an observer that wants to know
 * whether calls pass it by; the toolkit's metrics say so in a warning.
 *
 * @category combinators
 * @since 0.1.0
 */
export const onUnobserved = (listener: (call: Unobserved) => void): Effect.Effect<void, never, Scope.Scope> =>
  Effect.asVoid(
    Effect.acquireRelease(
      // a function of its own each time, so that one listener may be there twice
      Effect.sync(() => {
        const own = (call: Unobserved): void => listener(call)
        listeners.add(own)
        return own
      }),
      (own) => Effect.sync(() => void listeners.delete(own))
    )
  )

export type {
  /**
   * A call that nobody observes.
   *
   * @category models
   * @since 0.1.0
   */
  Unobserved
}

/**
 * Adds an observer to the present ones.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { CallObserver, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const counting = CallObserver.layer({
 *   callEnded: ({ operation, upstream }, { attempts, outcome }) =>
 *     console.log(`${upstream} ${operation}: ${outcome} after ${attempts} attempts`)
 * })
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.status(503), ScriptedTransport.json({})] })
 *
 * const program = Effect.flatMap(Stock, (stock) => stock.get("/items"))
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provide([transport, counting])))))
 * // => stock GET /items: success after 2 attempts
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (observer: CallObserver): Layer.Layer<never> => Layer.effectContext(context(observer))
