/**
 * The drop-in: a policy over an Effect `HttpClient` that a program has already. Nothing else of the program changes.
 *
 * **When to use**: {@link layer} under a program that uses `HttpClient.HttpClient`; {@link withPolicy} where a client is at
 * hand, and for `HttpApiClient.makeWith`; {@link transformClient} for `HttpApiClient.make`.
 *
 * **What it is not**: an `Upstream`, whose calls end with the decoded value and one error type, nor a client of one, which is
 * `UpstreamClient`. A client ends with a response, so its body is read after the policy, unless it is short: a body of an announced
 * length up to `bufferBytes` is read within the attempt, and one that is cut off is retried. Any other is bounded by
 * `limits.responseBytes` and by the deadline.
 *
 * **Gotchas**
 *
 * - The additions of `HttpClient.mapRequest`, above the policy or below, are made once a call, so that every attempt has the same: an
 *   idempotency key. An addition of each attempt's own, such as a signature, comes from a client below:
 *   `HttpClient.make((request) => client.execute(signed(request)))`.
 * - When retries end on an error status, the last response is given as it is, because the code above expects that of a client;
 *   `failOnStatus` changes that, and so does a rate limit that leaves no room for the next attempt, because the last response has been
 *   read by then.
 * - Hedges, redirects and the deadline header work as they do for an upstream. A policy with `singleFlight` is refused: one response
 *   cannot be read twice. Without the policy's `redirects`, the client below does as ever: `fetch` follows by itself.
 * - A place in the bulkhead is given back when the headers have come. If the program leaves a longer body unread, that holds its
 *   connection until the deadline, or until the response is forgotten: `HttpClient.withScope` above the policy does not end it.
 * - The client's own spans are off: a call has a span, and each attempt one, which the trace headers tell. Without a tracer there
 *   is neither. `HttpClient.TracerDisabledWhen` and `HttpClient.TracerPropagationEnabled` hold as they do for any client.
 * - The state is made with the client: by {@link layer} when it is built, and by a combinator for each client that it is put on.
 *   {@link layer} asks once who observes its calls, and is in the `UpstreamRegistry`, like an upstream. A client from one of the combinators
 *   asks where a call is made, and is in no registry, because nothing would say when it goes.
 * - A client without a `name` is in the registry as one upstream for each origin that it has called. The retry budget, the rate limit and
 *   the open bodies are the client's, so each of these snapshots shows the same ones: do not add them up. Breaker, bulkhead and whatever
 *   else is of attempts are each origin's own.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import type { HttpMethod } from "effect/http/HttpMethod"
import { CallError } from "@holdfast/core/CallError"
import * as Deadline from "@holdfast/core/Deadline"
import * as KeyedState from "@holdfast/core/KeyedState"
import type * as Outcome from "@holdfast/core/Outcome"
import type * as Reason from "@holdfast/core/Reason"
import * as CallObserver from "./CallObserver.ts"
import * as HttpPolicy from "./HttpPolicy.ts"
import { givenPolicy } from "./internal/policy/policyOrigin.ts"
import { blamed } from "./internal/request/callersStream.ts"
import { clientBody, type ClientBody } from "./internal/client/clientBody.ts"
import { openBody } from "./internal/client/clientBodies.ts"
import { type Below, execute } from "./internal/client/clientExchange.ts"
import { asDefect, carried, executed, ofAttempts } from "./internal/client/clientExecution.ts"
import { clientError } from "./internal/client/clientResponse.ts"
import { isHeaderName, malformedHeader } from "./internal/request/headerRules.ts"
import { Observers } from "./internal/watch/observing.ts"
import type { Issue } from "./internal/request/pathTemplate.ts"
import { isIdempotent } from "./internal/request/replay.ts"
import type { Runtime } from "./internal/call/runtime.ts"
import { placesOf, upstreamSnapshot } from "./internal/call/live.ts"
import { type Place, placeOf } from "./internal/call/places.ts"
import type { Bodies } from "./internal/streaming/openBody.ts"
import {
  type EndpointStages,
  endpointStages,
  ownHedge,
  type UpstreamStages,
  upstreamStages
} from "./internal/call/stages.ts"
import * as Redaction from "./Redaction.ts"
import * as RequestIdentity from "./RequestIdentity.ts"
import { endpointOf, fromSend, type Request as WireRequest, type Transport } from "./Transport.ts"
import * as UpstreamRegistry from "./UpstreamRegistry.ts"

/**
 * How a client is made resilient.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The upstream's name in errors, spans and the registry. Default: the host that is called, so that each origin is an upstream. */
  readonly name?: string | undefined
  /** Default `HttpPolicy.standard()`. */
  readonly policy?: HttpPolicy.HttpPolicy | undefined
  /**
   * Names the operation of a request, of low cardinality. Default: its method. A policy's overrides for an operation are found by it, if
   * it is a method and a path: `GET /items/{id}`.
   */
  readonly operation?: ((request: HttpClientRequest.HttpClientRequest) => string) | undefined
  /** Longest body that is read within the attempt, in bytes, when its length is announced. Default 1 MiB; 0 for none. */
  readonly bufferBytes?: number | undefined
  /**
   * Whether an error status that retries did not mend fails with a `CallError` instead of being given as the response it
   * is. Default `false`: the code above a client expects responses. Say `true` where the error's type may change.
   */
  readonly failOnStatus?: boolean | undefined
  /** Judges a failure, when the catalogue's judgement does not fit. */
  readonly classify?: ((reason: Reason.Reason, usual: Outcome.Failure) => Outcome.Failure) | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { bufferBytes: 1024 * 1024, failOnStatus: false } as const satisfies Options

