/**
 * A dependency that is called: its name, where it is, how calls to it behave, and the helpers that make them. A call takes
 * a path template, a body and a decode schema, and gives the decoded value; reading and decoding are part of the attempt, so
 * a body cut half-way is retried like any other failure, and whatever remains is one `CallError`.
 *
 * **When to use**: one for each dependency. {@link Service} makes it a service with a layer; {@link make} gives the plain
 * value.
 *
 * **What it is not**: a general HTTP client. Bodies are read whole within the policy's limits, but for bodies that are asked for under
 * `streaming`; redirects are followed where the policy says so.
 *
 * **Gotchas**: the retry budget belongs to the upstream. Two layers of one upstream are two budgets.
 *
 * ```ts
 * import { Effect, Layer, Schema } from "effect"
 * import { HttpPolicy, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Charge extends Schema.Class<Charge>("Charge")({ id: Schema.String, amount: Schema.Int }) {}
 *
 * class Payments extends Upstream.Service<Payments>()("payments", {
 *   baseUrl: "https://payments.internal/v1",
 *   policy: HttpPolicy.standard({ deadline: "10 seconds", attemptTimeout: "2 seconds" })
 * }) {}
 *
 * const program = Effect.gen(function*() {
 *   const payments = yield* Payments
 *   return yield* payments.get("/charges/{id}", { params: { id: "ch_1" }, decode: Charge })
 * })
 *
 * const upstream = ScriptedTransport.layer({
 *   "GET /charges/{id}": [ScriptedTransport.status(503), ScriptedTransport.json({ id: "ch_1", amount: 1200 })]
 * })
 *
 * const charge = await Effect.runPromise(program.pipe(Effect.provide(Payments.layer.pipe(Layer.provide(upstream)))))
 * console.log(charge.amount) // => 1200
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Redacted from "effect/Redacted"
import type { Failure } from "@holdfast/core/Outcome"
import type { Reason } from "@holdfast/core/Reason"
import type * as Scope from "effect/Scope"
import type * as AttemptLayer from "./AttemptLayer.ts"
import type * as CallLayer from "./CallLayer.ts"
import * as CallObserver from "./CallObserver.ts"
import * as HttpPolicy from "./HttpPolicy.ts"
import { whoAsks } from "./internal/streaming/asking.ts"
import { built, shownOf } from "./internal/call/declaredLayers.ts"
import type * as Endpoints from "./Endpoints.ts"
import { type Live, nextLive, placesOf, startChosen, startLive, upstreamSnapshot } from "./internal/call/live.ts"
import { partOf, rowsOf } from "./internal/call/order.ts"
import type { EndpointStageTypes, States, UpstreamStageTypes } from "./internal/policy/stageTypes.ts"
import { basePathOf, parseBaseUrl } from "./internal/request/baseUrl.ts"
import * as PoliciesElsewhere from "./internal/policy/policiesElsewhere.ts"
import { nearestName, nearestSlip } from "./internal/policy/nearestName.ts"
import { calledElsewhere } from "./internal/policy/policyReader.ts"
import { optionsSchema } from "./internal/policy/policySchema.ts"
import { fieldsOf } from "./internal/policy/policyShape.ts"
import { givenPolicy } from "./internal/policy/policyOrigin.ts"
import * as UpstreamRegistry from "./UpstreamRegistry.ts"
import { type Given, plainHeaders } from "./internal/request/encodeRequest.ts"
import { putHeaders } from "./internal/request/headerRules.ts"
import { call } from "./internal/call/wholeExchange.ts"
import { Observers } from "./internal/watch/observing.ts"
import type { Propagation } from "./internal/request/propagation.ts"
import type { Runtime } from "./internal/call/runtime.ts"
import { runtimes } from "./internal/call/runtimes.ts"
import { type GivenStreamed, streamed } from "./internal/streaming/streamedExchange.ts"
import { tagNames } from "./internal/request/tagNames.ts"
import type { Rejection } from "./Rejection.ts"
import type { Method, StreamingMethod, StreamingMethods } from "./Request.ts"
import * as RequestIdentity from "./RequestIdentity.ts"
import * as Transport from "./Transport.ts"
import * as Time from "@holdfast/core/Time"

/**
 * Where an upstream is, and how calls to it behave.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Scheme, host, and the path that all operations begin with: `https://payments.internal/v1`. This, or `endpoints`. */
  readonly baseUrl?: string | URL
  /** Several places instead of one base URL: `Endpoints.list([…])`, or another way to choose. */
  readonly endpoints?: Endpoints.Declared<never, never>
  /** Default `HttpPolicy.standard()`. */
  readonly policy?: HttpPolicy.HttpPolicy | undefined
  /** Which of several versions this is, for the registry. */
  readonly version?: string | undefined
  /** Headers of every request. A `Redacted` value is sent, and shown nowhere. */
  readonly headers?: { readonly [name: string]: string | Redacted.Redacted<string> } | undefined
  /** Business errors that any call may be answered with. */
  readonly rejections?: ReadonlyArray<Rejection<unknown>> | undefined
  /** Judges a failure, when the catalogue's judgement does not fit. */
  readonly classify?: ((reason: Reason, usual: Failure) => Failure) | undefined
  /**
   * How much the upstream is told of the trace: `true` for `traceparent` and the `tracestate` that came with it, options for more, and
   * `false` for nothing, which is for third parties. A redirect to another origin is told nothing, unless the policy says so. Default
   * `true`.
   */
  readonly propagateTrace?: boolean | PropagationOptions | undefined
  /**
   * Whether the upstream is told the identifier of the request, as `x-request-id`. Say `false` for a third party; errors,
   * spans and logs have it in any case. Default `true`.
   */
  readonly propagateRequestId?: boolean | undefined
  /** Names of the tags of `RequestIdentity` that the upstream is told, each as the header of its name. Default: none. */
  readonly propagateTags?: ReadonlyArray<string> | undefined
  /** Names of query parameters whose values spans may show. Default: none. */
  readonly visibleQuery?: ReadonlyArray<string> | undefined
  /**
   * The layers around each call, the first outermost: a cache, a copy of the traffic, a gate. An effect makes the layer when the
   * upstream is built. Default: nothing.
   */
  readonly call?: ReadonlyArray<CallLayer.Declared<never, never>> | undefined
  /**
   * The layers around each attempt, the first outermost: a token, a signature, an injected fault. An effect makes the layer when the
   * upstream is built. Default: nothing.
   */
  readonly attempt?: ReadonlyArray<AttemptLayer.Declared<never, never>> | undefined
  /**
   * After how long an open body that nobody has begun to read is reported: it holds a connection, and its caller has probably
   * forgotten it. `false` reports none. Default 30 s.
   */
  readonly unreadAfter?: Time.Input | false | undefined
}

