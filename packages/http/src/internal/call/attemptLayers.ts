/** How the layers of an upstream stand around each of its attempts. */

import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type * as AttemptLayer from "../../AttemptLayer.ts"
import type * as Transport from "../../Transport.ts"
import type { Encoded } from "../request/encodeRequest.ts"
import { changedRequest, isChanged, notAnEffect } from "../request/changedRequest.ts"
import type { Issue } from "../request/pathTemplate.ts"
import { failureOf } from "../watch/observing.ts"
import type { Place } from "./places.ts"
import type { Runtime } from "./runtime.ts"

/** The call whose attempts they are. */
export interface Attempting {
  readonly runtime: Runtime
  readonly requestId: string
  readonly request: Encoded | undefined
  /** Hears what is sent in the end. */
  readonly onSent: (request: Transport.Request) => void
  /** Hears that a layer sends once more within its attempt. */
  readonly onTriedAgain: () => void
  /** Hears of a failure that the request may have been applied before it, or that nothing had been sent. */
  readonly onLayersPart: (reason: Reason.Reason, part: "doubt" | "unsent") => void
}

/** Sends a request of an attempt, and reads the response whole. */
export const send = (
  call: Attempting,
  place: Place,
  request: Transport.Request
): Effect.Effect<Transport.Response, Reason.Reason> => {
  const { attemptLayers, transport } = call.runtime
  if (attemptLayers === undefined) return transport.send(request)
  return isElsewhere(call, place, request)
    ? transport.send(request)
    : through(call, attemptLayers, request, transport.send)
}

/** Another origin has other credentials, so that no layer sees a request that a redirect sends there. */
const isElsewhere = (call: Attempting, place: Place, request: Transport.Request): boolean => {
  if (request.origin === place.origin) return false
  call.onSent(request)
  return true
}

type Opened = Transport.Response | Transport.OpenResponse

/** The same, for a response that is left open in a scope. */
export const opening = (
  call: Attempting,
  place: Place,
  open: Transport.Transport["Service"]["open"]
): ((request: Transport.Request) => Effect.Effect<Opened, Reason.Reason, Scope.Scope>) => {
  const { attemptLayers } = call.runtime
  if (attemptLayers === undefined) return open
  return (request) =>
    isElsewhere(call, place, request)
      ? open(request)
      : Effect.flatMap(Effect.scope, (scope) => {
          const scopes = new Set<Scope.Closeable>()
          const answers = new Map<Opened, Scope.Closeable>()
          const releasedAll = (unwanted: Iterable<Scope.Closeable>) =>
            Effect.forEach([...unwanted], (one) => (scopes.delete(one) ? Scope.close(one, Exit.void) : Effect.void), {
              discard: true
            })
          const once = (request: Transport.Request) =>
            Effect.suspend(() => {
              // an earlier answer gives its connection back; an answer still on its way may be raced
              const before = [...answers.values()]
              answers.clear()
              const own = Scope.forkUnsafe(scope)
              scopes.add(own)
              const opened = Effect.tap(Scope.provide(open(request), own), (answer) =>
                Effect.sync(() => void answers.set(answer, own))
              )
              return before.length === 0 ? opened : Effect.andThen(releasedAll(before), opened)
            })
          return Effect.flatMap(through(call, attemptLayers, request, once), (answer) => {
            const own = answers.get(answer)
            if (own === undefined) return Effect.die(new TypeError(released(call)))
            return Effect.as(releasedAll([...scopes].filter((one) => one !== own)), answer)
          })
        })
}

const released = ({ runtime }: Attempting): string =>
  `${runtime.name}: a layer around attempts gave a response that \`next\` did not give last; one is released when \`next\` is called again`

const through = <A extends AttemptLayer.Head>(
  call: Attempting,
  layers: ReadonlyArray<AttemptLayer.AttemptLayer>,
  asked: Transport.Request,
  send: AttemptLayer.Next<A>
): Effect.Effect<A, Reason.Reason> => {
  let tries = 0
  /** Whether a try before may have been applied, so that no failure behind it can say that nothing was. */
  let isDoubtful = false
  const innermost: AttemptLayer.Next<A> = (given) => {
    const request = changed(given, asked)
    if (!isChanged(request)) return Effect.fail(stackless(() => new Reason.RequestEncodeFailed(request)))
    if (tries++ > 0) call.onTriedAgain()
    call.onSent(request)
    return Effect.onExitPrimitive(send(request), (exit) => {
      const reason = failureOf(exit)
      if (Exit.isSuccess(exit) || (reason !== undefined && ErrorCatalog.of(reason).applied === "maybe")) {
        isDoubtful = true
      }
      return undefined
    })
  }
  const from = (index: number): AttemptLayer.Next<A> => {
    const layer = layers[index]
    if (layer === undefined) return innermost
    return (request) => {
      const attempt = {
        request,
        requestId: call.requestId,
        isReplayable: () => call.request?.body.replayable() === true
      }
      const around = layer.around(attempt, from(index + 1))
      return Effect.isEffect(around) ? around : Effect.die(notAnEffect(call.runtime.name, layer.name, around))
    }
  }
  return Effect.onExitPrimitive(
    Effect.suspend(() => from(0)(asked)),
    (exit) => {
      const reason = failureOf(exit)
      // a layer's own reason knows nothing of earlier requests
      if (reason !== undefined && isDoubtful) call.onLayersPart(reason, "doubt")
      else if (reason !== undefined && tries === 0) call.onLayersPart(reason, "unsent")
      return undefined
    }
  )
}

/** The request as a layer has changed it. Origin and method stay: the stages, and whether it may be sent again, were judged by them. */
const changed = (given: Transport.Request, asked: Transport.Request): Transport.Request | Issue => {
  if (given.origin !== asked.origin) {
    return { path: "origin", issue: `must stay ${asked.origin}; what is elsewhere is another upstream` }
  }
  if (given.method !== asked.method) {
    return { path: "method", issue: `must stay ${asked.method}: whether a request may be sent again is judged by it` }
  }
  return changedRequest(given)
}
