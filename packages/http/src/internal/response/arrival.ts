/** How an open response arrives: over as many redirects as the policy follows, each in a scope that ends before the next one begins. */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type * as Reason from "@holdfast/core/Reason"
import type * as Transport from "../../Transport.ts"
import type { Arrived } from "../request/follow.ts"
import { opening } from "../call/attemptLayers.ts"
import type { Caller } from "../streaming/openBody.ts"
import type { Call } from "../call/engine.ts"
import type { Place } from "../call/places.ts"
import type { WatchedAttempt } from "../watch/watchedAttempt.ts"

/** A response on its way, which may be a redirect. */
export interface Step {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly response: Transport.Response | Transport.OpenResponse
  readonly scope: Scope.Closeable
}

type Open = Transport.Transport["Service"]["open"]

/** Sends, and follows redirects where the policy says so. The opened response belongs to the scope. */
export const arrival = (
  call: Call,
  place: Place,
  open: Open,
  request: Transport.Request,
  scope: Scope.Scope,
  attempt: WatchedAttempt | undefined
): Effect.Effect<Arrived<Step>, Reason.Reason> => {
  const layered = opening(call, place, open)
  const send = (request: Transport.Request) => step(layered, request, scope)
  return Effect.flatMap(send(request), (response) => {
    const first = { request, response, followed: 0 }
    const { redirects } = call.policy
    return redirects === undefined
      ? Effect.succeed(first)
      : call.followed(place, redirects, first, send, (step) => left(call, step), attempt)
  })
}

/** One request, and what it opened in a scope of its own: a redirect is released before the next one is made. */
const step = (
  open: ReturnType<typeof opening>,
  request: Transport.Request,
  ofAttempt: Scope.Scope
): Effect.Effect<Step, Reason.Reason> =>
  Effect.suspend(() => {
    const scope = Scope.forkUnsafe(ofAttempt)
    return Effect.map(Scope.provide(open(request), scope), (response) => ({
      status: response.status,
      headers: response.headers,
      response,
      scope
    }))
  })

/** Reads what is left of a response that nobody wants, within the bounds of an error's body, and lets it go. */
export const left = (call: Call, { headers, response, scope }: Step): Effect.Effect<void> => {
  const { drainBytes, drainTime } = call.policy.limits
  const closed = Scope.close(scope, Exit.void)
  if (!("stream" in response) || Number(headers["content-length"] ?? 0) > drainBytes) return closed
  let read = 0
  const drained = Stream.runForEachWhile(response.stream, (bytes) =>
    Effect.sync(() => {
      read += bytes.length
      return read <= drainBytes
    })
  )
  return Effect.andThen(Effect.ignore(Effect.timeoutOption(drained, drainTime)), closed)
}

/** The call that an open body answers. */
export const callerOf = (call: Call, given: Pick<Caller, "asked" | "ended" | "maxBytes" | "unreadMillis">): Caller => ({
  ...given,
  upstream: call.upstream,
  operation: call.operation,
  requestId: call.requestId,
  context: call.context,
  clock: call.clock,
  deadline: call.deadline,
  bodies: call.runtime.bodies,
  blamed: call.request?.body.callers?.blamed,
  failed: (reason) => {
    call.attempted(reason, ErrorCatalog.of(reason).applied)
    return call.failed(reason, reason._tag === "DeadlineExceeded" ? "deadline" : "not-retryable")
  }
})
