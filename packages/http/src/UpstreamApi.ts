/**
 * An `HttpApi`, or a part of it, as a typed client of an upstream: the declaration that a server is built from is what its callers call.
 * Each endpoint is a function of its request. The endpoint's schemas encode it; the upstream's policy carries it; the response is decoded
 * within the attempt. The errors that the endpoint declares come as themselves, and everything else is one `CallError`.
 *
 * **When to use**: where both sides share an `HttpApi`, or where you have written one for a third party. {@link make} gives all groups,
 * {@link group} one, {@link endpoint} one function.
 *
 * **What it is not**: `HttpApiClient` on a `UpstreamClient`, which works as well and gives Effect's own types. There the response leaves
 * the policy before it is decoded, so that what does not decode is nobody's failure, and errors are of three kinds.
 *
 * **How a declared error is judged**: by its status, as everywhere. A 404, 409 or 422 is the upstream's answer: it is not tried again, and
 * neither the circuit nor another stage counts it. A 408, 429 or 5xx is tried again where the policy does that, and counts; what the last
 * attempt was answered is what the call fails with. One with a status of success, such as an envelope, is a business error, which
 * is an answer. In spans and metrics a declared error is shown as what its status stands for.
 *
 * **Gotchas**
 *
 * - The operation of an endpoint is its method and its path in the upstream's own notation: `/charges/:id` is `GET /charges/{id}` in the
 *   policy's `operations`, in spans and in metrics.
 * - A declared error is read as errors are, up to `limits.errorBytes`. One that is longer, or does not decode, is the `CallError` of its
 *   status: a proxy in between writes errors of its own. An undeclared status of success is `ResponseDecodeFailed`.
 *   Where an error shares its status with a success, a body that does not decode as the success is decoded as the error. The success of
 *   a stream has its status alone.
 * - Client middleware (`HttpApiMiddleware.layerClient`) stands around the whole call: within its deadline, outside of its retries and of
 *   the upstream's own layers. It sees every response of a server, error statuses too, and may change URL and headers. Method and body
 *   stay. Its request has all headers of the call, with those of the upstream and of the call's options; layers and attempts add
 *   theirs afterwards, such as the trace.
 * - Server-sent events, NDJSON and bytes come as a `Stream` once their headers are here; the caller's scope ends them. An element that does
 *   not decode fails the stream with a `CallError`, and nothing is asked for again. Server-sent events in one piece of the body are
 *   decoded together: with one that does not decode, the events before it in its piece are lost.
 * - An endpoint that upgrades its connection is refused when the client is made.
 * - `POST` and `PATCH` are sent once, unless a call has an `idempotencyKey`. A `FormData` and whatever has a schema can be sent again, a
 *   stream that was begun cannot.
 *
 * @since 0.1.0
 */

import type { CallError } from "@holdfast/core/CallError"
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { Simplify } from "effect/Types"
import type * as Sse from "effect/encoding/Sse"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type * as HttpApi from "effect/http-api/HttpApi"
import type * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import type * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import type * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import type * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import { apiMethod } from "./internal/api/apiCall.ts"
import { type ApiEndpoint, apiEndpoints } from "./internal/api/apiEndpoint.ts"
import { runtimes } from "./internal/call/runtimes.ts"
import type { RequestOptions } from "./Request.ts"
import type { Upstream } from "./Upstream.ts"

/**
 * The options of a call of an endpoint, besides its request.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions extends Pick<RequestOptions, "headers" | "idempotencyKey" | "rejections"> {}

/**
 * The result of an endpoint: the value of its success schema, or a stream of them whose errors are of the call.
 *
 * @category models
 * @since 0.1.0
 */
export type Success<S> =
  S extends HttpApiSchema.WithHeaders<infer Body, infer Headers>
    ? HttpApiSchema.withHeaders<Success<Body>, Headers["Type"]>
    : S extends HttpApiSchema.StreamSse<infer _Events, infer Error, infer Value>
      ? Stream.Stream<Value, Error["Type"] | CallError | Sse.Retry>
      : S extends HttpApiSchema.StreamUint8Array
        ? Stream.Stream<Uint8Array, CallError>
        : S extends HttpApiSchema.StreamNdjson<infer Element>
          ? Stream.Stream<Element["Type"], CallError>
          : S extends HttpApiSchema.Upgrade
            ? never
            : S extends Schema.Constraint
              ? S["Type"]
              : never