/**
 * Puts a policy on a client. The state (the retry budget, the rate limit, the state of each origin) is made with each client that
 * comes of it: make one for each upstream, and keep it.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { HttpPolicy } from "holdfast"
 * import { ResilientClient } from "holdfast/client"
 *
 * let requests = 0
 * const flaky = HttpClient.make((request) =>
 *   Effect.sync(() => HttpClientResponse.fromWeb(request, new Response(null, { status: ++requests < 3 ? 503 : 200 })))
 * )
 *
 * const client = flaky.pipe(ResilientClient.withPolicy({ policy: HttpPolicy.standard({ deadline: "5 seconds" }) }))
 * const response = await Effect.runPromise(client.get("https://stock.internal/items"))
 * console.log(response.status, requests) // => 200 3
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const withPolicy = (
  options: Options = {}
): (<E, R>(self: HttpClient.HttpClient.With<E, R>) => HttpClient.HttpClient.With<E | CallError, R>) => {
  const policy = policyFor(options)
  return (self) =>
    resilient(
      self,
      options,
      makeOrigins(options, policy, [], () => undefined)
    )
}

/** The policy, if a client can have it. */
const policyFor = (options: Options): HttpPolicy.HttpPolicy => {
  const policy = givenPolicy("ResilientClient", options.policy ?? HttpPolicy.standard())
  if (policy.call.singleFlight) {
    throw new RangeError(
      "ResilientClient: singleFlight cannot be had over a client: one response cannot be read twice; use an Upstream"
    )
  }
  return policy
}

/** The state of a client: of its calls, and of each origin that it calls. */
interface Origins {
  /** Of all its calls; the hedge is of each origin where the client has no name. */
  readonly stages: UpstreamStages
  readonly bodies: Bodies
  readonly runtimes: KeyedState.KeyedState<string, Runtime>
}

const makeOrigins = (
  { classify, name }: Options,
  policy: HttpPolicy.HttpPolicy,
  builtWith: ReadonlyArray<CallObserver.CallObserver>,
  registered: () => UpstreamRegistry.Registered | undefined
): Origins => {
  const observers = new Observers(builtWith)
  const shared = upstreamStages(policy)
  const bodies = { open: 0, unread: 0, found: 0 }
  const runtimes = KeyedState.make({
    create: (origin: string): Runtime => {
      // without a name of its own a client stands for an upstream at each origin, which is slow or fast for itself
      const stages = name === undefined ? ownHedge(policy, shared) : shared
      return {
        name: name ?? endpointNamed(origin),
        // the parts of an exchange are the client's own
        transport: noTransport,
        endpoints: undefined,
        basePath: "",
        headers: {},
        secretHeaders: noNames,
        rejections: [],
        classify,
        propagation: traceOnly,
        propagateRequestId: false,
        propagateTags: [],
        annotatesLogs: false,
        visibleQuery: [],
        unreadMillis: Infinity,
        bodies,
        registered: registered(),
        observers,
        callLayers: undefined,
        attemptLayers: undefined,
        layersShown: [],
        live: { policy, stages, place: placeAt(origin, endpointStages(policy)), places: undefined }
      }
    }
  })
  return { stages: shared, bodies, runtimes }
}

const placeAt = (origin: string, stages: EndpointStages): Place =>
  origin === unknownOrigin
    ? { origin, endpoint: origin, server: { scheme: "http", host: origin, port: 80 }, stages }
    : placeOf(origin, stages)

