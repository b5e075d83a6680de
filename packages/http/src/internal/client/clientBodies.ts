/** The bodies of an Effect client's responses, as a transport gives them. */

import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Cookies from "effect/http/Cookies"
import type { HttpClientError } from "effect/http/HttpClientError"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "../../FailureClassifier.ts"
import * as Transport from "../../Transport.ts"
import { hasNoBody, readBounded, readErrorBody } from "../response/boundedBody.ts"

/** A client gives the headers of a response without repeated ones, and its cookies taken apart. */
export const headersOf = (response: HttpClientResponse): Pick<Transport.Response, "headers" | "setCookies"> => {
  if (response.headers["set-cookie"] === undefined) return { headers: response.headers }
  const { "set-cookie": _, ...headers } = response.headers
  return { headers, setCookies: Cookies.toSetCookieHeaders(response.cookies) }
}

/** The body, read within the limits of the request. */
export const readBody = (
  request: Transport.Request,
  endpoint: string,
  response: HttpClientResponse
): Effect.Effect<Transport.Response, Reason.TransportReason> => {
  const answered = (bytes: Uint8Array, complete: boolean): Transport.Response => ({
    status: response.status,
    ...headersOf(response),
    body: bytes,
    bodyComplete: complete
  })
  if (request.method === "HEAD") return Effect.succeed(answered(new Uint8Array(0), true))
  if (!Transport.isExpected(request, response.status)) {
    return Effect.map(readErrorBody(response, request.limits), (read) => answered(read.bytes, read.complete))
  }
  const limit = request.limits.responseBytes
  return Effect.matchEffect(readBounded(response, limit, limit), {
    onFailure: (error: HttpClientError) =>
      Effect.fail(stackless(() => FailureClassifier.classify(error, { endpoint, phase: "receive" }))),
    onSuccess: (read) =>
      read.size > limit
        ? Effect.fail(stackless(() => new Reason.ResponseTooLarge({ endpoint, limit, size: read.size })))
        : Effect.succeed(answered(read.bytes, true))
  })
}

/** The body as it comes. Whatever way its scope is closed, a body that was not read is aborted. */
export const openBody = (
  request: Transport.Request,
  endpoint: string,
  response: HttpClientResponse
): Effect.Effect<Transport.OpenResponse, Reason.TransportReason, Scope.Scope> => {
  const limit = request.limits.responseBytes
  const announced = request.method === "HEAD" ? 0 : Number(response.headers["content-length"] ?? 0)
  if (announced > limit) {
    return Effect.fail(stackless(() => new Reason.ResponseTooLarge({ endpoint, limit, size: announced })))
  }
  let isBegun = false
  const bytes = Stream.suspend(() => {
    isBegun = true
    return response.stream.pipe(
      Stream.catchIf(hasNoBody, () => Stream.empty),
      Stream.mapError((error) => stackless(() => FailureClassifier.classify(error, { endpoint, phase: "receive" })))
    )
  })
  // to begin a stream and leave it is how a body is given up that nobody has read
  const givenUp = Effect.suspend(() => (isBegun ? Effect.void : Effect.scoped(Stream.toPull(bytes))))
  return Effect.as(
    Effect.addFinalizer(() => givenUp),
    {
      status: response.status,
      ...headersOf(response),
      stream: request.method === "HEAD" ? Stream.empty : bytes
    }
  )
}