/**
 * {@link Options}, with layers that may need services and may fail to be made: both are in the type of the upstream that is made with them.
 *
 * @category models
 * @since 0.1.0
 */
export interface LayeredOptions extends Omit<Options, "attempt" | "call" | "endpoints"> {
  readonly endpoints?: Endpoints.Declared
  readonly call?: ReadonlyArray<CallLayer.Declared> | undefined
  readonly attempt?: ReadonlyArray<AttemptLayer.Declared> | undefined
}

/**
 * The place of an upstream: one of the two options, and not both.
 *
 * @category models
 * @since 0.1.0
 */
export type Where = { readonly baseUrl: string | URL } | { readonly endpoints: Endpoints.Declared }

/**
 * Trace headers that are sent besides `traceparent` and `tracestate`.
 *
 * @category models
 * @since 0.1.0
 */
export interface PropagationOptions {
  /** The `baggage` header, of `Baggage.Current`; also while nobody traces. Default `false`. */
  readonly baggage?: boolean | undefined
  /** The `b3` header of Zipkin, for upstreams that cannot read the others. Default `false`. */
  readonly b3?: boolean | undefined
}

/**
 * The default of each option.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  propagateTrace: true,
  propagateRequestId: true,
  unreadAfter: Duration.seconds(30)
} as const satisfies Partial<Options>

/**
 * The stages of the attempts at one endpoint, with their state; a stage that the policy does not have is `undefined`. A reload may put
 * others in their place: read them again after it.
 *
 * @category models
 * @since 0.1.0
 */
