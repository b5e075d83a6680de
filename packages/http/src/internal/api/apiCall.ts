/** Calls of an endpoint: its schemas make the request, and its response is decoded within the attempt. */

import { CallError } from "@holdfast/core/CallError"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Sse from "effect/encoding/Sse"
import * as Headers from "effect/http/Headers"
import { isHttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import type { RequestOptions, StreamedAnswer } from "../../Request.ts"
import type * as Transport from "../../Transport.ts"
import { wireBody } from "../client/clientBody.ts"
import { carried, foreignAgain } from "../client/clientExecution.ts"
import { ClientResponse } from "../client/clientResponse.ts"
import { isTraced, propagating } from "../client/clientTracing.ts"
import { absolute, pathOf } from "../client/clientUrl.ts"
import { type Asked, Call, type Exchange } from "../call/engine.ts"
import type { Runtime } from "../call/runtime.ts"
import { whole } from "../call/wholeExchange.ts"
import { encodeMade, type Given } from "../request/encodeRequest.ts"
import { isIssue } from "../request/pathTemplate.ts"
import { undecodable } from "../response/answer.ts"
import { whoAsks } from "../streaming/asking.ts"
import { streaming } from "../streaming/streamedExchange.ts"
import * as Spans from "../watch/spans.ts"
import { type ApiEndpoint, type ApiRequest, type Decoded, failedAnswers, issueOf } from "./apiEndpoint.ts"
import { middlewareLayer } from "./apiMiddleware.ts"

/** The options of a call of an endpoint, besides its request. */
export type ApiOptions = Pick<RequestOptions, "headers" | "idempotencyKey" | "rejections">

type ApiMethod = (request?: ApiRequest, options?: ApiOptions) => Effect.Effect<unknown, unknown, unknown>

/** The function of an endpoint. */
export const apiMethod = (runtime: Runtime, api: ApiEndpoint): ApiMethod => {
  if (!api.isStreamed) return (request, options) => callWhole(runtime, api, request, options ?? {})
  const helper: ApiMethod = (request, options) => {
    const asking = whoAsks(helper)
    return Effect.withFiber((fiber) => {
      const one = new ApiCall(runtime, api, fiber, request, options ?? {})
      const streamed = streaming({
        runtime: one.runtime,
        asked: () => one.asked,
        maxBytes: Infinity,
        asking,
        encode: (call) => one.encode(call),
        isTraced: (fiber) => one.isTraced(fiber)
      })
      return one.declared(Effect.flatMap(streamed, (answer) => one.streamedValue(answer)))
    })
  }
  return helper
}

const callWhole = (
  runtime: Runtime,
  api: ApiEndpoint,
  request: ApiRequest | undefined,
  options: ApiOptions
): Effect.Effect<unknown, unknown, unknown> =>
  Effect.withFiber((fiber) => {
    const one = new ApiCall(runtime, api, fiber, request, options)
    const exchange: Exchange = { ...whole, encode: (call) => one.encode(call) }
    const call = new Call(one.runtime, fiber, one.asked, exchange)
    const run = one.isTraced(fiber)
      ? Spans.withCallSpan({ upstream: runtime.name, operation: call.operation, requestId: call.requestId }, (span) =>
          call.run(span)
        )
      : call.run(undefined)
    return one.declared(
      // `read` of the endpoint gives nothing else
      Effect.map(run, (given) => one.value((given as Decoded).value, (given as Decoded).response))
    )
  })

/** One call of an endpoint. */
class ApiCall {
  readonly runtime: Runtime
  readonly asked: Asked
  readonly #api: ApiEndpoint
  readonly #given: Given
  readonly #request: ApiRequest | undefined
  readonly #options: ApiOptions
  #made: HttpClientRequest.HttpClientRequest | undefined
  #call: Call | undefined

  constructor(
    runtime: Runtime,
    api: ApiEndpoint,
    fiber: Fiber.Fiber<unknown, unknown>,
    request: ApiRequest | undefined,
    options: ApiOptions
  ) {
    const { expectedStatus, method, middleware, read, template } = api
    this.#api = api
    this.#request = request
    this.#options = options
    this.#given = {
      ...options,
      headers: shownHeaders(fiber, { ...request?.headers, ...options.headers }),
      expectedStatus,
      read
    }
    this.asked = { method, template, operation: `${method} ${template}`, given: this.#given }
    const told = propagating(runtime, fiber)
    this.runtime =
      middleware.length === 0
        ? told
        : {
            ...told,
            callLayers: [middlewareLayer(runtime, api, () => this.#made), ...(runtime.callLayers ?? [])]
          }
  }

  isTraced(fiber: Fiber.Fiber<unknown, unknown>): boolean {
    return isTraced(fiber, HttpClientRequest.make(this.#api.endpoint.method)(this.#api.endpoint.path))
  }

  /** Makes the request by the endpoint's schemas, and the upstream's part of it. */
  encode(call: Call): ReturnType<Exchange["encode"]> {
    this.#call = call
    return Effect.flatMap(this.#api.encode(this.#request), (made) => {
      this.#made = made
      const path = pathOf(this.runtime, absolute(this.runtime, made))
      if (typeof path !== "string") return Effect.fail(path)
      const given = { ...this.#given, headers: { ...made.headers, ...lowerCased(this.#options.headers) } }
      const encoded = encodeMade(call, path, wireBody(made.body), given)
      if (Effect.isEffect(encoded)) return encoded
      return isIssue(encoded) ? Effect.fail(encoded) : Effect.succeed(encoded)
    }) as ReturnType<Exchange["encode"]>
  }

  /** The result for the program: the value, and the response with it where it asks for both. */
  value(value: unknown, response: Transport.Response): unknown {
    return this.#request?.responseMode === "decoded-and-response"
      ? [value, this.#response(response, response.body)]
      : value
  }

  /** The same for a body that is still to come. Reads of it belong to no attempt any more. */
  streamedValue(answer: StreamedAnswer): Effect.Effect<unknown, unknown, unknown> {
    const response = this.#response(answer, answer.stream)
    const failed = (error: unknown): unknown => {
      if (error instanceof CallError) return error
      if (isHttpClientError(error)) return carried(error) ?? this.#undecodable(answer, error)
      return Schema.isSchemaError(error) || isSseError(error) ? this.#undecodable(answer, error) : error
    }
    return Effect.map(Effect.mapError(this.#api.decode(response, this.#request?.sseOptions), failed), (value) => {
      const given = withErrors(value, failed)
      return this.#request?.responseMode === "decoded-and-response" ? [given, response] : given
    })
  }

  /** Gives a declared error as itself, and one of a middleware's own as what it was. */
  declared<A, R>(run: Effect.Effect<A, unknown, R>): Effect.Effect<A, unknown, R> {
    return Effect.catchCause(
      Effect.mapError(run, (error) => {
        const declared = error instanceof CallError ? failedAnswers.get(error.reason)?.declared : undefined
        return declared === undefined ? error : declared.error
      }),
      foreignAgain<unknown>
    )
  }

  #response(
    { headers, setCookies, status }: Pick<Transport.Response, "headers" | "setCookies" | "status">,
    body: Uint8Array | StreamedAnswer["stream"]
  ): ClientResponse {
    const asked = this.#made ?? HttpClientRequest.make(this.#api.endpoint.method)(this.#api.endpoint.path)
    const request = absolute(this.runtime, asked)
    const remoteAddress = Option.none<string>()
    return new ClientResponse({ request, url: request.url, status, headers, setCookies, remoteAddress, body })
  }

  #undecodable({ headers, status }: StreamedAnswer, error: unknown): unknown {
    const reason = undecodable(
      this.#call?.place.endpoint ?? this.runtime.name,
      { status, headers, body: new Uint8Array(0) },
      issueOf(error)
    )
    return this.#call?.failed(reason, "not-retryable") ?? error
  }
}

const isSseError = (error: unknown): boolean => error instanceof Sse.SseError

/** A stream whose errors are those of a call, wherever in a success it is. */
const withErrors = (value: unknown, failed: (error: unknown) => unknown): unknown => {
  if (Stream.isStream(value)) return Stream.mapError(value, failed)
  if (!Predicate.hasProperty(value, HttpApiSchema.WithHeadersValueTypeId)) return value
  const { body, headers } = value as HttpApiSchema.withHeaders<unknown, unknown>
  return HttpApiSchema.withHeaders({ body: withErrors(body, failed), headers })
}

const lowerCased = (headers: ApiOptions["headers"] = {}): NonNullable<ApiOptions["headers"]> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

/** Of the headers before they are encoded, what the engine knows a call by: the identifier of its request, and what is a secret. */
const shownHeaders = (
  fiber: Fiber.Fiber<unknown, unknown>,
  headers: NonNullable<ApiRequest["headers"]>
): Given["headers"] => {
  const plain: Record<string, string> = {}
  const secret: Record<string, Redacted.Redacted<string>> = {}
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === "string") plain[name] = value
    // only its name is looked at: what it is sent as, its schema says
    else if (Redacted.isRedacted(value)) secret[name] = value as Redacted.Redacted<string>
  }
  // a header that the program hides is a secret, and a redirect does not take it elsewhere
  return { ...Headers.redact(Headers.fromInput(plain), fiber.getRef(Headers.CurrentRedactedNames)), ...secret }
}
