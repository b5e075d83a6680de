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
import { wrongHeader, wrongLength } from "./headerRules.ts"
import { type Issue, wrongTarget } from "./pathTemplate.ts"
import { bytesOf } from "./requestBody.ts"
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
export interface Seen {
  readonly responseOf: (given: unknown) => CallLayer.Response
  /** What the caller gets of it; what the call gives where it is left out. */
  readonly answerOf?: ((given: unknown) => unknown) | undefined
}

/** What spans show of the layers: their names, put together once. */
export const shownOf = (
  calls: ReadonlyArray<CallLayer.CallLayer> | undefined,
  attempts: ReadonlyArray<AttemptLayer.AttemptLayer> | undefined
): Runtime["layersShown"] =>
  Object.entries({ "holdfast.call_layers": calls, "holdfast.attempt_layers": attempts }).flatMap(([key, layers]) =>
    layers === undefined ? [] : [[key, layers.map(({ name }) => name).join(", ")] as const]
  )

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
  const checked: AttemptLayer.Next<A> = (changed) => {
    const wrong = wrongAttempt(changed, request)
    if (wrong !== undefined) return Effect.fail(stackless(() => new Reason.RequestEncodeFailed(wrong)))
    if (tries++ > 0) call.onTriedAgain()
    return send(changed)
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

/** What a layer has made of a request may be none: it is looked at like the caller's own, before anything is touched. */
const wrongRequest = ({ headers, path }: CallLayer.Onward): Issue | undefined => {
  for (const [name, value] of Object.entries(headers)) {
    const wrong = wrongHeader(name, value)
    if (wrong !== undefined) return wrong
  }
  return wrongTarget(path)
}

const wrongAttempt = (changed: Transport.Request, request: Transport.Request): Issue | undefined => {
  if (changed.origin !== request.origin) {
    return { path: "origin", issue: `must stay ${request.origin}; what is elsewhere is another upstream` }
  }
  if (changed.method !== request.method) {
    return { path: "method", issue: `must stay ${request.method}: whether a request may be sent again is judged by it` }
  }
  const declared = changed.headers["content-length"]
  return wrongRequest(changed) ?? (declared === undefined ? undefined : wrongLength(declared, bytesOf(changed.body)))
}

/** Runs a call through the layers around it. */
export const aroundCall = (
  call: Layered,
  layers: ReadonlyArray<CallLayer.CallLayer>,
  encoded: Encoded,
  exchange: Seen,
  /** What the caller gets of a response that a layer has made. */
  made: (response: CallLayer.Response) => Effect.Effect<unknown, Reason.Reason, unknown>,
  run: (request: Encoded) => Effect.Effect<unknown, CallError, unknown>
): Effect.Effect<unknown, CallError, unknown> => {
  const { deadline, method, operation, requestId, upstream } = call
  // a layer may ask more than once, and give any of the responses that it was given
  const seen = new Map<CallLayer.Response, unknown>()
  const innermost = ({ headers, path }: CallLayer.Onward): Effect.Effect<CallLayer.Response, CallError> =>
    Effect.suspend(() => {
      const wrong = wrongRequest({ headers, path })
      if (wrong !== undefined) return call.notEncoded(wrong)
      return Effect.map(run({ ...encoded, path, headers: { ...headers } }), (given) => {
        const response = exchange.responseOf(given)
        seen.set(response, given)
        return response
      })
      // what a call needs is in the context of its caller, in whose fiber the layers run
    }) as Effect.Effect<CallLayer.Response, CallError>
  const from = (index: number): typeof innermost => {
    const layer = layers[index]
    if (layer === undefined) return innermost
    return ({ headers, path }) => {
      const request = { path, headers, body: encoded.body.body }
      return Effect.mapError(
        layer.around({ upstream, operation, method, requestId, request, deadline }, from(index + 1)),
        (error) => (error instanceof CallError ? error : call.failed(error, "not-retryable"))
      )
    }
  }
  const answer = (response: CallLayer.Response): Effect.Effect<unknown, CallError | Reason.Reason, unknown> => {
    if (seen.has(response)) {
      const given = seen.get(response)
      return Effect.succeed(exchange.answerOf === undefined ? given : exchange.answerOf(given))
    }
    return response.body === undefined ? Effect.die(new TypeError(bodiless(call))) : made(response)
  }
  const answered = Effect.flatMap(
    Effect.suspend(() => from(0)(encoded)),
    answer
  )
  return Effect.mapError(AttemptTimeout.bounded(answered, Infinity, deadline, call.startMillis), (error) => {
    if (error instanceof CallError) return error
    return call.failed(error, error._tag === "DeadlineExceeded" ? "deadline" : "not-retryable")
  })
}

const bodiless = ({ operation, upstream }: Layered): string =>
  `${upstream}: a layer around ${operation} gave a response of its own without a body; give on what next gave, unchanged ` +
  "where its body is streamed, or give a body: new Uint8Array(0) for none"
