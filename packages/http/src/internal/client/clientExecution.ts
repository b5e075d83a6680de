/** One request through an Effect `HttpClient`, and what its errors stand for. */

import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientError from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import { CallError } from "@holdfast/core/CallError"
import type * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "../../FailureClassifier.ts"

/** A response, and the error that the client made of its status, if it is one that filters. */
export interface Executed {
  readonly response: HttpClientResponse
  readonly filtered: HttpClientError.HttpClientError | undefined
}

/**
 * An error of the program's own, on its way through the engine. It is a defect there, which no stage judges and nothing repeats, and
 * becomes again what it was where it leaves.
 */
export class Foreign<out E = unknown> extends Error {
  readonly error: E
  constructor(error: E) {
    super("the client failed with an error of the program's own", { cause: error })
    this.error = error
  }
}

/** The call error that an error of a client carries. */
export const carried = (error: HttpClientError.HttpClientError): CallError | undefined => {
  const cause = "cause" in error.reason ? error.reason.cause : undefined
  return cause instanceof CallError ? cause : undefined
}

/** The call errors of policies below, by the reasons that they leave. */
export const beneath = new WeakMap<Reason.Reason, CallError>()

/** Tells a client to make no spans, which the attempts have. A policy below, whose attempts are others, has its own. */
export const ofAttempts = (): boolean => true

/** An error of the program's own is none of the upstream's. */
export const asDefect = (error: unknown): Effect.Effect<never> => Effect.die(stackless(() => new Foreign(error)))

/** An error of the program's own leaves as what it was. */
export const foreignAgain = <E>(cause: Cause.Cause<CallError | E>): Effect.Effect<never, CallError | E> => {
  for (const reason of cause.reasons) {
    // made of this client's own errors, whose type only it knows
    if (Cause.isDieReason(reason) && reason.defect instanceof Foreign) return Effect.fail(reason.defect.error as E)
  }
  return Effect.failCause(cause)
}

/**
 * Sends, without the client's own span and trace headers: those are the attempt's. A status that the client refuses is an answer like
 * any other. A failure of the wire is a reason; any other failure is judged by `foreign`.
 */
export const executed = <E, R>(
  send: Effect.Effect<HttpClientResponse, E, R>,
  endpoint: string,
  followsByItself: boolean,
  foreign: (error: E) => Effect.Effect<never, Reason.TransportReason>
): Effect.Effect<Executed, Reason.TransportReason, R> =>
  Effect.withFiber((fiber) => {
    const init = Context.getOrUndefined(fiber.context, FetchHttpClient.RequestInit)
    const sent = Effect.provideService(send, HttpClient.TracerDisabledWhen, ofAttempts)
    const within = followsByItself
      ? sent
      : // fetch would follow redirects by itself, and take the request's secrets along; other clients do not read this
        Effect.provideService(sent, FetchHttpClient.RequestInit, { ...init, redirect: "manual" })
    return Effect.matchEffect(within, {
      onSuccess: (response): Effect.Effect<Executed, Reason.TransportReason> =>
        Effect.succeed({ response, filtered: undefined }),
      onFailure: (error): Effect.Effect<Executed, Reason.TransportReason> => {
        if (!HttpClientError.isHttpClientError(error)) return foreign(error)
        const { reason } = error
        if (reason._tag === "StatusCodeError") return Effect.succeed({ response: reason.response, filtered: error })
        const inner = carried(error)
        // a policy below has its own refusals, too: a reason is judged by its kind, wherever it comes from
        if (inner !== undefined) {
          beneath.set(inner.reason, inner)
          return Effect.fail(inner.reason as Reason.TransportReason)
        }
        if (reason._tag !== "TransportError") return foreign(error)
        return Effect.fail(stackless(() => FailureClassifier.classify(error, { endpoint, phase: "wait" })))
      }
    })
  })
