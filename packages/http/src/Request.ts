/**
 * The parts of a request: places in its path, a query, headers, one body, a schema for the answer, and the business errors
 * that it knows.
 *
 * **When to use**: through the helpers of an `Upstream`; the types are here for code that passes requests on.
 *
 * @since 0.1.0
 */

import type * as Effect from "effect/Effect"
import type * as Redacted from "effect/Redacted"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { CallError } from "@holdfast/core/CallError"
import type { Rejection } from "./Rejection.ts"
import type * as Transport from "./Transport.ts"

/**
 * A value in a path or a query. A `Redacted` value is sent, and shown nowhere.
 *
 * @category models
 * @since 0.1.0
 */
export type PathValue = string | number | boolean | Redacted.Redacted<string>

/**
 * The names of the places in a path template: `"id"` for `"/charges/{id}"`. A colon is literal text: `"/charges/:id"` has no place.
 *
 * @category models
 * @since 0.1.0
 */
export type ParamNames<Path extends string> = Path extends `${string}{${infer Name}}${infer Rest}`
  ? Name | ParamNames<Rest>
  : never

/**
 * The `params` that a path template needs; none when it has no places.
 *
 * @category models
 * @since 0.1.0
 */
export type ParamsOf<Path extends string> = string extends Path
  ? {
      /** A value for each place of the path template, escaped where it stands: `{ id: 7 }` for `"/charges/{id}"`. */
      readonly params?: { readonly [name: string]: PathValue } | undefined
    }
  : [ParamNames<Path>] extends [never]
    ? {
        /** None: this path has no places. */
        readonly params?: undefined
      }
    : {
        /** A value for each place of the path template, escaped where it stands: `{ id: 7 }` for `"/charges/{id}"`. */
        readonly params: { readonly [Name in ParamNames<Path>]: PathValue }
      }

/**
 * The parts of a request, besides `params` and `decode`. At most one of `json`, `form`, `text`, `bytes`, `stream`.
 *
 * @category models
 * @since 0.1.0
 */
export interface RequestOptions {
  /** Query values; an array repeats the name, `undefined` leaves it out. */
  readonly query?: { readonly [name: string]: PathValue | ReadonlyArray<PathValue> | undefined } | undefined
  /**
   * Headers of this request, over those of the upstream. A `Redacted` value is sent, and shown nowhere. Headers that belong to the
   * connection or frame the body (`connection`, `transfer-encoding`, `expect`, …) are the transport's, and refused. A `host` names a
   * virtual host: HTTP/2 sends it as `:authority`, and `fetch` leaves it out.
   */
  readonly headers?: { readonly [name: string]: string | Redacted.Redacted<string> | undefined } | undefined
  /** A body that is sent as JSON. */
  readonly json?: unknown
  /** How `json` is encoded before; default: as it is. */
  readonly encode?: Schema.ConstraintEncoder<unknown> | undefined
  /** A body that is sent as `application/x-www-form-urlencoded`. */
  readonly form?: { readonly [name: string]: string | number | boolean | undefined } | undefined
  /** A body that is sent as UTF-8 text. Text that is not well-formed is refused, here as in `json` and `form`. */
  readonly text?: string | undefined
  /** A body that is sent as it is. */
  readonly bytes?: Uint8Array | undefined
  /** A body that is sent while it is made. Once begun it is not sent again, unless `streamReplayable` says that it can be. */
  readonly stream?: Stream.Stream<Uint8Array, unknown> | undefined
  /** Whether running `stream` again gives the same bytes. Default `false`. */
  readonly streamReplayable?: boolean | undefined
  /** Media type of the body; default by its kind. */
  readonly contentType?: string | undefined
  /**
   * Makes a request repeatable that would not be: the server applies it once, however often it comes. Sent as
   * `idempotency-key`, the same on every attempt. `true` makes a random one for this call.
   */
  readonly idempotencyKey?: string | true | undefined
  /**
   * Statuses outside of 2xx that are an answer here, not a failure: `[404]`. A `206`, the answer to a request with a `range`, needs no
   * place here; ask for it without `decode`, since a part of a body is no JSON. One that no `range` asked for is `MalformedResponse`.
   */
  readonly expectedStatus?: ReadonlyArray<number> | undefined
  /** Business errors that this call may be answered with. */
  readonly rejections?: ReadonlyArray<Rejection<unknown>> | undefined
}