export interface AttemptStages extends States<EndpointStageTypes> {}

/**
 * The stages of an upstream, with their state. The stages of its attempts are those of its base URL; of an upstream that has several
 * endpoints they are `undefined` here, and found with {@link Upstream.stagesAt}.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stages extends AttemptStages, States<UpstreamStageTypes> {}

/**
 * A dependency that can be called.
 *
 * @category models
 * @since 0.1.0
 */
export interface Upstream {
  readonly name: string
  /** The policy in force; {@link Upstream.reload} changes it. */
  readonly policy: HttpPolicy.HttpPolicy
  /** Its stages as objects: to force a circuit open, to subscribe to events. */
  readonly stages: Stages
  /** The stages of the attempts at one origin: `https://a.payments.internal`. `undefined` if none went there of late. */
  readonly stagesAt: (origin: string) => AttemptStages | undefined
  /** Its state now. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<UpstreamRegistry.Snapshot>
  /**
   * Puts another policy in force. Calls that run end as they began; later calls have the new one. A stage keeps
   * what it remembers, whatever of its options changes; one that was taken out begins anew.
   */
  readonly reload: (policy: HttpPolicy.HttpPolicy) => Effect.Effect<void>
  /** Reads. Repeated when it fails in a way that another try can mend. */
  readonly get: Method
  /** Reads the headers alone. Repeated like `get`. */
  readonly head: Method
  /** Creates or acts. Sent once, unless it has an `idempotencyKey`. */
  readonly post: Method
  /** Replaces. Repeated like `get`: the second time changes nothing more. */
  readonly put: Method
  /** Changes in part. Sent once, unless it has an `idempotencyKey`. */
  readonly patch: Method
  /** Removes. Repeated like `get`; a `404` at the second try may mean that the first one removed it. */
  readonly delete: Method
  /** The same, for answers whose body is read as it comes: exports, downloads, events. */
  readonly streaming: StreamingMethods
}

/** Typed by the options, so that one without a place here does not compile. */
const optionNames: { readonly [K in keyof Required<LayeredOptions>]: true } = {
  baseUrl: true,
  endpoints: true,
  policy: true,
  version: true,
  headers: true,
  rejections: true,
  classify: true,
  propagateTrace: true,
  propagateRequestId: true,
  propagateTags: true,
  visibleQuery: true,
  call: true,
  attempt: true,
  unreadAfter: true
}

/** Without types a slip would be a default: it is refused, with the option that was probably meant. */
const refuseUnknown = (upstream: string, options: object): void => {
  for (const name in options) {
    if (Object.hasOwn(optionNames, name)) continue
    throw new RangeError(`Upstream ${upstream}: ${name} is not an option; ${optionHint(name)}`)
  }
}

const optionHint = (name: string): string => {
  const names = Object.keys(optionNames)
  const slip = nearestSlip(name, names)
  const ofPolicy = policyOption(name)
  if (ofPolicy !== undefined && (ofPolicy === name || slip === undefined)) {
    return `it is of the policy: { policy: HttpPolicy.standard({ ${ofPolicy}: … }) }`
  }
  const meant = slip ?? nearestName(name, names)
  return meant === undefined ? `there are ${names.join(", ")}` : `did you mean ${meant}?`
}

/** The option of a policy that has this name, or that others call so. */
const policyOption = (name: string): string | undefined => {
  const inside = fieldsOf(optionsSchema)
  return Object.hasOwn(inside.fields, name) ? name : calledElsewhere(inside, name)
}

