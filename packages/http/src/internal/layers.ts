/** How the layers of an upstream stand around its calls and attempts. */

import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import { CallError } from "@holdfast/core/CallError"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import type * as Deadline from "@holdfast/core/Deadline"
import type { RetryStopped } from "@holdfast/core/Retry"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as AttemptLayer from "../AttemptLayer.ts"
import type * as CallLayer from "../CallLayer.ts"
import type * as Transport from "../Transport.ts"
import type { Encoded } from "./encodeRequest.ts"
import { wrongHeader } from "./headerRules.ts"
import type { Issue } from "./pathTemplate.ts"
import type { Runtime } from "./runtime.ts"

/** The call that layers stand around. */
export interface Layered {
  readonly runtime: Runtime
  readonly upstream: string
  readonly origin: string
  readonly operation: string
  readonly method: string
  readonly requestId: string
  readonly startMillis: number
  readonly deadline: Deadline.Deadline | undefined
  readonly request: Encoded | undefined
  /** Hears that a layer sends once more within its attempt. */
  readonly onTriedAgain: () => void
  readonly notEncoded: (issue: Issue) => Effect.Effect<never, CallError>
  readonly failed: (reason: Reason.Reason, stopped: RetryStopped) => CallError
}

/** What a call gives, as layers see it. */
export interface Given {
  readonly responseOf: (given: unknown) => CallLayer.Response
  /** What the caller gets of it, where a layer has let it through. */
  readonly valueOf: (given: unknown) => unknown
  /** Releases it, where a layer has put another response in its place. */
  readonly dropped: (given: unknown) => Effect.Effect<void>
}

/** Sends a request of an attempt, and reads the response whole. */
export const send = (call: Layered, request: Transport.Request): Effect.Effect<Transport.Response, Reason.Reason> => {
  const { attemptLayers, transport } = call.runtime
  return attemptLayers === undefined ? transport.send(request) : through(call, attemptLayers, request, transport.send)
}

type Opened = Transport.Response | Transport.OpenResponse

/** The same, for a response that is left open in a scope. */
export const opening = (
  call: Layered,
  open: Transport.Transport["Service"]["open"]
): ((request: Transport.Request) => Effect.Effect<Opened, Reason.Reason, Scope.Scope>) => {
  const { attemptLayers } = call.runtime
  if (attemptLayers === undefined) return open
  return (request) =>
    Effect.flatMap(Effect.scope, (scope) => {
      // one that is sent again releases what it was answered before
      let last: Scope.Closeable | undefined
      const once = (request: Transport.Request) =>
        Effect.suspend(() => {
          const before = last
          const own = Scope.forkUnsafe(scope)
          last = own
          const opened = Scope.provide(open(request), own)
          return before === undefined ? opened : Effect.andThen(Scope.close(before, Exit.void), opened)
        })
      return through(call, attemptLayers, request, once)
    })
}

const through = <A extends AttemptLayer.Head>(
  call: Layered,
  layers: ReadonlyArray<AttemptLayer.AttemptLayer>,
  request: Transport.Request,
  send: AttemptLayer.Next<A>
): Effect.Effect<A, Reason.Reason> => {
  // another origin has other credentials
  if (request.origin !== call.origin) return send(request)
  let tries = 0
  const checked: AttemptLayer.Next<A> = (request) => {
    const wrong = wrongRequest(request)
    if (wrong !== undefined) return Effect.fail(wrong)
    if (tries++ > 0) call.onTriedAgain()
    return send(request)
  }
  const from = (index: number): AttemptLayer.Next<A> => {
    const layer = layers[index]
    if (layer === undefined) return checked
    return (request) =>
      layer.around(
        { request, requestId: call.requestId, isReplayable: () => call.request?.body.replayable() === true },
        from(index + 1)
      )
  }
  return Effect.suspend(() => from(0)(request))
}

/** What layers have made of a request may be none: it is looked at like the caller's own. */
const wrongRequest = ({ headers }: Transport.Request): Reason.RequestEncodeFailed | undefined => {
  for (const name of Object.keys(headers)) {
    const wrong = wrongHeader(name, headers[name] ?? "")
    if (wrong !== undefined) return stackless(() => new Reason.RequestEncodeFailed(wrong))
  }
  return undefined
}

/** A value that a call gives, with the response that it was made of. */
interface Seen {
  readonly value: unknown
  readonly response: CallLayer.Response
}

/** Runs a call through the layers around it. */
export const aroundCall = (
  call: Layered,
  layers: ReadonlyArray<CallLayer.CallLayer>,
  encoded: Encoded,
  exchange: Given,
  /** What the caller gets of a response that a layer has made. */
  made: (response: CallLayer.Response) => Effect.Effect<unknown, Reason.Reason, unknown>,
  run: (request: Encoded) => Effect.Effect<unknown, CallError, unknown>
): Effect.Effect<unknown, CallError, unknown> => {
  const { deadline, method, operation, requestId, upstream } = call
  let seen: Seen | undefined
  const innermost = (request: CallLayer.Request): Effect.Effect<CallLayer.Response, CallError> =>
    Effect.suspend(() => {
      const headers = { ...request.headers }
      for (const [name, value] of Object.entries(headers)) {
        const wrong = wrongHeader(name, value)
        if (wrong !== undefined) return call.notEncoded(wrong)
      }
      const given = run({ ...encoded, path: request.path, headers })
      return Effect.map(given, (value) => {
        const response = exchange.responseOf(value)
        seen = { value: value, response }
        return response
      })
      // what a call needs is in the context of its caller, in whose fiber the layers run
    }) as Effect.Effect<CallLayer.Response, CallError>
  const from = (index: number): typeof innermost => {
    const layer = layers[index]
    if (layer === undefined) return innermost
    return (request) =>
      Effect.mapError(
        layer.around({ upstream, operation, method, requestId, request, deadline }, from(index + 1)),
        (error) => (error instanceof CallError ? error : call.failed(error, "not-retryable"))
      )
  }
  const { body, headers, path } = encoded
  const answered = Effect.suspend(() => from(0)({ path, headers, body: body.body }))
  const within = Effect.mapError(AttemptTimeout.bounded(answered, Infinity, deadline, call.startMillis), (error) =>
    error instanceof CallError ? error : call.failed(error, "deadline")
  )
  return Effect.flatMap(within, (response): Effect.Effect<unknown, CallError, unknown> => {
    if (seen !== undefined && response === seen.response) return Effect.succeed(exchange.valueOf(seen.value))
    const dropped = seen === undefined ? Effect.void : exchange.dropped(seen.value)
    return Effect.andThen(
      dropped,
      Effect.mapError(made(response), (reason) => call.failed(reason, "not-retryable"))
    )
  })
}
