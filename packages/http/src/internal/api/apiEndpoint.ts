/** One endpoint of an `HttpApi`: the request that its schemas make, and what its declaration says of a response. */

import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as Nesting from "@holdfast/core/Nesting"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import type * as Sse from "effect/encoding/Sse"
import * as HttpClient from "effect/http/HttpClient"
import { isHttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { HttpClientResponse } from "effect/http/HttpClientResponse"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiClient from "effect/http-api/HttpApiClient"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import type * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import type * as Transport from "../../Transport.ts"
import { ClientResponse } from "../client/clientResponse.ts"
import type { Read } from "../request/encodeRequest.ts"
import { isIssue, type Issue, notUnicode } from "../request/pathTemplate.ts"
import { bodyIssue, bounded } from "../request/schemaIssue.ts"
import { isAnswer, rejectionOf, undecodable, unwantedPart } from "../response/answer.ts"
import { bodyText, statusReason } from "../response/statusReason.ts"

/** The request that a program gives an endpoint, its types forgotten. */
export interface ApiRequest {
  readonly params?: { readonly [name: string]: unknown } | undefined
  readonly query?: unknown
  readonly payload?: unknown
  readonly headers?: { readonly [name: string]: unknown } | undefined
  readonly responseMode?: string | undefined
  readonly sseOptions?: Sse.DecodeOptions | undefined
}

/** A client's part of a middleware, its types forgotten. */
export type Middleware = HttpApiMiddleware.HttpApiMiddlewareClient<unknown, unknown, never>

/** An endpoint, ready to be called. */
export interface ApiEndpoint {
  readonly group: HttpApiGroup.Top
  readonly endpoint: HttpApiEndpoint.Top
  readonly method: string
  /** The path, its places written as an upstream's own: `/charges/{id}`. */
  readonly template: string
  /** Client middleware, the outermost first. */
  readonly middleware: ReadonlyArray<Middleware>
  /** Whether a success may be a stream. */
  readonly isStreamed: boolean
  /** Statuses outside of 2xx whose body is wanted whole. */
  readonly expectedStatus: ReadonlyArray<number>
  readonly encode: (
    request: ApiRequest | undefined
  ) => Effect.Effect<HttpClientRequest.HttpClientRequest, Issue, unknown>
  /** Reads a response, within the attempt. */
  readonly read: Read
  /** Decodes a success whose body is still to come. */
  readonly decode: (
    response: HttpClientResponse,
    sseOptions: Sse.DecodeOptions | undefined
  ) => Effect.Effect<unknown, unknown, unknown>
}

/** The value of an endpoint, and the response that it was made of. */
export class Decoded {
  readonly value: unknown
  readonly response: Transport.Response
  constructor(value: unknown, response: Transport.Response) {
    this.value = value
    this.response = response
  }
}

/** The answer to a failed attempt. */
interface FailedAnswer {
  readonly response: Transport.Response
  /** The declared error that it is. */
  readonly declared: { readonly error: unknown } | undefined
}

/** The answers that failures were made of, by the reasons that stand for them in the engine. */
export const failedAnswers = new WeakMap<Reason.Reason, FailedAnswer>()

/** The endpoints of an API that `isWanted`. Throws a `RangeError` for one that no upstream can be asked for. */
export const apiEndpoints = (
  where: string,
  api: HttpApi.Top,
  services: Context.Context<never>,
  isWanted: (group: string, endpoint: string) => boolean
): ReadonlyArray<ApiEndpoint> => {
  const made: Array<ApiEndpoint> = []
  HttpApi.reflect(api, {
    predicate: ({ endpoint, group }) => isWanted(group.identifier, endpoint.identifier),
    onGroup: () => {},
    onEndpoint: (declared) => made.push(apiEndpoint(where, api, services, declared))
  })
  return made
}

type Declared = Parameters<Parameters<typeof HttpApi.reflect>[1]["onEndpoint"]>[0]

const apiEndpoint = (
  where: string,
  api: HttpApi.Top,
  services: Context.Context<never>,
  declared: Declared
): ApiEndpoint => {
  const { endpoint, errors, group, successes } = declared
  const successSchemas = [...endpoint.success].map((schema) =>
    HttpApiSchema.isWithHeaders(schema) ? schema.schema : schema
  )
  if (successSchemas.some((schema) => Predicate.hasProperty(schema, upgrade))) {
    throw new RangeError(
      `${where}: ${group.identifier}.${endpoint.identifier} upgrades its connection, which no upstream hands over; ` +
        "take the others by UpstreamApi.group or UpstreamApi.endpoint, and this one by HttpApiClient.endpoint"
    )
  }
  const place = { group: group.identifier, endpoint: endpoint.identifier }
  const method = endpoint.method
  const template = templateOf(endpoint)
  const middleware = middlewareOf(services, declared.middleware)
  // the names were taken from the API itself
  const decodeResponse = HttpApiClient.decodeResponse(api, place) as Decode
  const decodeError = errorDecoder(declared)
  const expected = [...successes.keys(), ...[...errors.keys()].filter((status) => status < 400)]
  return {
    group,
    endpoint,
    method,
    template,
    middleware,
    isStreamed: successSchemas.some((schema) => Predicate.hasProperty(schema, "_tag") && streams.has(schema._tag)),
    expectedStatus: expected.filter((status) => !isAnswer(status, undefined)),
    encode: encodeOf(api, endpoint, place),
    read: readOf(
      HttpClientRequest.make(method)(template),
      { successes: new Set(successes.keys()), errors: new Set(errors.keys()), isRemembered: middleware.length > 0 },
      decodeResponse,
      decodeError
    ),
    decode: (response, sseOptions) => decodeResponse(response, sseOptions === undefined ? {} : { sseOptions })
  }
}

/** The mark that tells these declarations from others: Effect keeps its own questions of them to itself. */
const upgrade: keyof HttpApiSchema.Upgrade = "~effect/http-api/HttpApiSchema/Upgrade"

const streams: ReadonlySet<unknown> = new Set<HttpApiSchema.StreamSchema["_tag"]>([
  "StreamSse",
  "StreamNdjson",
  "StreamUint8Array"
])

type Decode = (
  response: HttpClientResponse,
  options?: { readonly sseOptions?: Sse.DecodeOptions | undefined }
) => Effect.Effect<unknown, unknown, unknown>

/**
 * Decodes the errors whose status a success has, too, which Effect's decoder takes for that success alone: the same errors are declared
 * once more, without it. `undefined` where every status means one thing.
 */
const errorDecoder = ({ endpoint, errors, mergedAnnotations, successes }: Declared): Decode | undefined => {
  const error = [...errors].flatMap(([status, schemas]) => (successes.has(status) ? [...schemas] : []))
  if (error.length === 0) return undefined
  const alone = HttpApiEndpoint.make(endpoint.method)("alone", "/", { success: HttpApiSchema.Empty(noStatus), error })
  const api = HttpApi.make("errors").add(HttpApiGroup.make("errors").add(alone.annotateMerge(mergedAnnotations)))
  return HttpApiClient.decodeResponse(api, { group: "errors", endpoint: "alone" }) as Decode
}

/** The status of no response. */
const noStatus = 0

/** `/charges/:id` as `/charges/{id}`: one way to write an operation, in policies, spans and metrics. */
const templateOf = ({ params, path }: HttpApiEndpoint.Top): string =>
  params === undefined
    ? path
    : path.replace(/::|:(\w+)(?:\([^/]*\))?\??/g, (written, name: string | undefined) =>
        name === undefined ? written : `{${name}}`
      )

/** Effect's client runs the one that was added last outermost. */
const middlewareOf = (
  services: Context.Context<never>,
  declared: ReadonlySet<HttpApiMiddleware.AnyService>
): ReadonlyArray<Middleware> =>
  [...declared]
    .flatMap(({ key }) => {
      const found = services.mapUnsafe.get(`${key}/Client`)
      // `HttpApiMiddleware.layerClient` provides the middleware by this name
      return found === undefined ? [] : [found as Middleware]
    })
    .toReversed()

// ---------------------------------------------------------------------------------------------------------------------
// requests
// ---------------------------------------------------------------------------------------------------------------------

const noBytes = new Uint8Array(0)

/** The response of a client that sends nothing: its request is what was asked for. */
const notSent = (request: HttpClientRequest.HttpClientRequest): HttpClientResponse =>
  new ClientResponse({
    request,
    url: "",
    status: 200,
    headers: {},
    setCookies: undefined,
    remoteAddress: Option.none(),
    body: noBytes
  })

const sendingNothing = HttpClient.makeWith(
  (request: Effect.Effect<HttpClientRequest.HttpClientRequest>) => Effect.map(request, notSent),
  Effect.succeed
)

/** Effect's own client makes the request, so that whatever a declaration means there it means here. */
const encodeOf = (
  api: HttpApi.Top,
  endpoint: HttpApiEndpoint.Top,
  place: { readonly group: string; readonly endpoint: string }
): ApiEndpoint["encode"] => {
  // made where nothing is provided, so that no middleware runs: that is around the call, and not within its encoding
  const made = HttpApiClient.endpoint(api, { ...place, httpClient: sendingNothing }) as Effect.Effect<unknown>
  const ask = Effect.runSync(made) as (request: ApiRequest) => Effect.Effect<HttpClientResponse, unknown, unknown>
  const wrongPlace = wrongPlaceOf(endpoint)
  return (given) =>
    Effect.suspend(() => {
      const wrong = wrongMode(given?.responseMode)
      if (wrong !== undefined) return Effect.fail(wrong)
      const made = Effect.flatMap(ask({ ...given, responseMode: "response-only" }), ({ request }) =>
        Effect.map(wrongPlace(given?.params), (wrong) => wrong ?? wrongQuery(request) ?? request)
      )
      return Effect.matchCauseEffect(made, {
        onSuccess: (request) => (isIssue(request) ? Effect.fail(request) : Effect.succeed(request)),
        onFailure: (cause) => whyNotEncoded(endpoint, given, cause)
      })
    })
}

/**
 * The fault of the values that fill an endpoint's path. Those are what its schema makes of the given ones: a secret is no text before it
 * is encoded, and one that was empty is empty then. Values that are sent as they are given need no second encoding.
 */
const wrongPlaceOf = ({
  params
}: HttpApiEndpoint.Top): ((given: unknown) => Effect.Effect<Issue | undefined, unknown, unknown>) => {
  const nothing = Effect.succeed<Issue | undefined>(undefined)
  if (params === undefined) return () => nothing
  if (SchemaAST.toEncoded(params.ast) === params.ast) return (given) => Effect.succeed(wrongParams(given))
  const encode = Schema.encodeUnknownEffect(params)
  return (given) => (given === undefined ? nothing : Effect.map(encode(given), wrongParams))
}

/** A value that would make another path of its template: of `/charges/:id` the list of charges, or what is above it. */
const wrongParams = (params: unknown): Issue | undefined => {
  if (typeof params !== "object" || params === null) return undefined
  for (const [name, value] of Object.entries(params)) {
    if (typeof value !== "string") continue
    if (value === "" || value === "." || value === "..") {
      return { path: `params.${name}`, issue: `must name one path segment, got ${JSON.stringify(value)}` }
    }
    if (!value.isWellFormed()) return { path: `params.${name}`, issue: notUnicode }
  }
  return undefined
}

const modes: ReadonlySet<string | undefined> = new Set([undefined, "decoded-only", "decoded-and-response"])

const wrongMode = (mode: string | undefined): Issue | undefined =>
  modes.has(mode)
    ? undefined
    : {
        path: "responseMode",
        issue: `must be "decoded-only" or "decoded-and-response", got ${JSON.stringify(mode)}; for a response that is not decoded there is UpstreamClient`
      }

const wrongQuery = ({ urlParams }: HttpClientRequest.HttpClientRequest): Issue | undefined => {
  for (const [name, value] of urlParams.params) {
    if (!name.isWellFormed() || (typeof value === "string" && !value.isWellFormed())) {
      return { path: `query.${name.toWellFormed()}`, issue: notUnicode }
    }
  }
  return undefined
}

/** Effect's client does not say which part of a request did not encode, so each is asked again. */
const whyNotEncoded = (
  endpoint: HttpApiEndpoint.Top,
  given: ApiRequest | undefined,
  cause: Cause.Cause<unknown>
): Effect.Effect<never, Issue, unknown> =>
  Effect.gen(function* () {
    if (Cause.hasInterrupts(cause)) return yield* Effect.failCause(onlyDefects(cause))
    for (const part of ["params", "query", "headers"] as const) {
      const schema = endpoint[part]
      if (schema === undefined) continue
      const encoded = yield* Effect.exit(Schema.encodeUnknownEffect(schema)(given?.[part]))
      const error = Exit.isFailure(encoded) ? encoded.cause.reasons.find(Cause.isFailReason)?.error : undefined
      if (error !== undefined) return yield* Effect.fail(bodyIssue(part, error))
      const wrong = part === "params" && Exit.isSuccess(encoded) ? wrongParams(encoded.value) : undefined
      if (wrong !== undefined) return yield* Effect.fail(wrong)
    }
    const error = cause.reasons.find(Cause.isFailReason)?.error
    return yield* Schema.isSchemaError(error)
      ? Effect.fail(bodyIssue("payload", error))
      : Effect.failCause(onlyDefects(cause))
  })

/** The parts of a cause that are no failure: a bug, or an interruption. An error that nothing here can make is one, too. */
const onlyDefects = (cause: Cause.Cause<unknown>): Cause.Cause<never> => {
  const others = cause.reasons.filter((reason) => !Cause.isFailReason(reason))
  return others.length > 0 ? Cause.fromReasons(others) : Cause.die(Cause.squash(cause))
}

// ---------------------------------------------------------------------------------------------------------------------
// responses
// ---------------------------------------------------------------------------------------------------------------------

/** An error that comes with a status of success: no status says what it means. */
const { DECLARED } = ErrorCatalog.make("httpapi", {
  DECLARED: { summary: "an error that the endpoint declares", advice: "handle it by its type" }
})

/**
 * Reads a response by its declaration. A declared error fails the attempt with the reason of its status, so that every stage judges it
 * as it judges that status from anyone: a 404 is an answer, and a 503 is tried again. The error's own value is remembered by that reason.
 */
const readOf = (
  request: HttpClientRequest.HttpClientRequest,
  declared: {
    readonly successes: ReadonlySet<number>
    readonly errors: ReadonlySet<number>
    readonly isRemembered: boolean
  },
  decode: Decode,
  /** Of errors that share their status with a success. */
  decodeError: Decode | undefined
): Read => {
  const { errors, isRemembered, successes } = declared
  const clientResponse = ({ body, headers, setCookies, status }: Transport.Response): ClientResponse => {
    const remoteAddress = Option.none<string>()
    return new ClientResponse({ request, url: request.url, status, headers, setCookies, remoteAddress, body })
  }
  return (runtime, endpoint, fiber, given, response, followed, asksForPart) => {
    const { status } = response
    const failed = (reason: Reason.Reason, error?: { readonly error: unknown }) => {
      if (isRemembered || error !== undefined) failedAnswers.set(reason, { response, declared: error })
      return Effect.fail(reason)
    }
    const ofStatus = () =>
      statusReason(endpoint, response, fiber.getRef(Clock.Clock).currentTimeMillisUnsafe(), followed)
    const undeclared = (): Effect.Effect<never, Reason.Reason> => {
      const rejected = rejectionOf(runtime, given, response)
      if (rejected !== undefined) return failed(rejected)
      if (!isAnswer(status, undefined) && !successes.has(status)) return failed(ofStatus())
      const part = unwantedPart(endpoint, status, asksForPart, true)
      if (part !== undefined) return failed(part)
      const issue = `the endpoint declares ${[...successes].join(", ")}, got ${status}`
      return failed(undecodable(endpoint, response, { path: "", issue }))
    }
    const isSuccess = successes.has(status)
    const isErrors = errors.has(status) && response.bodyComplete
    if (!isSuccess && !isErrors) return undeclared()
    const rejected = isSuccess ? rejectionOf(runtime, given, response) : undefined
    if (rejected !== undefined) return failed(rejected)
    if (isDeep(response)) {
      return isSuccess ? failed(undecodable(endpoint, response, { path: "", issue: Nesting.tooDeep })) : undeclared()
    }
    const decoded = (value: unknown) => Effect.succeed(new Decoded(value, response))
    const declaredError = (error: unknown) => {
      const reason =
        status < 400 ? stackless(() => new Reason.BusinessRejected({ entry: DECLARED, status, error })) : ofStatus()
      return failed(reason, { error })
    }
    const ofError = (
      decode: Decode,
      undeclared: () => Effect.Effect<never, Reason.Reason>
    ): Effect.Effect<Decoded, Reason.Reason, unknown> =>
      Effect.matchCauseEffect(decode(clientResponse(response)), {
        onSuccess: decoded,
        onFailure: (cause) => {
          const errors = errorsOf(cause)
          if (errors === undefined) return Effect.failCause(onlyDefects(cause))
          // one that did not decode comes with the error of the status before it
          return errors.length > 1 ? undeclared() : declaredError(errors[0])
        }
      })
    if (!isSuccess) return ofError(decode, undeclared)
    return Effect.matchCauseEffect(decode(clientResponse(response)), {
      onSuccess: decoded,
      onFailure: (cause): Effect.Effect<Decoded, Reason.Reason, unknown> => {
        const errors = errorsOf(cause)
        if (errors === undefined) return Effect.failCause(onlyDefects(cause))
        const notSuccess = () => failed(undecodable(endpoint, response, issueOf(errors[0])))
        return decodeError === undefined || !isErrors ? notSuccess() : ofError(decodeError, notSuccess)
      }
    })
  }
}

/** The errors of a cause that has nothing else; `undefined` for a bug or an interruption. */
const errorsOf = (cause: Cause.Cause<unknown>): ReadonlyArray<unknown> | undefined => {
  const errors = cause.reasons.filter(Cause.isFailReason)
  return errors.length > 0 && errors.length === cause.reasons.length ? errors.map(({ error }) => error) : undefined
}

/** The value that did not decode, and its place. */
export const issueOf = (error: unknown): Issue => {
  if (Schema.isSchemaError(error)) return bodyIssue("", error)
  const description = isHttpClientError(error) ? error.reason.description : undefined
  return { path: "", issue: bounded(description ?? (error instanceof Error ? error.message : String(error))) }
}

const isDeep = ({ body, headers }: Transport.Response): boolean =>
  body.length > 2 * Nesting.maxLevels &&
  /[/+]json\b/i.test(headers["content-type"] ?? "application/json") &&
  Nesting.isTextDeeper(bodyText(body))
