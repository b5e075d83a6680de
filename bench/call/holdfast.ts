// Holdfast's pipeline over a transport in memory.

import * as Endpoints from "@holdfast/http/Endpoints"
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
  /** Layers that change nothing, and endpoints of which there is one. */
  readonly layers?: Pick<Upstream.Options, "attempt" | "call">
  readonly endpoints?: Upstream.Options["endpoints"]
}): EffectContender => ({
  kind: "effect",
  around: async (operation) => {
    // open to the end of the process: what is recorded into must not be taken away
    const scope = Scope.makeUnsafe()
    const orders = await Effect.runPromise(
      Upstream.make("orders", {
        ...(options.endpoints === undefined ? { baseUrl: "http://in.memory" } : { endpoints: options.endpoints }),
        policy: options.policy,
        ...options.layers
      }).pipe(
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

/** What it costs to choose between two endpoints. */
export const standardEndpoints = holdfast({
  policy: HttpPolicy.standard(),
  decode: false,
  spans: false,
  endpoints: Endpoints.list(["http://a.in.memory", "http://b.in.memory"])
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