/** The present state of a client: one upstream, or one for each origin where it has no name of its own. */
const snapshotsOf = (
  { name }: Options,
  policy: HttpPolicy.HttpPolicy,
  { bodies, runtimes, stages }: Origins
): Effect.Effect<ReadonlyArray<UpstreamRegistry.Snapshot>> =>
  Effect.suspend(() => {
    const described = HttpPolicy.describe(policy)
    const known = runtimes.entries().map(([, runtime]) => runtime)
    const named = name === undefined ? known.map((runtime) => [runtime]) : [known]
    return Effect.forEach(named, (runtimes) => {
      const [first] = runtimes
      const called = name ?? first?.name ?? unknownOrigin
      const own = first?.live.stages ?? stages
      return upstreamSnapshot(
        { name: called, policy: described },
        own,
        bodies,
        runtimes.flatMap(({ live }) => placesOf(live))
      )
    })
  })

/** Of a URL that only the client can resolve, as a page's own relative ones. */
const unknownOrigin = "unknown"

const endpointNamed = (origin: string): string => (origin === unknownOrigin ? unknownOrigin : endpointOf(origin))

const noNames: ReadonlySet<string> = new Set()
const traceOnly: Runtime["propagation"] = { trace: true, b3: false, baggage: false }
const untraced: Runtime["propagation"] = { trace: false, b3: false, baggage: false }

const noTransport = fromSend(() => Effect.die("a client's exchange is its own"))

const resilient = <E, R>(
  self: HttpClient.HttpClient.With<E, R>,
  options: Options,
  origins: Origins
): HttpClient.HttpClient.With<E | CallError, R> => {
  // a request has been through the client's own steps before sending, and is sent as it is
  const sender = HttpClient.withScope(
    HttpClient.makeWith(self.postprocess, Effect.succeed as HttpClient.HttpClient.Preprocess<never, never>)
  )
  const run = (request: HttpClientRequest.HttpClientRequest): Effect.Effect<HttpClientResponse, E | CallError, R> =>
    Effect.withFiber((fiber) => {
      const url = httpUrl(request)
      const origin = url?.origin ?? unknownOrigin
      const known = origins.runtimes.get(origin, Deadline.nowMillisUnsafe(fiber.getRef(Clock.Clock)))
      const body = clientBody(request)
      const path = url === undefined ? request.url : url.pathname + url.search
      const operation = options.operation?.(request) ?? request.method
      const policy = HttpPolicy.callPolicy(known.live.policy, operation, fiber.getRef(HttpPolicy.CurrentOverrides))
      const isFollowed = policy.redirects !== undefined
      return execute<E, R>({
        runtime: {
          ...known,
          annotatesLogs: fiber.getRef(RequestIdentity.AnnotateCalls),
          propagation: fiber.getRef(HttpClient.TracerPropagationEnabled) ? known.propagation : untraced
        },
        request,
        operation,
        encode: () =>
          wrongRequest(request) ?? {
            path,
            // of a URL that is not http nobody knows where its secrets are
            shownPath: path.startsWith("/") ? Redaction.path(path, []) : `/${Redaction.redacted}`,
            headers: { ...request.headers },
            body: body.sent,
            repeatable: isIdempotent(request.method) || request.headers["idempotency-key"] !== undefined
          },
        // the client needs the services of its caller, in whose fiber it runs
        open: (wire) =>
          opened(untracedAsToldOf(sender, fiber, request), request, body, origin, path, wire, isFollowed) as ReturnType<
            Transport["Service"]["open"]
          >,
        below: (response) => belows.get(response),
        bufferBytes: options.bufferBytes ?? defaults.bufferBytes,
        failOnStatus: options.failOnStatus ?? defaults.failOnStatus,
        isFollowed
      })
    })
  return HttpClient.makeWith(
    (request: Effect.Effect<HttpClientRequest.HttpClientRequest, E, R>) => Effect.flatMap(request, run),
    self.preprocess as HttpClient.HttpClient.Preprocess<E, R>
  )
}

/** Where a request goes. The target of a scheme of its own is known only to the client, if to anybody. */
const httpUrl = (request: HttpClientRequest.HttpClientRequest): URL | undefined => {
  const url = Option.getOrUndefined(HttpClientRequest.toUrl(request))
  return url?.protocol === "http:" || url?.protocol === "https:" ? url : undefined
}

/** Where the program wants no spans of a request, a policy below makes none either. */
const untracedAsToldOf = <E, R>(
  sender: HttpClient.HttpClient.With<E, R>,
  fiber: Fiber.Fiber<unknown, unknown>,
  request: HttpClientRequest.HttpClientRequest
): HttpClient.HttpClient.With<E, R> => {
  const isDisabled = fiber.getRef(HttpClient.TracerDisabledWhen)
  return isDisabled !== ofAttempts && isDisabled(request)
    ? HttpClient.transformResponse(
        sender,
        Effect.provideService(HttpClient.TracerDisabledWhen, () => true)
      )
    : sender
}

