import { CallError } from "@holdfast/core/CallError"
import * as Reason from "@holdfast/core/Reason"
import type { RetryStopped } from "@holdfast/core/Retry"
import * as CallObserver from "@holdfast/http/CallObserver"
import { Context, Duration, Effect, Metric } from "effect"

/** A call as an upstream would tell of it. */
export const observed = (given: Partial<CallObserver.ObservedCall> = {}): CallObserver.ObservedCall => {
  const method = given.method ?? "GET"
  const template = given.template ?? "/items/{id}"
  return {
    upstream: "stock",
    operation: `${method} ${template}`,
    method,
    template,
    requestId: "0d6f1c2ab3e94f75",
    origin: "https://stock.internal",
    startMillis: 0,
    span: undefined,
    context: Context.empty(),
    ...given
  }
}

export const attemptEnd = (given: Partial<CallObserver.AttemptEnd> = {}): CallObserver.AttemptEnd => ({
  origin: "https://stock.internal",
  resend: 0,
  isHedge: false,
  outcome: "success",
  durationMillis: 30,
  status: 200,
  reason: undefined,
  timings: undefined,
  requestBytes: undefined,
  responseBytes: undefined,
  ...given
})

export const callEnd = (given: Partial<CallObserver.CallEnd> = {}): CallObserver.CallEnd => ({
  outcome: "success",
  durationMillis: 40,
  attempts: 1,
  error: undefined,
  ...given
})

export const callError = (reason: Reason.Reason, retryStopped: RetryStopped = "attempts"): CallError =>
  new CallError({
    upstream: "stock",
    operation: "GET /items/{id}",
    requestId: "0d6f1c2ab3e94f75",
    attempts: 1,
    elapsed: Duration.millis(40),
    retryStopped,
    reason
  })

export const serviceUnavailable = new Reason.ServiceUnavailable({
  endpoint: "stock.internal:443",
  headers: {},
  body: "",
  bodyComplete: true
})

/** Everything that observers hear of a call that succeeds at first try. */
export const succeed = (observer: CallObserver.CallObserver, call: CallObserver.ObservedCall): void => {
  observer.callStarted?.(call)
  observer.attemptStarted?.(call, { origin: call.origin, resend: 0, isHedge: false })
  observer.attemptEnded?.(call, attemptEnd({ origin: call.origin }))
  observer.callEnded?.(call, callEnd())
}

/** Runs with a registry of its own, so that no test sees another's figures. */
export const isolated = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.provideService(self, Metric.MetricRegistry, new Map())

/** The series of a metric, by their attributes without the unit. */
export const seriesOf = (id: string) =>
  Effect.map(Metric.snapshot, (snapshots) =>
    snapshots
      .filter((snapshot) => snapshot.id === id)
      .map(({ attributes = {}, state }) => {
        const { unit: _, ...labels } = attributes
        return { labels, state }
      })
  )

/** The observer that the layers below give. */
export const observer: Effect.Effect<CallObserver.CallObserver> = Effect.flatMap(CallObserver.all, ([first]) =>
  first === undefined ? Effect.die("nobody observes") : Effect.succeed(first)
)