/**
 * An answer that was asked for without a schema.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly status: number
  /** Names in lower case; values of a repeated header joined by `, `. Without `set-cookie`. */
  readonly headers: Transport.Headers
  /** Each `set-cookie` as it came, which may be a secret; none when there was none. An error has none of them. */
  readonly setCookies: ReadonlyArray<string>
  /** Headers that came behind the body, such as a digest of it; none when there were none. */
  readonly trailers: Transport.Headers
  readonly bytes: Uint8Array
  /** The body as UTF-8 text. */
  readonly text: string
}

/**
 * A schema that an answer may be decoded with.
 *
 * @category models
 * @since 0.1.0
 */
export type Decoder = Schema.ConstraintDecoder<unknown, unknown>

/**
 * How an answer is decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface Decoding<Decode extends Decoder | undefined> {
  /**
   * A schema for the JSON of the answer. It is decoded within the attempt: an answer that does not fit fails with `ResponseDecodeFailed`.
   * Default: none, so that the whole {@link Answer} is given.
   */
  readonly decode?: Decode
}

/**
 * The arguments of a request helper after the path: options, which may be left out when nothing in them is needed.
 *
 * @category models
 * @since 0.1.0
 */
export type OptionsOf<Path extends string, Decode extends Decoder | undefined> = [ParamNames<Path>] extends [never]
  ? [options?: RequestOptions & ParamsOf<Path> & Decoding<Decode>]
  : [options: RequestOptions & ParamsOf<Path> & Decoding<Decode>]

/**
 * A request helper of one method: the path template first, then the parts of the request. With `decode` it gives the decoded
 * body, without it the whole {@link Answer}.
 *
 * @category models
 * @since 0.1.0
 */
export type Method = <const Path extends string, Decode extends Decoder | undefined = undefined>(
  path: Path,
  ...options: OptionsOf<Path, Decode>
) => Effect.Effect<
  Decode extends Decoder ? Decode["Type"] : Answer,
  CallError,
  Decode extends Decoder ? Decode["DecodingServices"] : never
>

/**
 * An answer whose body is read by its caller.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamedAnswer {
  readonly status: number
  /** Names in lower case; values of a repeated header joined by `, `. Without `set-cookie`. */
  readonly headers: Transport.Headers
  /** Each `set-cookie` as it came, which may be a secret; none when there was none. */
  readonly setCookies: ReadonlyArray<string>
  /** Headers that came behind the body. Ask when the stream has ended; there are none before. */
  readonly trailers: Effect.Effect<Transport.Headers>
  /**
   * The body, as it comes and no faster than it is read. It can be read once, while the scope is open. It fails when it is cut
   * off, stalls, is longer than `maxBytes`, or when the deadline of the call passes.
   */
  readonly stream: Stream.Stream<Uint8Array, CallError>
}

/**
 * The parts of a request whose answer is streamed.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamingOptions extends RequestOptions {
  /** The most bytes that the body may have; with one more it fails with `ResponseTooLarge`. Default: no bound. */
  readonly maxBytes?: number | undefined
}

/**
 * The arguments of a streaming helper after the path.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamingOptionsOf<Path extends string> = [ParamNames<Path>] extends [never]
  ? [options?: StreamingOptions & ParamsOf<Path>]
  : [options: StreamingOptions & ParamsOf<Path>]

/**
 * A request helper of one method whose answer is given when its headers have come. Closing the scope aborts the rest.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamingMethod = <const Path extends string>(
  path: Path,
  ...options: StreamingOptionsOf<Path>
) => Effect.Effect<StreamedAnswer, CallError, Scope.Scope>

/**
 * The request helpers whose answers are streamed. They are under the policy like all others, up to the headers of the answer;
 * single flight is not for them, since a body can be read once.
 *
 * @category models
 * @since 0.1.0
 */
export interface StreamingMethods {
  readonly get: StreamingMethod
  readonly post: StreamingMethod
  readonly put: StreamingMethod
  readonly patch: StreamingMethod
  readonly delete: StreamingMethod
}
