// Holdfast's transport alone, without the pipeline above it: what of the difference to the floor is the transport's.

import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as Transport from "@holdfast/http/Transport"
import * as NodeTransport from "@holdfast/node/NodeTransport"
import * as Effect from "effect/Effect"
import * as ManagedRuntime from "effect/ManagedRuntime"
import { effectWork, type RequestContender } from "./contender.ts"

export const contender: RequestContender = async ({ connections, origin, path }) => {
  const runtime = ManagedRuntime.make(NodeTransport.layer({ connections }))
  const context = await runtime.context()
  const transport = await runtime.runPromise(Transport.Transport)
  const decoder = new TextDecoder()
  return {
    work: effectWork(context, () =>
      Effect.map(
        transport.send({
          upstream: "orders",
          operation: "GET /orders/{id}",
          resend: 0,
          method: "GET",
          origin,
          path,
          headers: {},
          body: undefined,
          expectedStatus: [],
          limits: HttpPolicy.none.call.limits
        }),
        (response) => JSON.parse(decoder.decode(response.body))
      )
    ),
    close: () => runtime.dispose()
  }
}
