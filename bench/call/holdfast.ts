// Holdfast's pipeline over a transport in memory.

import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as Transport from "@holdfast/http/Transport"
import * as Upstream from "@holdfast/http/Upstream"
import * as Metrics from "@holdfast/telemetry/Metrics"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import { Order } from "../order.ts"
import { recordingTracer } from "../recordingTracer.ts"
import type { EffectContender } from "./contender.ts"

export const holdfast = (options: {
  readonly policy: HttpPolicy.HttpPolicy
  readonly decode: boolean
  readonly spans: boolean
  readonly metrics?: boolean
  /** Layers that change nothing. */
  readonly layers?: Pick<Upstream.Options, "attempt" | "call">
}): EffectContender => ({
  kind: "effect",
  around: async (operation) => {
    // open to the end of the process: what is recorded into must not be taken away
    const scope = Scope.makeUnsafe()
    const orders = await Effect.runPromise(
      Upstream.make("orders", { baseUrl: "http://in.memory", policy: options.policy, ...options.layers }).pipe(
        Effect.provideService(
          Transport.Transport,
          Transport.fromSend(() => operation)
        ),
        Effect.provide(
          options.metrics === true
            ? await Effect.runPromise(Scope.provide(Layer.build(Metrics.layer()), scope))
            : Context.empty()
        ),
        Scope.provide(scope)
      )
    )
    return {
      call: options.decode
        ? () => orders.get("/orders/{id}", { params: { id: "ord_1" }, decode: Order })
        : () => orders.get("/orders/{id}", { params: { id: "ord_1" } }),
      context: options.spans ? await Effect.runPromise(Effect.scoped(Layer.build(recordingTracer()))) : Context.empty()
    }
  }
})

export const none = holdfast({ policy: HttpPolicy.none, decode: false, spans: false })
export const standard = holdfast({ policy: HttpPolicy.standard(), decode: false, spans: false })
export const standardDecode = holdfast({ policy: HttpPolicy.standard(), decode: true, spans: false })
export const standardSpans = holdfast({ policy: HttpPolicy.standard(), decode: false, spans: true })
export const standardMetrics = holdfast({ policy: HttpPolicy.standard(), decode: false, spans: false, metrics: true })
export const standardSpansMetrics = holdfast({
  policy: HttpPolicy.standard(),
  decode: false,
  spans: true,
  metrics: true
})

/** What one empty layer of each kind costs. */
export const standardAttemptLayer = holdfast({
  policy: HttpPolicy.standard(),
  decode: false,
  spans: false,
  layers: { attempt: [{ name: "empty", around: ({ request }, next) => next(request) }] }
})
export const standardCallLayer = holdfast({
  policy: HttpPolicy.standard(),
  decode: false,
  spans: false,
  layers: { call: [{ name: "empty", around: ({ request }, next) => next(request) }] }
})