/** Where an upstream is: at one place, or at several. */
const where = (name: string, options: LayeredOptions): URL | Endpoints.Declared => {
  const { baseUrl, endpoints } = options
  if (endpoints !== undefined && baseUrl !== undefined) {
    throw new RangeError(`Upstream ${name} has a baseUrl and endpoints; give one of them`)
  }
  if (endpoints !== undefined) {
    if (Effect.isEffect(endpoints) || isEndpoints(endpoints)) return endpoints
    throw new RangeError(
      `Upstream ${name}: endpoints must be made with Endpoints.list(…), or be an object with name, basePath, list and choose, ` +
        `got ${endpoints === null ? "null" : Array.isArray(endpoints) ? "an array" : typeof endpoints}`
    )
  }
  if (baseUrl === undefined || baseUrl === "") {
    throw new RangeError(
      `Upstream ${name} has no baseUrl and no endpoints; give one of them in the declaration, in layerWith or in layerEffect`
    )
  }
  return parseBaseUrl(`Upstream ${name}: baseUrl`, baseUrl)
}

const isEndpoints = (given: unknown): given is Endpoints.Endpoints =>
  Predicate.hasProperty(given, "choose") &&
  Predicate.isFunction(given.choose) &&
  Predicate.hasProperty(given, "list") &&
  Predicate.isFunction(given.list) &&
  Predicate.hasProperty(given, "name") &&
  Predicate.isString(given.name) &&
  Predicate.hasProperty(given, "basePath") &&
  Predicate.isString(given.basePath)

