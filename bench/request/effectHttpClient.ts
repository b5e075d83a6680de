// Effect's own HttpClient over undici, bare or with the policies that Effect has, spans off or recorded.

import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Effect from "effect/Effect"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as CircuitBreaker from "effect/persistence/CircuitBreaker"
import * as RateLimiter from "effect/persistence/RateLimiter"
import * as Schedule from "effect/Schedule"
import { recordingTracer } from "../recordingTracer.ts"
import { effectWork, type RequestContender } from "./contender.ts"

const withPolicies = Effect.gen(function* () {
  const client = yield* HttpClient.HttpClient
  const breaker = yield* CircuitBreaker.CircuitBreaker
  const limiter = yield* RateLimiter.RateLimiter
  return client.pipe(
    HttpClient.transformResponse(Effect.timeout("10 seconds")),
    // a limit that is never reached
    HttpClient.withRateLimiter({ limiter, key: "bench", window: "1 second", limit: 10_000_000, times: 2 }),
    HttpClient.retryTransient({ times: 2, schedule: Schedule.exponential("100 millis") }),
    HttpClient.withCircuitBreaker({ breaker })
  )
})

const policies = Layer.merge(
  CircuitBreaker.layer({ tripPolicy: CircuitBreaker.consecutive(5), openDuration: "30 seconds" }).pipe(
    Layer.provide(CircuitBreaker.layerStoreMemory())
  ),
  RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory))
)

export const effectHttpClient =
  (options: { readonly policies: boolean; readonly spans: boolean }): RequestContender =>
  async ({ connections, origin, path }) => {
    const runtime = ManagedRuntime.make(
      Layer.mergeAll(
        NodeHttpClient.layerUndiciOptions({ connections }),
        policies,
        options.spans ? recordingTracer() : Layer.succeed(HttpClient.TracerDisabledWhen, () => true)
      )
    )
    const context = await runtime.context()
    const client = options.policies
      ? await runtime.runPromise(withPolicies)
      : await runtime.runPromise(HttpClient.HttpClient)
    return {
      work: effectWork(context, () => Effect.flatMap(client.get(`${origin}${path}`), (response) => response.json)),
      close: () => runtime.dispose()
    }
  }
