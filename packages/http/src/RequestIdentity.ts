/**
 * The identity of a request, all the way through: the identifier under which an incoming request is known, and its tags. Both are
 * taken over or made once, at the edge; from there every call that the request causes has the same identifier, in its header,
 * its spans, its errors and its log lines.
 *
 * **When to use**: in a service that answers requests and calls upstreams to do so: {@link edge}, and `RequestEdge` of
 * `holdfast/server` for Effect's servers. For work that comes in another way (a message of a queue, a job) read its headers with
 * `edge(…).fromHeaders`, or make an identity with {@link make}, and run the work within {@link provide}.
 *
 * **What it is not**: trace context. A trace shows causes, and is sampled; an identifier is for a person to quote in a ticket.
 * Nor is it proof of anything: a client can choose both the identifier and the tags.
 *
 * **Gotchas**: a tag goes only to the upstreams that ask for it (`propagateTags`), the identifier to all that do not refuse it
 * (`propagateRequestId: false`). A text that is longer than allowed, or has other characters than letters, digits and
 * `-._~:+/=@`, is not cut or mended: an identifier is replaced by a new one, a tag is left out. A request that gives its own
 * `x-request-id` header keeps it.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { CallError, HttpPolicy, RequestIdentity, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", {
 *   baseUrl: "https://stock.internal",
 *   policy: HttpPolicy.make({ deadline: "5 seconds" }),
 *   propagateTags: ["x-gray-tag"]
 * }) {}
 *
 * const edge = RequestIdentity.edge({ tags: ["x-gray-tag"] })
 *
 * const handler = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   const error = yield* Effect.flip(stock.get("/items"))
 *   console.log(error.requestId, yield* RequestIdentity.tags) // => order-4711 { 'x-gray-tag': 'canary' }
 * })
 *
 * const program = Effect.flatMap(
 *   edge.fromHeaders({ "x-request-id": "order-4711", "x-gray-tag": "canary", "x-other": "1" }),
 *   (identity) => RequestIdentity.provide(handler, identity)
 * )
 * const transport = ScriptedTransport.layer({ "*": [ScriptedTransport.status(503)] })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provide(transport)))))
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as References from "effect/References"
import { identityAttributes } from "./internal/watch/identityAttributes.ts"
import { randomHex } from "./internal/request/requestId.ts"
import { tagNames } from "./internal/request/tagNames.ts"

/**
 * A mark of a request, beside its identifier: a canary, a tenant. Names in lower case.
 *
 * @category models
 * @since 0.1.0
 */
export type Tags = { readonly [name: string]: string }

/**
 * The identifier and the tags of a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface RequestIdentity {
  readonly id: string
  readonly tags: Tags
}

/**
 * The identity of the request that the fiber works for; `undefined` outside of one, where every call has an identifier of its
 * own.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<RequestIdentity | undefined> = Context.Reference<RequestIdentity | undefined>(
  "@holdfast/http/RequestIdentity/Current",
  { defaultValue: () => undefined }
)

/**
 * Whether lines from inside of a call bear its upstream, operation and request (`holdfast.upstream`, `holdfast.operation`,
 * `holdfast.request_id`): lines of decode schemas, of transports, of any code in it. An upstream asks once, when it is made;
 * without it a call pays nothing. Default `false`; `Logging.layer` says `true`.
 *
 * @category references
 * @since 0.1.0
 */
export const AnnotateCalls: Context.Reference<boolean> = Context.Reference<boolean>(
  "@holdfast/http/RequestIdentity/AnnotateCalls",
  { defaultValue: () => false }
)

const noTags: Tags = {}

/**
 * The tags of the request that the fiber works for. None outside of a request.
 *
 * @category getters
 * @since 0.1.0
 */
export const tags: Effect.Effect<Tags> = Effect.map(Current, (identity) => identity?.tags ?? noTags)

/**
 * The headers that an edge takes over.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Names of the headers that are taken over as tags; 16 at most, and none that carries a secret or that HTTP or tracing uses.
   * Default: none.
   */
  readonly tags?: ReadonlyArray<string> | undefined
  /**
   * Whether the identifier of an incoming request is taken over. Say `false` where strangers call: one could make its
   * requests look like another's. Default `true`.
   */
  readonly takeOverId?: boolean | undefined
  /** The longest identifier that is taken over, in characters. A whole number between 1 and 1024; default 128. */
  readonly maxIdLength?: number | undefined
  /** The longest value of a tag, in characters. A whole number between 1 and 1024; default 128. */
  readonly maxTagLength?: number | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  tags: [],
  takeOverId: true,
  maxIdLength: 128,
  maxTagLength: 128
} as const satisfies Options

