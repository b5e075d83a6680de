/**
 * What a test calls with: an upstream of the toolkit over a transport of its own, both closed with the scope, and a bound
 * on every wait.
 */
import { Cause, Duration, Effect, Exit, Layer } from "effect"
import type { Scope } from "effect"
import type { CallError, Transport } from "holdfast"
import { HttpPolicy, Upstream } from "holdfast"
import { NodeTransport, type Tls } from "holdfast/node"
import type { Listener } from "./upstream.ts"

/** What is called: a listener, or a port that nobody answers on. */
export type Target = Pick<Listener, "url"> & Partial<Listener>

export interface CallingOptions {
  readonly policy?: HttpPolicy.Options
  readonly transport?: NodeTransport.Options<Tls.TlsMaterialError>
  readonly upstream?: Partial<Omit<Upstream.Options, "policy">>
  /** Default: `payments`. */
  readonly name?: string
}

/**
 * The limits of a transport, unless a test sets them: beyond what a test waits for at all. So what is on a busy machine later than it would
 * be elsewhere runs into none of them, and what hangs until one of them ends it fails the test.
 */
export const outOfTheWay: NodeTransport.Options = {
  maxWait: "2 minutes",
  keepAlive: "2 minutes",
  connectTimeout: "2 minutes",
  sendTimeout: "2 minutes",
  headersTimeout: "2 minutes",
  bodyTimeout: "2 minutes",
  drainTimeout: "2 minutes"
}

/** undici, trusting what the target's certificates lead to. */
export const nodeTransport = (
  target: Target,
  options: NodeTransport.Options<Tls.TlsMaterialError> = {}
): Layer.Layer<Transport.Transport> =>
  Layer.orDie(
    NodeTransport.layer({
      ...outOfTheWay,
      ...options,
      ...(target.trustedRoot === undefined ? {} : { tls: { ca: target.trustedRoot, ...options.tls } })
    })
  )

/** An upstream over any transport; the transport lives as long as the scope. */
export const callingThrough = (
  transport: Layer.Layer<Transport.Transport>,
  target: Target,
  options: Omit<CallingOptions, "transport"> = {}
): Effect.Effect<Upstream.Upstream, never, Scope.Scope> =>
  Effect.flatMap(Layer.build(transport), (context) =>
    Upstream.make(options.name ?? "payments", {
      baseUrl: target.url,
      ...options.upstream,
      policy: HttpPolicy.standard(options.policy)
    }).pipe(Effect.provide(context))
  )

/** An upstream over undici. */
export const calling = (
  target: Target,
  options: CallingOptions = {}
): Effect.Effect<Upstream.Upstream, never, Scope.Scope> =>
  callingThrough(nodeTransport(target, options.transport), target, options)

/** Long enough for anything on a machine that does five other things, and shorter than what vitest gives a test. */
const hangsAfter = Duration.seconds(30)

/** Dies when the effect hangs: a test that would hang says where. It is no judge of how long anything takes. */
export const bounded = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.timeoutOrElse(self, {
    duration: hangsAfter,
    orElse: () => Effect.die(new Error(`not finished within ${Duration.format(hangsAfter)}`))
  })

export interface Timed<A> {
  readonly value: A
  readonly millis: number
}

/** The result and how long it took, in real time. */
export const timed = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<Timed<A>, E, R> =>
  Effect.suspend(() => {
    const start = performance.now()
    return Effect.map(self, (value) => ({ value, millis: performance.now() - start }))
  })

/** In which what was due with a timer, or before it, has been told to whoever waits for it. */
const turns = 20

/**
 * The result, and whether it was there before a plain timer of this length that was started with it. A machine that is busy holds both of
 * them up: so this tells a wait that is too long from a machine that is slow, which a bound on the time cannot. Only of what this process
 * does alone: another one may be held up by itself.
 */
export const racingTimer =
  (millis: number) =>
  <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<{ readonly value: A; readonly isFirst: boolean }, E, R> =>
    Effect.suspend(() => {
      let isOver = false
      const later = (left: number): void => {
        if (left === 0) isOver = true
        else setImmediate(later, left - 1)
      }
      const timer = setTimeout(later, millis, turns)
      return self.pipe(
        Effect.map((value) => ({ value, isFirst: !isOver })),
        Effect.ensuring(Effect.sync(() => clearTimeout(timer)))
      )
    })

/** The error of a call that is meant to fail, within a bound; a success or a defect is a fault of the test. */
export const failure = <A>(call: Effect.Effect<A, CallError.CallError>): Effect.Effect<CallError.CallError> =>
  Effect.flatMap(Effect.exit(bounded(call)), (exit) => {
    if (Exit.isSuccess(exit)) return Effect.die(new Error("the call succeeded, and was to fail"))
    const reason = exit.cause.reasons.find(Cause.isFailReason)
    return reason === undefined ? Effect.die(Cause.squash(exit.cause)) : Effect.succeed(reason.error)
  })

export interface Seen {
  /** Tag of the reason; `Success` for none. */
  readonly tag: string
  /** How far the attempt had come, where the reason says it. */
  readonly phase: string | undefined
  readonly code: string | undefined
  readonly millis: number
}

/** How a call ended, as a row of a table. */
export const seen = <A>(call: Effect.Effect<A, CallError.CallError>): Effect.Effect<Seen> =>
  Effect.map(timed(Effect.result(bounded(call))), ({ millis, value }) => {
    if (value._tag === "Success") return { tag: "Success", phase: undefined, code: undefined, millis }
    const { reason } = value.failure
    return {
      tag: reason._tag,
      phase: "phase" in reason ? reason.phase : undefined,
      code: "code" in reason ? reason.code : undefined,
      millis
    }
  })

/** A wait in real time, where something is to be shown not to happen. */
export const pause = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })

/** The middle one, by size. */
export const median = (figures: ReadonlyArray<number>): number =>
  [...figures].sort((a, b) => a - b)[Math.floor(figures.length / 2)] ?? Number.NaN

/** Instants of the upstream's facts, on the clock that both processes share. */
export const nowMillis = (): number => performance.timeOrigin + performance.now()
