// Holdfast: an upstream over its own undici transport.

import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as Upstream from "@holdfast/http/Upstream"
import * as NodeTransport from "@holdfast/node/NodeTransport"
import * as Metrics from "@holdfast/telemetry/Metrics"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Scope from "effect/Scope"
import { Order } from "../order.ts"
import { recordingTracer } from "../recordingTracer.ts"
import { effectWork, type RequestContender } from "./contender.ts"

export const holdfast =
  (options: {
    readonly policy: HttpPolicy.HttpPolicy
    /** Whether the body is decoded with a schema, or only parsed as the bare clients do. */
    readonly decode: boolean
    readonly spans: boolean
    readonly metrics?: boolean
  }): RequestContender =>
  async ({ connections, origin, path }) => {
    const runtime = ManagedRuntime.make(
      Layer.mergeAll(
        NodeTransport.layer({ connections }),
        options.spans ? recordingTracer() : Layer.empty,
        options.metrics === true ? Metrics.layer() : Layer.empty
      )
    )
    const context = await runtime.context()
    // open as long as it is called: what is recorded of an upstream leaves with it
    const scope = Scope.makeUnsafe()
    const orders = await runtime.runPromise(
      Scope.provide(Upstream.make("orders", { baseUrl: origin, policy: options.policy }), scope)
    )
    const id = path.split("/").at(-1) ?? ""
    return {
      work: effectWork(
        context,
        options.decode
          ? () => orders.get("/orders/{id}", { params: { id }, decode: Order })
          : () => Effect.map(orders.get("/orders/{id}", { params: { id } }), (answer) => JSON.parse(answer.text))
      ),
      close: async () => {
        await Effect.runPromise(Scope.close(scope, Exit.void))
        await runtime.dispose()
      }
    }
  }

export const none = holdfast({ policy: HttpPolicy.none, decode: false, spans: false })
export const standard = holdfast({ policy: HttpPolicy.standard(), decode: false, spans: false })
export const standardDecode = holdfast({ policy: HttpPolicy.standard(), decode: true, spans: false })
export const standardDecodeSpans = holdfast({ policy: HttpPolicy.standard(), decode: true, spans: true })
export const standardDecodeMetrics = holdfast({
  policy: HttpPolicy.standard(),
  decode: true,
  spans: false,
  metrics: true
})
export const standardDecodeSpansMetrics = holdfast({
  policy: HttpPolicy.standard(),
  decode: true,
  spans: true,
  metrics: true
})