/**
 * The errors that come as themselves: those of the endpoint, of its middleware, and of the client's part of that.
 *
 * @category models
 * @since 0.1.0
 */
export type DeclaredError<Endpoint> = Endpoint extends HttpApiEndpoint.ConstraintRequest
  ? HttpApiEndpoint.Errors<Endpoint> | HttpApiMiddleware.ClientError<Endpoint["~Middleware"]>
  : never

/** The decoder of a part of a response; a stream has no decoder of its own, but the decoders of its elements. */
type Streamed =
  | HttpApiSchema.StreamUint8Array
  | HttpApiSchema.StreamNdjson<Schema.Top>
  | HttpApiSchema.StreamSse<Sse.EventCodec, Schema.Constraint, unknown>

/** Whether a success of an endpoint is streamed, so that its call belongs to a scope. */
type ScopeOf<S> = [
  S extends HttpApiSchema.WithHeaders<infer Body, infer _H> ? Extract<Body, Streamed> : Extract<S, Streamed>
] extends [never]
  ? never
  : Scope.Scope

/**
 * How much of a response a call gives: the value alone, or the response with it.
 *
 * @category models
 * @since 0.1.0
 */
export type ResponseMode = "decoded-only" | "decoded-and-response"

/**
 * The function of an endpoint. It takes what `HttpApiClient`'s takes, and the {@link CallOptions} after it.
 *
 * @category models
 * @since 0.1.0
 */
export type Method<Endpoint extends HttpApiEndpoint.ConstraintRequest> = <Mode extends ResponseMode = "decoded-only">(
  request: Simplify<
    HttpApiEndpoint.ClientRequest<
      Endpoint["~Params"],
      Endpoint["~Query"],
      Endpoint["~Payload"],
      Endpoint["~Headers"],
      Mode
    >
  >,
  options?: CallOptions
) => Effect.Effect<
  Mode extends "decoded-and-response"
    ? [value: Success<Endpoint["~Success"]>, response: HttpClientResponse]
    : Success<Endpoint["~Success"]>,
  DeclaredError<Endpoint> | CallError,
  | HttpApiEndpoint.ClientServices<Endpoint>
  | HttpApiMiddleware.ErrorSchema<Endpoint["~Middleware"]>["DecodingServices"]
  | ScopeOf<Endpoint["~Success"]>
>

/**
 * A group of endpoints, by their names.
 *
 * @category models
 * @since 0.1.0
 */
export type Group<G extends HttpApiGroup.Constraint> = {
  readonly [E in Extract<HttpApiGroup.Endpoints<G>, HttpApiEndpoint.ConstraintRequest> as E["identifier"]]: Method<E>
}

/**
 * The groups of an API by their names; endpoints of top-level groups stand beside them.
 *
 * @category models
 * @since 0.1.0
 */
export type Client<Groups extends HttpApiGroup.Constraint> = Simplify<
  {
    readonly [G in Extract<Groups, { readonly topLevel: false }> as HttpApiGroup.Identifier<G>]: Group<G>
  } & Group<Extract<Groups, { readonly topLevel: true }>>
>

/**
 * The client of an API, to name its type where a service holds one.
 *
 * @category models
 * @since 0.1.0
 */
export type ForApi<Api extends HttpApi.Constraint> =
  Api extends HttpApi.HttpApi<infer _Id, infer Groups> ? Client<Groups> : never

