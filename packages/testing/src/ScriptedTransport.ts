/**
 * A transport that answers from a script, by operation and by attempt. It swaps in as a layer, opens no socket, and sleeps on
 * the fiber's clock, so that a test of retries and timeouts takes no time under `TestClock`.
 *
 * **When to use**: to test a service that calls upstreams: provide {@link layer} where the program provides `NodeTransport`.
 *
 * **What it is not**: a mock of your upstream's logic. It knows operations, not state.
 *
 * **Gotchas**: steps are used in order over all calls of an operation, and the last one repeats. A request that no script
 * matches dies with a message that lists the scripts: it is a mistake in the test, and no policy should retry it.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Reason from "@holdfast/core/Reason"
import type { TransportReason } from "@holdfast/core/Reason"
import * as Transport from "@holdfast/http/Transport"

/**
 * An answer or a failure, after a delay.
 *
 * @category models
 * @since 0.1.0
 */
export type Reply =
  | { readonly _tag: "Answer"; readonly response: Transport.Response; readonly delay: Duration.Duration }
  | {
      readonly _tag: "Failure"
      readonly reason: (request: Transport.Request) => TransportReason
      readonly delay: Duration.Duration
    }

/**
 * What an attempt meets: a reply, or silence.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = Reply | { readonly _tag: "Hang" }

/**
 * What operations are answered with: a list of steps, or a function of the request. A key is an operation
 * (`"GET /items/{sku}"`), an operation of one upstream (`"stock GET /items/{sku}"`, which wins), or `"*"` for every operation
 * that has no script of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Script {
  readonly [operation: string]: ReadonlyArray<Step> | ((request: Transport.Request) => Step)
}

const encoder = new TextEncoder()

const answer = (status: number, headers: Record<string, string>, body: string): Reply => ({
  _tag: "Answer",
  response: { status, headers, body: encoder.encode(body), bodyComplete: true },
  delay: Duration.zero
})

/**
 * Answers with a value as JSON; status 200 unless another is given.
 *
 * @category steps
 * @since 0.1.0
 */
export const json = (
  value: unknown,
  options?: { readonly status?: number | undefined; readonly headers?: Record<string, string> | undefined }
): Reply =>
  answer(options?.status ?? 200, { "content-type": "application/json", ...options?.headers }, JSON.stringify(value))

/**
 * Answers with a status, headers and text: `status(503, { headers: { "retry-after": "2" } })`.
 *
 * @category steps
 * @since 0.1.0
 */
export const status = (
  status: number,
  options?: { readonly headers?: Record<string, string> | undefined; readonly body?: string | undefined }
): Reply => answer(status, options?.headers ?? {}, options?.body ?? "")

/**
 * Fails as the network would: `fail(new Reason.ConnectionRefused({ … }))`.
 *
 * @category steps
 * @since 0.1.0
 */
export const fail = (reason: TransportReason): Reply => failWith(() => reason)

const failWith = (reason: (request: Transport.Request) => TransportReason): Reply => ({
  _tag: "Failure",
  reason,
  delay: Duration.zero
})

/**
 * Nothing listens there.
 *
 * @category steps
 * @since 0.1.0
 */
export const refused: Reply = failWith(
  ({ origin }) =>
    new Reason.ConnectionRefused({ endpoint: Transport.endpointOf(origin), phase: "connect", code: "ECONNREFUSED" })
)

/**
 * The connection is reset while the answer is awaited.
 *
 * @category steps
 * @since 0.1.0
 */
export const reset: Reply = failWith(
  ({ origin }) =>
    new Reason.ConnectionReset({ endpoint: Transport.endpointOf(origin), phase: "wait", code: "ECONNRESET" })
)

/**
 * The answer is cut off before its end.
 *
 * @category steps
 * @since 0.1.0
 */
export const truncated: Reply = failWith(
  ({ origin }) => new Reason.ResponseTruncated({ endpoint: Transport.endpointOf(origin), phase: "receive" })
)

/**
 * Never answers.
 *
 * @category steps
 * @since 0.1.0
 */
