/** How the layers of an upstream stand around its calls. */

import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import { CallError } from "@holdfast/core/CallError"
import * as Deadline from "@holdfast/core/Deadline"
import type * as Reason from "@holdfast/core/Reason"
import type { RetryStopped } from "@holdfast/core/Retry"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as CallLayer from "../../CallLayer.ts"
import { changedRequest, isChanged, notAnEffect } from "../request/changedRequest.ts"
import type { Encoded } from "../request/encodeRequest.ts"
import type { Issue } from "../request/pathTemplate.ts"
import { isIdempotent } from "../request/replay.ts"

/** The call that layers stand around. */
export interface Layered {
  readonly upstream: string
  readonly operation: string
  readonly method: string
  readonly requestId: string
  readonly startMillis: number
  deadline: Deadline.Deadline | undefined
  readonly notEncoded: (issue: Issue) => Effect.Effect<never, CallError>
  readonly failed: (reason: Reason.Reason, stopped: RetryStopped) => CallError
  /** Remembers that something was sent, and what came of it. */
  readonly attempted: (reason: Reason.Reason | undefined, applied: CallError["applied"]) => void
}

/** The result of a call, as layers see it. */
export interface Seen {
  readonly responseOf: (given: unknown) => CallLayer.Response
  /** The caller's answer from it; the result of the call where it is left out. */
  readonly answerOf?: ((given: unknown) => unknown) | undefined
}

/** Runs a call through the layers around it. */
export const aroundCall = (
  call: Layered,
  layers: ReadonlyArray<CallLayer.CallLayer>,
  encoded: Encoded,
  exchange: Seen,
  /** The caller's answer from a response that a layer has made. */
  made: (response: CallLayer.Response) => Effect.Effect<unknown, CallError | Reason.Reason, unknown>,
  run: (request: Encoded) => Effect.Effect<unknown, CallError, unknown>
): Effect.Effect<unknown, CallError, unknown> =>
  Effect.suspend(() => {
    const { deadline, method, operation, requestId, upstream } = call
    // a layer may ask more than once, and give any of the responses that it was given
    const seen = new Map<CallLayer.Response, unknown>()
    const running = new Set<Fiber.Fiber<unknown, unknown>>()
    let isOver = false

    const asked = (request: CallLayer.Request): Effect.Effect<CallLayer.Response, CallError, unknown> =>
      Effect.withFiber((fiber) => {
        const changed = changedRequest(request)
        if (!isChanged(changed)) return call.notEncoded(changed)
        const { headers, path } = changed
        const repeatable = isIdempotent(method) || headers["idempotency-key"] !== undefined
        // a layer may leave less time
        call.deadline = earlier(deadline, fiber.getRef(Deadline.Current))
        return Effect.map(run({ ...encoded, path, headers, repeatable }), (given) => {
          const response = exchange.responseOf(given)
          seen.set(response, given)
          // should a layer fail now, something was sent all the same
          call.attempted(undefined, "maybe")
          return response
        })
      })

    /** In a fiber that ends with the call, whichever fiber a layer asks in. */
    const innermost = ({ headers, path }: CallLayer.Onward): Effect.Effect<CallLayer.Response, CallError> =>
      Effect.withFiber((caller) => {
        if (isOver) return Effect.die(new Error(askedTooLate(call)))
        return Effect.callback<CallLayer.Response, CallError>((resume) => {
          // the services for a call are in the context of its caller, in whose fiber the layers run
          const request = asked({ path, headers, body: encoded.body.body }) as Effect.Effect<
            CallLayer.Response,
            CallError
          >
          // a call has one request at a time: its attempts are of that one
          const inTurn = running.size === 0 ? request : Effect.andThen(Fiber.awaitAll([...running]), request)
          const child = Effect.runForkWith(caller.context)(inTurn)
          running.add(child)
          child.addObserver((exit) => {
            running.delete(child)
            resume(exit)
          })
          return Fiber.interrupt(child)
        })
      })

    const from = (index: number): typeof innermost => {
      const layer = layers[index]
      if (layer === undefined) return innermost
      return ({ headers, path }) => {
        const request = { path, headers, body: encoded.body.body }
        const around = layer.around({ upstream, operation, method, requestId, request, deadline }, from(index + 1))
        if (!Effect.isEffect(around)) return Effect.die(notAnEffect(upstream, layer.name, around))
        return Effect.mapError(around, (error) =>
          error instanceof CallError ? error : call.failed(error, "not-retryable")
        )
      }
    }

    const answer = (response: CallLayer.Response): Effect.Effect<unknown, CallError | Reason.Reason, unknown> => {
      if (seen.has(response)) {
        const given = seen.get(response)
        return Effect.succeed(exchange.answerOf === undefined ? given : exchange.answerOf(given))
      }
      const wrong = wrongResponse(response)
      return wrong === undefined
        ? made(response)
        : Effect.die(new TypeError(`${upstream}: a layer around ${operation} gave ${wrong}`))
    }

    const through = Effect.flatMap(
      Effect.suspend(() => from(0)(encoded)),
      answer
    )
    const within = AttemptTimeout.bounded(through, Infinity, deadline, call.startMillis)
    return Effect.onExitPrimitive(
      Effect.mapError(within, (error) => {
        if (error instanceof CallError) return error
        return call.failed(error, error._tag === "DeadlineExceeded" ? "deadline" : "not-retryable")
      }),
      () => {
        isOver = true
        // a call that a layer began and left behind would hold places that nobody gives back
        for (const child of running) child.interruptUnsafe()
        return undefined
      }
    )
  })

const earlier = (
  one: Deadline.Deadline | undefined,
  other: Deadline.Deadline | undefined
): Deadline.Deadline | undefined => {
  if (one === undefined || other === undefined) return one ?? other
  return other.atMillis < one.atMillis ? other : one
}

const askedTooLate = ({ operation, upstream }: Layered): string =>
  `${upstream}: a layer around ${operation} called \`next\` after the call had ended; what goes on in the background is a call of its own`

/** The fault of a response of a layer's own, as one that is written without types may give it. */
const wrongResponse = (response: CallLayer.Response | undefined): string | undefined => {
  if (response === undefined || response === null) return "no response"
  const { body, status } = response
  if (!(Number.isInteger(status) && status >= 200 && status <= 599)) {
    return `a response of its own whose status must be between 200 and 599, got ${status}`
  }
  if (body instanceof Uint8Array) return undefined
  return body === undefined
    ? "a response of its own without a body; give on what next gave, unchanged where its body is streamed, or give a body: " +
        "new Uint8Array(0) for none"
    : `a response of its own whose body must be bytes, got ${typeof body}`
}