/** The client's own response for each opened one. */
const belows = new WeakMap<object, Below>()

/** One exchange of the client, of the program's own request with this attempt's headers. */
const opened = <E, R>(
  sender: HttpClient.HttpClient.With<E, R>,
  asked: HttpClientRequest.HttpClientRequest,
  body: ClientBody,
  origin: string,
  path: string,
  wire: WireRequest,
  isFollowed: boolean
) => {
  const endpoint = endpointNamed(wire.origin)
  // the URL that its caller asked for, or where a redirect led
  const isAsked = wire.origin === origin && wire.path === path && wire.method === asked.method
  const { hash, urlParams } = asked
  // a request may have any method, and only this constructor's type says otherwise
  const make = HttpClientRequest.make(wire.method as HttpMethod)
  const made = isAsked
    ? make(asked.url, { urlParams, hash: Option.getOrUndefined(hash) })
    : make(wire.origin + wire.path)
  // a redirect that turns a POST into a GET leaves its body behind
  const request = HttpClientRequest.setHeaders(
    wire.body === undefined ? made : HttpClientRequest.setBody(made, body.body),
    wire.headers
  )
  const sent = Effect.mapError(executed(sender.execute(request), endpoint, !isFollowed, asDefect), blamed)
  return Effect.flatMap(sent, (below) =>
    Effect.map(openBody(wire, endpoint, below.response), (response) => {
      belows.set(response, below)
      return response
    })
  )
}

/** A request that no client can send, so that it is no attempt. Headers that belong to the connection are the client's own to judge. */
const wrongRequest = ({ headers, method }: HttpClientRequest.HttpClientRequest): Issue | undefined => {
  if (!isHeaderName(method.toLowerCase()) || method === "CONNECT") {
    return { path: "method", issue: "must be the name of a method, and not CONNECT, which is for proxies" }
  }
  for (const name of Object.keys(headers)) {
    const wrong = malformedHeader(name, headers[name] ?? "")
    if (wrong !== undefined) return wrong
  }
  return undefined
}

/**
 * The call error inside an `HttpClientError` that a resilient client failed with.
 *
 * @category getters
 * @since 0.1.0
 */
export const callError = (error: HttpClientError.HttpClientError): Option.Option<CallError> =>
  Option.fromUndefinedOr(carried(error))

/**
 * Puts a policy on a client whose error type may not change: a call error is carried as the cause of a `TransportError`, and
 * {@link callError} gets it back. For `HttpApiClient.make(api, { transformClient: ResilientClient.transformClient() })`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const transformClient = (options: Options = {}): ((self: HttpClient.HttpClient) => HttpClient.HttpClient) => {
  const policed = withPolicy(options)
  return (self) => asHttpClient(policed(self))
}

/** A call error carried as the cause of an error that a client may have. */
const asHttpClient = (
  resilient: HttpClient.HttpClient.With<HttpClientError.HttpClientError | CallError>
): HttpClient.HttpClient =>
  HttpClient.transform(resilient, (send, request) =>
    Effect.mapError(send, (error) => (error instanceof CallError ? clientError(request, error) : error))
  ) as HttpClient.HttpClient

/**
 * A policy over the `HttpClient` in the context. Provide it between the program and its client.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpClient, HttpClientResponse } from "effect/http"
 * import { ResilientClient } from "holdfast/client"
 *
 * // a program that knows nothing of Holdfast
 * const program = Effect.gen(function*() {
 *   const response = yield* HttpClient.get("https://stock.internal/items")
 *   console.log(response.status, yield* response.text)
 * })
 *
 * let requests = 0
 * const flaky = HttpClient.make((request) =>
 *   Effect.sync(() =>
 *     ++requests === 1
 *       ? HttpClientResponse.fromWeb(request, new Response("busy", { status: 503 }))
 *       : HttpClientResponse.fromWeb(request, new Response("3 left"))
 *   )
 * )
 *
 * const client = ResilientClient.layer({ name: "stock" }).pipe(Layer.provide(Layer.succeed(HttpClient.HttpClient, flaky)))
 * await Effect.runPromise(program.pipe(Effect.provide(client)))
 * // => 200 3 left
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<HttpClient.HttpClient, never, HttpClient.HttpClient> => {
  const policy = policyFor(options)
  return Layer.effect(
    HttpClient.HttpClient,
    Effect.gen(function* () {
      const origins = makeOrigins(options, policy, yield* CallObserver.all, () => registered)
      const registered: UpstreamRegistry.Registered = { snapshot: snapshotsOf(options, policy, origins) }
      yield* (yield* UpstreamRegistry.Current).register(registered)
      return asHttpClient(resilient(yield* HttpClient.HttpClient, options, origins))
    })
  )
}