/** Endpoints that are checked: endpoints made by an effect are seen here first. */
const checkedEndpoints = (name: string, given: unknown): Endpoints.Endpoints => {
  if (!isEndpoints(given)) {
    throw new RangeError(
      `Upstream ${name}: the effect of endpoints must make an object with name, basePath, list and choose`
    )
  }
  const { basePath } = given
  if (basePath === "" || /^\/[^?#\s]*[^/?#\s]$/.test(basePath)) return given
  throw new RangeError(
    `Upstream ${name}: the basePath of its endpoints must be empty, or a path without a slash at its end such as /v1, ` +
      `got ${JSON.stringify(basePath)}`
  )
}

const severalPlaces = (
  upstream: string,
  endpoints: Endpoints.Endpoints,
  policy: HttpPolicy.HttpPolicy
): Pick<Runtime, "basePath" | "endpoints" | "live"> => ({
  endpoints,
  basePath: endpoints.basePath,
  live: startChosen(upstream, policy, endpoints)
})

const baseHeaders = (name: string, given: Options["headers"]): Record<string, string> => {
  const headers: Record<string, string> = {}
  const wrong =
    putHeaders(headers, plainHeaders(given ?? {})) ??
    (headers["content-length"] === undefined
      ? undefined
      : { path: "headers.content-length", issue: "it is of one body, not of every request; leave it out" })
  if (wrong !== undefined) throw new RangeError(`Upstream ${name}: ${wrong.path}: ${wrong.issue}`)
  return headers
}

const secretNames = (headers: Options["headers"]): ReadonlySet<string> =>
  new Set(
    Object.entries(headers ?? {}).flatMap(([name, value]) => (Redacted.isRedacted(value) ? [name.toLowerCase()] : []))
  )

const unreadMillisOf = (name: string, given: Time.Input | false): number => {
  if (given === false) return Infinity
  const millis = Time.millis(`Upstream ${name}: unreadAfter`, given)
  if (!(millis > 0)) {
    throw new RangeError(`Upstream ${name}: unreadAfter must be longer than zero, or false, got ${String(given)}`)
  }
  return millis
}

const propagationOf = (given: boolean | PropagationOptions): Propagation =>
  typeof given === "boolean"
    ? { trace: given, b3: false, baggage: false }
    : { trace: true, b3: given.b3 === true, baggage: given.baggage === true }

/**
 * Makes an upstream that calls through the `Transport` in the context.
 *
 * Throws a `RangeError` for a policy that no constructor of `HttpPolicy` made, for a base URL that is not absolute, or that holds credentials, a query or a fragment, for a header that no
 * request can carry, for an `unreadAfter` that is not longer than zero, and for a name in `propagateTags` that cannot be a tag.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const O extends LayeredOptions & Where>(
  name: string,
  options: O
): Effect.Effect<Upstream, LayerErrors<O>, Transport.Transport | Scope.Scope | LayerNeeds<O>> => {
  if (name === "") throw new RangeError("Upstream: the name must not be empty; it stands in errors, spans and metrics")
  refuseUnknown(name, options)
  const at = where(name, options)
  const headers = baseHeaders(name, options.headers)
  const policy = givenPolicy(`Upstream ${name}`, options.policy ?? HttpPolicy.standard())
  const unreadMillis = unreadMillisOf(name, options.unreadAfter ?? defaults.unreadAfter)
  const propagateTags = tagNames(`Upstream ${name}`, "propagateTags", options.propagateTags ?? [])
  const made = Effect.gen(function* () {
    const callLayers = yield* built(name, "call", options.call)
    const attemptLayers = yield* built(name, "attempt", options.attempt)
    const places =
      at instanceof URL
        ? { endpoints: undefined, basePath: basePathOf(at), live: startLive(policy, at.origin) }
        : severalPlaces(name, checkedEndpoints(name, Effect.isEffect(at) ? yield* at : at), policy)
    const snapshot: Upstream["snapshot"] = Effect.suspend(() =>
      upstreamSnapshot(
        { name, version: options.version, policy: HttpPolicy.describe(runtime.live.policy) },
        runtime.live.stages,
        runtime.bodies,
        placesOf(runtime.live)
      )
    )
    const registered: UpstreamRegistry.Registered = { snapshot }
    const runtime: Runtime = {
      name,
      transport: yield* Transport.Transport,
      ...places,
      headers,
      secretHeaders: secretNames(options.headers),
      rejections: options.rejections ?? [],
      classify: options.classify,
      propagation: propagationOf(options.propagateTrace ?? defaults.propagateTrace),
      propagateRequestId: options.propagateRequestId ?? defaults.propagateRequestId,
      propagateTags,
      annotatesLogs: yield* RequestIdentity.AnnotateCalls,
      visibleQuery: options.visibleQuery ?? [],
      unreadMillis,
      bodies: { open: 0, unread: 0, found: 0 },
      registered,
      observers: new Observers(yield* CallObserver.all),
      callLayers,
      attemptLayers,
      layersShown: shownOf(callLayers, attemptLayers, places.endpoints)
    }
    const upstream = makeUpstream(runtime, snapshot)
    runtimes.set(upstream, runtime)
    yield* (yield* PoliciesElsewhere.Current).adopt(upstream)
    yield* (yield* UpstreamRegistry.Current).register(registered)
    return upstream
  })
  // the layers' needs and errors are in the options' type
  return made as Effect.Effect<Upstream, LayerErrors<O>, Transport.Transport | Scope.Scope | LayerNeeds<O>>
}

interface Layered extends Pick<LayeredOptions, "attempt" | "call"> {
  readonly endpoints?: Endpoints.Declared | undefined
}

/** All that is declared; an option that is left out adds nothing, where its index would be `unknown`. */
type LayersOf<O extends Layered> =
  | (O extends { readonly attempt: ReadonlyArray<infer L> } ? L : never)
  | (O extends { readonly call: ReadonlyArray<infer L> } ? L : never)
  | (O extends { readonly endpoints: infer P } ? P : never)

/**
 * How the layers of an upstream, and its endpoints, may fail to be made.
 *
 * @category models
 * @since 0.1.0
 */
export type LayerErrors<O extends Layered> =
  LayersOf<O> extends infer L ? (L extends Effect.Effect<infer _A, infer E, infer _R> ? Known<E> : never) : never

/**
 * The services that the layers of an upstream, and its endpoints, need.
 *
 * @category models
 * @since 0.1.0
 */
export type LayerNeeds<O extends Layered> =
  LayersOf<O> extends infer L
    ? L extends Effect.Effect<infer _A, infer _E, infer R>
      ? Exclude<Known<R>, Scope.Scope>
      : never
    : never

/** Of a declaration without layers nothing is known, and nothing is needed. */
type Known<A> = unknown extends A ? never : A

const makeUpstream = (runtime: Runtime, snapshot: Upstream["snapshot"]): Upstream => {
  const method = (verb: string): Method =>
    // the schema decides what it gives, which only the type of `Method` says
    ((path: string, given?: Given) => call(runtime, verb, path, given ?? {})) as Method
  const streaming = (verb: string): StreamingMethod => {
    const helper = (path: string, given?: GivenStreamed) => streamed(runtime, verb, path, given ?? {}, whoAsks(helper))
    return helper
  }
  return {
    name: runtime.name,
    get policy() {
      return runtime.live.policy
    },
    get stages() {
      return stagesOf(runtime.live)
    },
    stagesAt: (origin) => {
      const place = placesOf(runtime.live).find((place) => place.origin === origin)
      return place && attemptStagesOf(place.stages)
    },
    snapshot,
    reload: (policy) =>
      Effect.sync(() => {
        runtime.live = nextLive(runtime.live, givenPolicy(`Upstream ${runtime.name}`, policy))
      }),
    get: method("GET"),
    head: method("HEAD"),
    post: method("POST"),
    put: method("PUT"),
    patch: method("PATCH"),
    delete: method("DELETE"),
    streaming: {
      get: streaming("GET"),
      post: streaming("POST"),
      put: streaming("PUT"),
      patch: streaming("PATCH"),
      delete: streaming("DELETE")
    }
  }
}

const stagesOf = ({ place, stages }: Live): Stages => ({
  ...ofLevel<UpstreamStageTypes>("call", stages),
  ...attemptStagesOf(place?.stages ?? {})
})

const attemptStagesOf = (stages: object): AttemptStages => ofLevel<EndpointStageTypes>("attempt", stages)

/** The stages of a level, without the other members kept beside them. */
const ofLevel = <T>(around: "call" | "attempt", stages: object): States<T> =>
  // the rows of a level are typed by the names of its states
  Object.fromEntries(rowsOf(around).map(([name]) => [name, partOf(stages, name)])) as States<T>

/**
 * The options of {@link Service}: {@link Options}, of which the base URL may be left to the layer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Declaration<
  Base extends string | URL | undefined = string | URL | undefined,
  At extends Endpoints.Declared | undefined = Endpoints.Declared | undefined,
  Calls extends ReadonlyArray<CallLayer.Declared> = ReadonlyArray<CallLayer.Declared>,
  Attempts extends ReadonlyArray<AttemptLayer.Declared> = ReadonlyArray<AttemptLayer.Declared>
> extends Omit<Options, "attempt" | "baseUrl" | "call" | "endpoints"> {
  /** Scheme, host, and the path that all operations begin with. Without it, and without `endpoints`, the layer must say it. */
  readonly baseUrl?: Base
  /** Several places instead of one base URL. */
  readonly endpoints?: At
  /** The layers around each call, the first outermost. */
  readonly call?: Calls
  /** The layers around each attempt, the first outermost. */
  readonly attempt?: Attempts
}

/**
 * The options that a layer must still give: everything may be replaced, and an option that the declaration left out must be there.
 *
 * @category models
 * @since 0.1.0
 */
export type Remaining<Base extends string | URL | undefined, At extends Endpoints.Declared | undefined> =
  IsPlaced<Base, At> extends true ? Partial<LayeredOptions> : Partial<LayeredOptions> & Where

/** Whether a declaration says where its upstream is. */
type IsPlaced<Base, At> = [Base] extends [string | URL] ? true : [At] extends [Endpoints.Declared] ? true : false

/**
 * The class that {@link Service} gives to extend.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServiceClass<
  Self,
  Name extends string,
  Base extends string | URL | undefined,
  At extends Endpoints.Declared | undefined,
  L extends Layered
> extends Context.ServiceClass<Self, `@holdfast/http/Upstream/${Name}`, Upstream> {
  /** The upstream as declared. It needs a transport. Only for a declaration that says where the upstream is. */
  readonly layer: IsPlaced<Base, At> extends true
    ? Layer.Layer<Self, LayerErrors<L>, Transport.Transport | LayerNeeds<L>>
    : "declare a baseUrl or endpoints, or use layerWith or layerEffect"
  /** The upstream with some options replaced: another base URL in a test, another policy in a batch job. */
  readonly layerWith: <const O extends Remaining<Base, At>>(
    options: O
  ) => Layer.Layer<Self, LayerErrors<L> | LayerErrors<O>, Transport.Transport | LayerNeeds<L> | LayerNeeds<O>>
  /** The upstream with options that an effect finds out: from `Config`, a file, a vault. */
  readonly layerEffect: <const O extends Remaining<Base, At>, E, R>(
    options: Effect.Effect<O, E, R>
  ) => Layer.Layer<Self, E | LayerErrors<L> | LayerErrors<O>, R | Transport.Transport | LayerNeeds<L> | LayerNeeds<O>>
}

