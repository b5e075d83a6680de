// Holdfast: an upstream over its own undici transport.

import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as Upstream from "@holdfast/http/Upstream"
import * as NodeTransport from "@holdfast/node/NodeTransport"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { Order } from "../order.ts"
import { recordingTracer } from "../recordingTracer.ts"
import { effectWork, type RequestContender } from "./contender.ts"

export const holdfast =
  (options: {
    readonly policy: HttpPolicy.HttpPolicy
    /** Whether the body is decoded with a schema, or only parsed as the bare clients do. */
    readonly decode: boolean
    readonly spans: boolean
  }): RequestContender =>
  async ({ connections, origin, path }) => {
    const runtime = ManagedRuntime.make(
      Layer.merge(NodeTransport.layer({ connections }), options.spans ? recordingTracer() : Layer.empty)
    )
    const context = await runtime.context()
    const orders = await runtime.runPromise(
      Effect.scoped(Upstream.make("orders", { baseUrl: origin, policy: options.policy }))
    )
    const id = path.split("/").at(-1) ?? ""
    return {
      work: effectWork(
        context,
        options.decode
          ? () => orders.get("/orders/{id}", { params: { id }, decode: Order })
          : () => Effect.map(orders.get("/orders/{id}", { params: { id } }), (answer) => JSON.parse(answer.text))
      ),
      close: () => runtime.dispose()
    }
  }

export const none = holdfast({ policy: HttpPolicy.none, decode: false, spans: false })
export const standard = holdfast({ policy: HttpPolicy.standard(), decode: false, spans: false })
export const standardDecode = holdfast({ policy: HttpPolicy.standard(), decode: true, spans: false })
export const standardDecodeSpans = holdfast({ policy: HttpPolicy.standard(), decode: true, spans: true })
