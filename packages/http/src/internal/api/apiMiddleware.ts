/** The client middleware of an `HttpApi`: a layer around the call, outermost, which speaks of requests and responses as Effect's client does. */

import { CallError } from "@holdfast/core/CallError"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Headers from "effect/http/Headers"
import { HttpClientError, isHttpClientError, TransportError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type * as CallLayer from "../../CallLayer.ts"
import * as FailureClassifier from "../../FailureClassifier.ts"
import { headersOf } from "../client/clientBodies.ts"
import { asDefect, carried } from "../client/clientExecution.ts"
import { ClientResponse, clientError } from "../client/clientResponse.ts"
import { absolute, pathOf } from "../client/clientUrl.ts"
import type { Runtime } from "../call/runtime.ts"
import { isIssue, type Issue } from "../request/pathTemplate.ts"
import { undecodable } from "../response/answer.ts"
import { statusReason } from "../response/statusReason.ts"
import { type ApiEndpoint, failedAnswers, issueOf } from "./apiEndpoint.ts"

/** The name in errors for a middleware of the program's own. */
const middlewareOf = (runtime: Runtime): string => `a client middleware of ${runtime.name}`

/** The layer around one call, whose request is made by then. */
export const middlewareLayer = (
  runtime: Runtime,
  { endpoint, group, middleware }: ApiEndpoint,
  made: () => HttpClientRequest.HttpClientRequest | undefined
): CallLayer.CallLayer => ({
  name: "HttpApiMiddleware",
  around: ({ request: encoded }, next) =>
    Effect.suspend(() => {
      const own = made()
      if (own === undefined) return next(encoded)
      const asked = withHeaders(own, encoded.headers)
      /** The source of each response that the middleware was given: an answer, or the error that the call came to. */
      const seen = new Map<HttpClientResponse, CallLayer.Response | CallError>()
      /** The reason behind an error that is not of the program's own. */
      const reasons = new Map<HttpClientError, Reason.Reason>()

      const responded = (
        request: HttpClientRequest.HttpClientRequest,
        { body, headers, setCookies, status }: CallLayer.Response,
        given: CallLayer.Response | CallError
      ): HttpClientResponse => {
        const response = new ClientResponse({
          request,
          url: absolute(runtime, request).url,
          status,
          headers,
          setCookies,
          remoteAddress: Option.none(),
          body: body ?? Stream.die(new TypeError(streamedOn(runtime)))
        })
        seen.set(response, given)
        return response
      }

      const send = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<HttpClientResponse, HttpClientError> =>
        Effect.suspend(() => {
          const onward = onwardOf(runtime, encoded, asked, request)
          if (isIssue(onward)) {
            const error = new HttpClientError({
              reason: new TransportError({ request, description: `${onward.path}: ${onward.issue}` })
            })
            reasons.set(
              error,
              stackless(() => new Reason.RequestEncodeFailed(onward))
            )
            return Effect.fail(error)
          }
          return Effect.matchEffect(next(onward), {
            onSuccess: (response) => Effect.succeed(responded(request, response, response)),
            onFailure: (error) => {
              // to Effect's client an error status is a response, which a middleware may look at, and ask again
              const answer = failedAnswers.get(error.reason)
              return answer === undefined
                ? Effect.fail(clientError(request, error))
                : Effect.succeed(responded(request, answer.response, error))
            }
          })
        })

      const from = (index: number): typeof send => {
        const around = middleware[index]
        if (around === undefined) return send
        return (request) =>
          // its own errors are told apart where the call ends
          around({ endpoint, group, request, next: from(index + 1) }) as ReturnType<typeof send>
      }

      return Effect.matchEffect(from(0)(asked), {
        onSuccess: (response): Effect.Effect<CallLayer.Response, CallError | Reason.Reason> => {
          const given = seen.get(response)
          if (given !== undefined) return given instanceof CallError ? Effect.fail(given) : Effect.succeed(given)
          return Effect.matchEffect(response.arrayBuffer, {
            onSuccess: (bytes) => {
              const body = new Uint8Array(bytes)
              return Effect.succeed<CallLayer.Response>({ status: response.status, ...headersOf(response), body })
            },
            onFailure: (error) => failedWith(runtime, error)
          })
        },
        onFailure: (error: unknown): Effect.Effect<never, CallError | Reason.Reason> => {
          if (!isHttpClientError(error)) return asDefect(error)
          const known = carried(error) ?? reasons.get(error)
          return known === undefined ? failedWith(runtime, error) : Effect.fail(known)
        }
      })
    })
})

/** The request with the changes of a middleware. Its method and body stay, because they decided whether it may be sent again. */
const onwardOf = (
  runtime: Runtime,
  encoded: CallLayer.Request,
  before: HttpClientRequest.HttpClientRequest,
  after: HttpClientRequest.HttpClientRequest
): CallLayer.Onward | Issue => {
  if (after.method !== before.method) {
    return { path: "method", issue: `must stay ${before.method}: whether a request may be sent again is judged by it` }
  }
  if (after.body !== before.body) {
    return {
      path: "body",
      issue: "must stay as the endpoint made it; what a middleware may change are headers and URL"
    }
  }
  const isSame = after.url === before.url && after.urlParams === before.urlParams
  const path = isSame ? encoded.path : pathOf(runtime, absolute(runtime, after))
  return typeof path === "string" ? { path, headers: after.headers } : path
}

/** The request of the endpoint with all headers of the call: the upstream's and those of its options, too. */
const withHeaders = (
  { body, hash, method, url, urlParams }: HttpClientRequest.HttpClientRequest,
  headers: CallLayer.Request["headers"]
): HttpClientRequest.HttpClientRequest =>
  HttpClientRequest.makeWith(method, url, urlParams, hash, Headers.fromInput(headers), body)

const failedWith = (runtime: Runtime, error: HttpClientError): Effect.Effect<never, Reason.Reason> =>
  Effect.clockWith((clock) => Effect.fail(reasonOf(runtime, error, clock.currentTimeMillisUnsafe())))

/** The reason behind an error of a middleware's own making. */
const reasonOf = (runtime: Runtime, error: HttpClientError, nowEpochMillis: number): Reason.Reason => {
  const endpoint = middlewareOf(runtime)
  const { reason } = error
  switch (reason._tag) {
    case "StatusCodeError": {
      const { headers, status } = reason.response
      const read = { status, headers, body: new Uint8Array(0), bodyComplete: false }
      return statusReason(endpoint, read, nowEpochMillis)
    }
    case "DecodeError":
    case "EmptyBodyError": {
      const { headers, status } = reason.response
      return undecodable(endpoint, { status, headers, body: new Uint8Array(0) }, issueOf(error))
    }
    case "InvalidUrlError":
    case "EncodeError":
      return stackless(
        () => new Reason.RequestEncodeFailed({ path: "", issue: reason.description ?? "a middleware refused it" })
      )
    case "TransportError":
      return stackless(() => FailureClassifier.classify(error, { endpoint, phase: "wait" }))
  }
}

const streamedOn = ({ name }: Runtime): string =>
  `${name}: a client middleware read a body that is streamed to who called the endpoint; give the response on as it is`