/** How many upstreams were declared by each name: a program may have two of one name, and they are two services. */
const declaredNames = new Map<string, number>()

const keyOf = <Name extends string>(name: Name): `@holdfast/http/Upstream/${Name}` => {
  const nth = (declaredNames.get(name) ?? 0) + 1
  declaredNames.set(name, nth)
  const key = `@holdfast/http/Upstream/${name}` as const
  // the type has one key for all of a name: their classes tell them apart
  return nth === 1 ? key : (`${key}#${nth}` as typeof key)
}

/** A declaration with some of it replaced: a new place replaces the whole of the old one. */
const placed = (declared: Declaration, replaced: Partial<LayeredOptions>): LayeredOptions & Where => {
  const { baseUrl, endpoints, ...rest } = declared
  const isPlaced = replaced.baseUrl !== undefined || replaced.endpoints !== undefined
  // that it is one of the two is asked by `make`
  return { ...rest, ...(isPlaced ? undefined : { baseUrl, endpoints }), ...replaced } as LayeredOptions & Where
}

/**
 * Declares an upstream as a service: `class Payments extends Upstream.Service<Payments>()("payments", { … }) {}`. The class
 * is the tag, and `Payments.layer` the upstream. Leave `baseUrl` out when only the layer knows it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const Service =
  <Self>() =>
  <
    const Name extends string,
    Base extends string | URL | undefined,
    At extends Endpoints.Declared | undefined,
    const Calls extends ReadonlyArray<CallLayer.Declared>,
    const Attempts extends ReadonlyArray<AttemptLayer.Declared>
  >(
    name: Name,
    // only what decides the types is a parameter: where all of it were one, a misspelt option would be an option more
    declared: Declaration<Base, At, Calls, Attempts>
  ): ServiceClass<
    Self,
    Name,
    Base,
    At,
    { readonly call: Calls; readonly attempt: Attempts; readonly endpoints: At }
  > => {
    const tag = Context.Service<Self, Upstream>()(keyOf(name))
    const made = (replaced: Partial<LayeredOptions>) =>
      // an upstream that is nowhere is refused by `make`, for callers without types
      Effect.suspend(() => make(name, placed(declared, replaced)))
    const service = {
      layer: Layer.effect(tag, made({})),
      layerWith: (replaced: Partial<LayeredOptions>) => Layer.effect(tag, made(replaced)),
      layerEffect: <E, R>(found: Effect.Effect<Partial<LayeredOptions>, E, R>) =>
        Layer.effect(tag, Effect.flatMap(found, made))
    }
    // whether `layer` is there depends on the declaration, which only the type says
    return Object.assign(tag, service) as ServiceClass<
      Self,
      Name,
      Base,
      At,
      { readonly call: Calls; readonly attempt: Attempts; readonly endpoints: At }
    >
  }
