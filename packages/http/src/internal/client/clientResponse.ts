/** A response as an Effect `HttpClient` gives it, made of a transport's answer. */

import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import type * as Option from "effect/Option"
import { pipeArguments, type Pipeable } from "effect/Pipeable"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Cookies from "effect/http/Cookies"
import * as Headers from "effect/http/Headers"
import * as HttpClientError from "effect/http/HttpClientError"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as UrlParams from "effect/http/UrlParams"
import type { CallError } from "@holdfast/core/CallError"
import type * as Socket from "effect/socket/Socket"
import type * as Transport from "../../Transport.ts"
import { concat } from "../response/boundedBody.ts"

/** The parts of a response. */
export interface Source {
  readonly request: HttpClientRequest.HttpClientRequest
  readonly url: string
  readonly status: number
  readonly headers: Transport.Headers
  readonly setCookies: ReadonlyArray<string> | undefined
  readonly remoteAddress: Option.Option<string>
  /** All of the body, or what is still to come of it, which can be read once. */
  readonly body: Uint8Array | Stream.Stream<Uint8Array, CallError>
}

/** A call error where the program expects a client's: as the cause of an error that a client may have. */
export const clientError = (
  request: HttpClientRequest.HttpClientRequest,
  error: CallError
): HttpClientError.HttpClientError =>
  new HttpClientError.HttpClientError({
    reason: new HttpClientError.TransportError({ request, cause: error, description: error.message })
  })

export class ClientResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse, Pipeable {
  readonly [HttpIncomingMessage.TypeId]: typeof HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: typeof HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly url: string
  readonly headers: Headers.Headers
  readonly remoteAddress: Option.Option<string>
  readonly #source: Source
  #isStreamed = false
  #cookies: Cookies.Cookies | undefined
  #bytes: Effect.Effect<Uint8Array<ArrayBuffer>, HttpClientError.HttpClientError> | undefined

  constructor(source: Source) {
    super()
    this.#source = source
    this.request = source.request
    this.status = source.status
    this.url = source.url
    this.headers = Headers.fromInput(
      source.setCookies === undefined
        ? source.headers
        : { ...source.headers, "set-cookie": source.setCookies.join(", ") }
    )
    this.remoteAddress = source.remoteAddress
  }

  get cookies(): Cookies.Cookies {
    return (this.#cookies ??= Cookies.fromSetCookie(this.#source.setCookies ?? []))
  }

  get stream(): Stream.Stream<Uint8Array, HttpClientError.HttpClientError> {
    const { body } = this.#source
    if (body instanceof Uint8Array) return body.length === 0 ? Stream.empty : Stream.succeed(body)
    return Stream.suspend(() => {
      // the code above knows of clients that this is an error, and no defect
      if (this.#isStreamed)
        return Stream.fail(this.#undecoded(new Error("the body can be read once, and was read before")))
      this.#isStreamed = true
      return Stream.mapError(body, (error) => clientError(this.request, error))
    })
  }

  get arrayBuffer(): Effect.Effect<ArrayBuffer, HttpClientError.HttpClientError> {
    return Effect.map(this.#whole(), (bytes) => bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length))
  }

  get text(): Effect.Effect<string, HttpClientError.HttpClientError> {
    return Effect.map(this.#whole(), (bytes) => new TextDecoder().decode(bytes))
  }

  get json(): Effect.Effect<Schema.Json, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.text, (text) =>
      this.#decoded((): Schema.Json => (text === "" ? null : JSON.parse(text)))
    )
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.text, (text) => this.#decoded(() => UrlParams.fromInput(new URLSearchParams(text))))
  }

  get formData(): Effect.Effect<FormData, HttpClientError.HttpClientError> {
    return Effect.flatMap(this.#whole(), (bytes) =>
      Effect.tryPromise({
        try: () => new Response(bytes, { headers: { "content-type": this.headers["content-type"] ?? "" } }).formData(),
        catch: (cause) => this.#undecoded(cause)
      })
    )
  }

  /** A policy ends with a response, and a connection that was handed over has no end. */
  get upgrade(): Effect.Effect<Socket.Socket, HttpClientError.HttpClientError> {
    const { request } = this
    const reason = new HttpClientError.StatusCodeError({
      request,
      response: this,
      description: "no connection to hand over"
    })
    return Effect.fail(new HttpClientError.HttpClientError({ reason }))
  }

  toJSON(): unknown {
    return HttpIncomingMessage.inspect(this, {
      _id: "HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status
    })
  }

  pipe() {
    return pipeArguments(this, arguments)
  }

  /** All of the body, read once however often it is asked for. */
  #whole(): Effect.Effect<Uint8Array<ArrayBuffer>, HttpClientError.HttpClientError> {
    return (this.#bytes ??= Effect.runSync(
      Effect.cached(
        Effect.map(Stream.runCollect(this.stream), (chunks) =>
          concat(
            chunks,
            chunks.reduce((sum, { length }) => sum + length, 0)
          )
        )
      )
    ))
  }

  #decoded<A>(decode: () => A): Effect.Effect<A, HttpClientError.HttpClientError> {
    return Effect.try({ try: decode, catch: (cause) => this.#undecoded(cause) })
  }

  #undecoded(cause: unknown): HttpClientError.HttpClientError {
    const { request } = this
    return new HttpClientError.HttpClientError({
      reason: new HttpClientError.DecodeError({ request, response: this, cause })
    })
  }
}