/**
 * The place where requests come in: the headers that are taken over from them are declared once, for any server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Edge {
  /** The identity that headers tell of, made where they do not. Names of headers in lower case. */
  readonly fromHeaders: (headers: { readonly [name: string]: string | undefined }) => Effect.Effect<RequestIdentity>
}

const length = (option: string, given: number): number => {
  if (!(Number.isInteger(given) && given >= 1 && given <= 1024)) {
    throw new RangeError(`RequestIdentity: ${option} must be a whole number between 1 and 1024, got ${given}`)
  }
  return given
}

/** Enough for a UUID, a ULID, hexadecimal and both kinds of base64, and nothing that could forge a line or a header. */
const isPlain = (value: string): boolean => /^[A-Za-z0-9\-._~:+/=@]+$/.test(value)

const within = (fiber: Fiber.Fiber<unknown, unknown>, identity: RequestIdentity): Context.Context<never> =>
  Context.add(Context.make(Current, identity), References.CurrentLogAnnotations, {
    ...fiber.getRef(References.CurrentLogAnnotations),
    ...identityAttributes(identity)
  })

/**
 * Runs an effect for a request: calls have its identifier, and so has every line that it logs (`holdfast.request_id`,
 * `holdfast.tag.…`).
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RequestIdentity } from "holdfast"
 *
 * const program = Effect.map(RequestIdentity.Current, (identity) => identity?.id)
 * const identity = await Effect.runPromise(RequestIdentity.make({ id: "job-17" }))
 * console.log(await Effect.runPromise(program.pipe(RequestIdentity.provide(identity)))) // => job-17
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const provide: {
  (identity: RequestIdentity): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, identity: RequestIdentity): Effect.Effect<A, E, R>
} = dual(2, <A, E, R>(self: Effect.Effect<A, E, R>, identity: RequestIdentity): Effect.Effect<A, E, R> =>
  Effect.withFiber((fiber) => Effect.provideContext(self, within(fiber, identity)))
)

/**
 * Makes an identity, with a new identifier unless one is given. Dies with a `RangeError` when the identifier or a tag is
 * empty, longer than 1024 characters, or has a character that is not allowed, and when a name cannot be a tag.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  identity: { readonly id?: string | undefined; readonly tags?: Tags | undefined } = {}
): Effect.Effect<RequestIdentity> =>
  Effect.withFiber((fiber) => {
    const tags: Record<string, string> = {}
    const given = identity.tags ?? {}
    tagNames("RequestIdentity", "tags", Object.keys(given))
    for (const name of Object.keys(given)) tags[name.toLowerCase()] = plain(`the tag ${name}`, given[name] ?? "")
    return Effect.succeed({
      id: identity.id === undefined ? randomHex(fiber) : plain("the identifier", identity.id),
      tags
    })
  })

const plain = (what: string, value: string): string => {
  if (value.length > 1024 || !isPlain(value)) {
    throw new RangeError(
      `RequestIdentity: ${what} must be 1 to 1024 letters, digits and -._~:+/=@, got ${JSON.stringify(value.slice(0, 64))}`
    )
  }
  return value
}

/**
 * Declares the headers that are taken over from requests that come in. Throws a `RangeError` for a name that cannot be a
 * tag, and for a length that is out of range.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { RequestIdentity } from "holdfast"
 *
 * const identity = RequestIdentity.edge({ tags: ["x-gray-tag"] })
 * const headers = { "x-request-id": "order-4711", "x-gray-tag": "canary" }
 * console.log(await Effect.runPromise(identity.fromHeaders(headers))) // => { id: 'order-4711', tags: { 'x-gray-tag': 'canary' } }
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const edge = (options: Options = {}): Edge => {
  const names = tagNames("RequestIdentity", "tags", options.tags ?? defaults.tags)
  const takeOverId = options.takeOverId ?? defaults.takeOverId
  const maxIdLength = length("maxIdLength", options.maxIdLength ?? defaults.maxIdLength)
  const maxTagLength = length("maxTagLength", options.maxTagLength ?? defaults.maxTagLength)

  const identityOf = (
    headers: { readonly [name: string]: string | undefined },
    fiber: Fiber.Fiber<unknown, unknown>
  ): RequestIdentity => {
    const id = takeOverId ? headers["x-request-id"] : undefined
    const tags: Record<string, string> = {}
    for (const name of names) {
      const value = headers[name]
      if (value !== undefined && value.length <= maxTagLength && isPlain(value)) tags[name] = value
    }
    return { id: id !== undefined && id.length <= maxIdLength && isPlain(id) ? id : randomHex(fiber), tags }
  }

  return { fromHeaders: (headers) => Effect.withFiber((fiber) => Effect.succeed(identityOf(headers, fiber))) }
}