/**
 * The client of an API. It needs the client's part of the API's middleware, where that is required
 * (`HttpApiMiddleware.layerClient`). Throws a `RangeError` for an upstream that `Upstream.make` did not make, and for an endpoint that
 * upgrades its connection.
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
 * import { HttpPolicy, Upstream } from "holdfast"
 * import { UpstreamApi } from "holdfast/client"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class NoSuchCharge extends Schema.TaggedError<NoSuchCharge>()(
 *   "NoSuchCharge",
 *   { id: Schema.String },
 *   { httpApiStatus: 404 }
 * ) {}
 *
 * const PaymentsApi = HttpApi.make("payments").add(
 *   HttpApiGroup.make("charges").add(
 *     HttpApiEndpoint.get("find", "/charges/:id", {
 *       params: { id: Schema.String },
 *       success: Schema.Struct({ amount: Schema.Int }),
 *       error: NoSuchCharge
 *     })
 *   )
 * )
 *
 * class Payments extends Upstream.Service<Payments>()("payments", {
 *   baseUrl: "https://payments.internal/v1",
 *   policy: HttpPolicy.standard({ operations: { "GET /charges/{id}": { attemptTimeout: "1 second" } } })
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const { charges } = yield* UpstreamApi.make(yield* Payments, PaymentsApi)
 *   console.log(yield* charges.find({ params: { id: "ch_1" } }))
 *   // the declared error has its own type, beside `CallError` for all that is not declared
 *   const missing = yield* Effect.flip(charges.find({ params: { id: "ch_2" } }))
 *   console.log(missing._tag)
 * })
 *
 * const transport = ScriptedTransport.layer({
 *   "GET /charges/{id}": [
 *     ScriptedTransport.status(503),
 *     ScriptedTransport.json({ amount: 1200 }),
 *     ScriptedTransport.json({ _tag: "NoSuchCharge", id: "ch_2" }, { status: 404 })
 *   ]
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Payments.layer.pipe(Layer.provide(transport)))))
 * // => { amount: 1200 }
 * // => NoSuchCharge
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  upstream: Upstream,
  api: HttpApi.HttpApi<Id, Groups>
): Effect.Effect<Client<Groups>, never, HttpApiGroup.MiddlewareClient<Groups>> =>
  // the API's types say what is made of it
  Effect.map(made("UpstreamApi.make", upstream, api), (endpoints): unknown => {
    const client: Record<string, unknown> = {}
    for (const { api, call } of endpoints) {
      const { identifier, topLevel } = api.group
      const beside = topLevel ? client : own(client, identifier)
      define(beside, api.endpoint.identifier, call)
    }
    return client
  }) as Effect.Effect<Client<Groups>, never, HttpApiGroup.MiddlewareClient<Groups>>

/**
 * One group of an API, as {@link make} gives it.
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "effect/http-api"
 * import { Upstream } from "holdfast"
 * import { UpstreamApi } from "holdfast/client"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * const StockApi = HttpApi.make("stock").add(
 *   HttpApiGroup.make("orders").add(
 *     HttpApiEndpoint.post("place", "/orders", {
 *       payload: Schema.Struct({ sku: Schema.String }),
 *       success: Schema.Struct({ id: Schema.Int })
 *     })
 *   )
 * )
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const program = Effect.gen(function*() {
 *   const orders = yield* UpstreamApi.group(yield* Stock, StockApi, { group: "orders" })
 *   // with a key it may be sent again
 *   console.log(yield* orders.place({ payload: { sku: "A-7" } }, { idempotencyKey: "order-1" }))
 * })
 *
 * const transport = ScriptedTransport.layer({
 *   "POST /orders": [ScriptedTransport.reset, ScriptedTransport.json({ id: 1 })]
 * })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provide(transport)))))
 * // => { id: 1 }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const group = <
  Id extends string,
  Groups extends HttpApiGroup.Constraint,
  const Name extends HttpApiGroup.Identifier<Groups>
>(
  upstream: Upstream,
  api: HttpApi.HttpApi<Id, Groups>,
  options: { readonly group: Name }
): Effect.Effect<
  Group<HttpApiGroup.WithIdentifier<Groups, Name>>,
  never,
  HttpApiGroup.MiddlewareClient<HttpApiGroup.WithIdentifier<Groups, Name>>
> =>
  // the API's types say what is made of it
  Effect.map(made("UpstreamApi.group", upstream, api, options), (endpoints): unknown => {
    const group: Record<string, unknown> = {}
    for (const { api, call } of endpoints) define(group, api.endpoint.identifier, call)
    return group
  }) as Effect.Effect<
    Group<HttpApiGroup.WithIdentifier<Groups, Name>>,
    never,
    HttpApiGroup.MiddlewareClient<HttpApiGroup.WithIdentifier<Groups, Name>>
  >

type EndpointOf<
  Groups extends HttpApiGroup.Constraint,
  Group extends HttpApiGroup.Identifier<Groups>,
  Name extends string
> = Extract<
  HttpApiEndpoint.WithIdentifier<HttpApiGroup.EndpointsWithIdentifier<Groups, Group>, Name>,
  HttpApiEndpoint.ConstraintRequest
>

/**
 * The function of one endpoint, as {@link make} gives it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const endpoint = <
  Id extends string,
  Groups extends HttpApiGroup.Constraint,
  const GroupName extends HttpApiGroup.Identifier<Groups>,
  const Name extends HttpApiGroup.EndpointsWithIdentifier<Groups, GroupName>["identifier"]
>(
  upstream: Upstream,
  api: HttpApi.HttpApi<Id, Groups>,
  options: { readonly group: GroupName; readonly endpoint: Name }
): Effect.Effect<
  Method<EndpointOf<Groups, GroupName, Name>>,
  never,
  HttpApiEndpoint.MiddlewareClient<EndpointOf<Groups, GroupName, Name>>
> =>
  // the API's types say what is made of it
  Effect.map(made("UpstreamApi.endpoint", upstream, api, options), ([one]): unknown => one?.call) as Effect.Effect<
    Method<EndpointOf<Groups, GroupName, Name>>,
    never,
    HttpApiEndpoint.MiddlewareClient<EndpointOf<Groups, GroupName, Name>>
  >

interface Made {
  readonly api: ApiEndpoint
  readonly call: ReturnType<typeof apiMethod>
}

/** The endpoints that are wanted, ready to be called. */
const made = <Id extends string, Groups extends HttpApiGroup.Constraint>(
  where: string,
  upstream: Upstream,
  api: HttpApi.HttpApi<Id, Groups>,
  wanted: { readonly group?: string; readonly endpoint?: string } = {}
): Effect.Effect<ReadonlyArray<Made>> => {
  const runtime = runtimes.get(upstream)
  if (runtime === undefined) {
    throw new RangeError(`${where}: ${upstream.name} was not made by Upstream.make or Upstream.Service`)
  }
  // its groups are what `HttpApi.reflect` reads, too
  const declared = api as unknown as HttpApi.Top
  return Effect.map(Effect.context(), (services) => {
    const endpoints = apiEndpoints(
      where,
      declared,
      services,
      (group, endpoint) => (wanted.group ?? group) === group && (wanted.endpoint ?? endpoint) === endpoint
    )
    if (endpoints.length === 0 && wanted.group !== undefined) throw new RangeError(notThere(where, declared, wanted))
    return endpoints.map((api) => ({ api, call: apiMethod(runtime, api) }))
  })
}

/** The error that names what an API does not have, and what it has, for callers without types. */
const notThere = (
  where: string,
  api: HttpApi.Top,
  wanted: { readonly group?: string; readonly endpoint?: string }
): string => {
  const group = Object.values(api.groups).find(({ identifier }) => identifier === wanted.group)
  const [kind, name, known] =
    group === undefined
      ? ["group", wanted.group, Object.values(api.groups)]
      : ["endpoint", wanted.endpoint, Object.values(group.endpoints)]
  const names = known.map(({ identifier }) => JSON.stringify(identifier)).join(", ")
  return `${where}: ${api.identifier} has no ${kind} ${JSON.stringify(name)}; it has ${names === "" ? "none" : names}`
}

/** Whatever the name is, `__proto__` too. */
const define = (record: object, name: string, value: unknown): void => {
  Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true })
}

const own = (client: Record<string, unknown>, name: string): object => {
  if (!Object.hasOwn(client, name)) define(client, name, {})
  // made by the line above, or by an endpoint before
  return client[name] as object
}