export const hang: Step = { _tag: "Hang" }

/**
 * The same reply, later.
 *
 * @category steps
 * @since 0.1.0
 */
export const after = (delay: Duration.Input, reply: Reply): Reply => ({
  ...reply,
  delay: Duration.sum(reply.delay, Duration.fromInputUnsafe(delay))
})

/**
 * What the script has seen.
 *
 * @category models
 * @since 0.1.0
 */
export interface Seen {
  /** Every request, in the order in which they were sent. */
  readonly requests: ReadonlyArray<Transport.Request>
  /** Requests that were interrupted before they were answered. */
  readonly interrupted: ReadonlyArray<Transport.Request>
}

/**
 * What was asked of the script, for a test to look at.
 *
 * @category services
 * @since 0.1.0
 */
export class ScriptedRequests extends Context.Service<ScriptedRequests, Effect.Effect<Seen>>()(
  "@holdfast/testing/ScriptedTransport/ScriptedRequests"
) {}

/**
 * What the script was asked so far.
 *
 * @category getters
 * @since 0.1.0
 */
export const seen: Effect.Effect<Seen, never, ScriptedRequests> = Effect.flatten(ScriptedRequests)

/**
 * A transport that answers from a script, and the record of what it was asked.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   const answer = yield* stock.get("/items/{sku}", { params: { sku: "A-7" } })
 *   const { requests } = yield* ScriptedTransport.seen
 *   console.log(answer.text, requests.map((request) => request.path))
 * })
 *
 * const script = ScriptedTransport.layer({ "GET /items/{sku}": [ScriptedTransport.status(200, { body: "3 left" })] })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provideMerge(script)))))
 * // => 3 left [ '/items/A-7' ]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (script: Script): Layer.Layer<Transport.Transport | ScriptedRequests> => {
  for (const [key, steps] of Object.entries(script)) {
    if (Array.isArray(steps) && steps.length === 0) {
      throw new RangeError(`ScriptedTransport: the script for "${key}" needs at least one step, got none`)
    }
  }
  return Layer.effectContext(
    Effect.sync(() => {
      const used = new Map<string, number>()
      const requests: Array<Transport.Request> = []
      const interrupted: Array<Transport.Request> = []
      const next = (request: Transport.Request): Step | undefined => {
        const key = [`${request.upstream} ${request.operation}`, request.operation, "*"].find((name) =>
          Object.hasOwn(script, name)
        )
        const steps = key === undefined ? undefined : script[key]
        if (key === undefined || steps === undefined) return undefined
        if (typeof steps === "function") return steps(request)
        const position = used.get(key) ?? 0
        used.set(key, position + 1)
        return steps[Math.min(position, steps.length - 1)]
      }
      const send = (request: Transport.Request) =>
        Effect.suspend(() => {
          requests.push(request)
          const step = next(request)
          if (step === undefined) return Effect.die(unscripted(request, script))
          return Effect.onInterrupt(play(step, request), () =>
            Effect.sync(() => {
              interrupted.push(request)
            })
          )
        })
      return Context.make(Transport.Transport, Transport.fromSend(send)).pipe(
        Context.add(
          ScriptedRequests,
          Effect.sync(() => ({ requests: requests.slice(), interrupted: interrupted.slice() }))
        )
      )
    })
  )
}

const play = (step: Step, request: Transport.Request): Effect.Effect<Transport.Response, TransportReason> => {
  if (step._tag === "Hang") return Effect.never
  const result = step._tag === "Answer" ? Effect.succeed(step.response) : Effect.fail(step.reason(request))
  return Duration.toMillis(step.delay) > 0 ? Effect.delay(result, step.delay) : result
}

const unscripted = (request: Transport.Request, script: Script): Error =>
  new Error(
    `ScriptedTransport: no script for "${request.operation}"; there are scripts for ` +
      (Object.keys(script).length === 0
        ? "nothing"
        : Object.keys(script)
            .map((name) => `"${name}"`)
            .join(", "))
  )
