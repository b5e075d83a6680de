/** What happened to every call and every attempt, and in which patch of the day. */
import { Clock, Context, Effect, Exit, Layer } from "effect"
import { type CallError, Transport } from "holdfast"
import { day, patchAt } from "./day.ts"

export interface CallRecord {
  readonly upstream: string
  readonly patch: number
  readonly millis: number
  readonly error: CallError.CallError | undefined
}

export interface Finished {
  readonly calls: ReadonlyArray<CallRecord>
  /** Attempts by upstream, for each patch of the day. */
  readonly attempts: ReadonlyMap<string, ReadonlyArray<number>>
  readonly millis: number
}

export class Meter extends Context.Service<
  Meter,
  {
    readonly begin: Effect.Effect<void>
    readonly measured: <A>(upstream: string, call: Effect.Effect<A, CallError.CallError>) => Effect.Effect<void>
    readonly countAttempt: (upstream: string) => Effect.Effect<void>
    readonly finished: Effect.Effect<Finished>
  }
>()("bad-day/Meter") {
  static readonly layer = Layer.sync(Meter, () => {
    let beganAt = 0
    const calls: Array<CallRecord> = []
    const attempts = new Map<string, Array<number>>()
    const elapsed = Effect.map(Clock.currentTimeMillis, (now) => now - beganAt)
    return Meter.of({
      begin: Effect.map(Clock.currentTimeMillis, (now) => {
        beganAt = now
      }),
      measured: Effect.fnUntraced(function* (upstream, call) {
        const start = yield* elapsed
        const exit = yield* Effect.exit(call)
        const millis = (yield* elapsed) - start
        const error = Exit.isFailure(exit)
          ? exit.cause.reasons.find((reason) => reason._tag === "Fail")?.error
          : undefined
        calls.push({ upstream, patch: patchAt(start), millis, error })
      }),
      countAttempt: (upstream) =>
        Effect.map(elapsed, (now) => {
          const counts = attempts.get(upstream) ?? day.map(() => 0)
          const patch = patchAt(now)
          counts[patch] = (counts[patch] ?? 0) + 1
          attempts.set(upstream, counts)
        }),
      finished: Effect.map(elapsed, (millis) => ({ calls, attempts, millis }))
    })
  })
}

/** The transport below, with every attempt counted on its way: a layer over a layer. */
export const meteredTransport = Layer.effect(
  Transport.Transport,
  Effect.gen(function* () {
    const transport = yield* Transport.Transport
    const meter = yield* Meter
    const counted = (request: Transport.Request) => meter.countAttempt(request.upstream)
    return Transport.Transport.of({
      send: (request) => Effect.andThen(counted(request), transport.send(request)),
      open: (request) => Effect.andThen(counted(request), transport.open(request))
    })
  })
)
