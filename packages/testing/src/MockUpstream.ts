/**
 * An upstream of functions: a test says what the operations that it needs give, and nothing is sent, encoded or tried again.
 *
 * **When to use**: to test what a program does with the answers of its upstream, where statuses, retries and bodies do not matter.
 *
 * **What it is not**: a test of the policy, for which there is `ScriptedTransport`. `Layer.mock` of Effect cannot make one. It wants every
 * member that is neither an effect nor a function of one, which an upstream's name and policy are not; and what a helper gives is decided
 * by the schema of each call, so that no function of a fixed result has its type.
 *
 * **Gotchas**: what was not given is a defect when it is asked for, as with `Layer.mock`. With `decode`, a mock gives a value of the
 * schema, as it is after decoding. Without, it gives an `Answer`, and a streaming helper a `StreamedAnswer`, each with all its members. It
 * fails with a reason or a `CallError`. Anything else is a defect, which says what is wrong with it.
 *
 * @since 0.1.0
 */

import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { CallError } from "@holdfast/core/CallError"
import * as Outcome from "@holdfast/core/Outcome"
import { Reason } from "@holdfast/core/Reason"
import * as HttpPolicy from "@holdfast/http/HttpPolicy"
import * as StageOrder from "@holdfast/http/StageOrder"
import type {
  Answer,
  Decoder,
  PathValue,
  RequestOptions,
  StreamedAnswer,
  StreamingOptions
} from "@holdfast/http/Request"
import type { Upstream } from "@holdfast/http/Upstream"

/**
 * The options of a call that a mock gets, besides the path.
 *
 * @category models
 * @since 0.1.0
 */
export interface Asked extends RequestOptions {
  readonly params?: { readonly [name: string]: PathValue } | undefined
  readonly decode?: Decoder | undefined
}

/**
 * A stand-in for a request helper: it gets the path as it was written and the options of the call. A reason becomes the `CallError` of
 * the call.
 *
 * @category models
 * @since 0.1.0
 */
export type Method = (path: string, options: Asked) => Effect.Effect<unknown, CallError | Reason>

/**
 * The same for a helper whose answer is streamed.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamingMethod = (
  path: string,
  options: StreamingOptions & Pick<Asked, "params">
) => Effect.Effect<StreamedAnswer, CallError | Reason, Scope.Scope>

/**
 * The members of an upstream that a test needs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default: the name of the service, in {@link layer}; `mock` in {@link make}. */
  readonly name?: string | undefined
  readonly get?: Method | undefined
  readonly head?: Method | undefined
  readonly post?: Method | undefined
  readonly put?: Method | undefined
  readonly patch?: Method | undefined
  readonly delete?: Method | undefined
  readonly streaming?: { readonly [verb in keyof Upstream["streaming"]]?: StreamingMethod | undefined } | undefined
}

const unimplemented = (name: string, member: string): Effect.Effect<never> =>
  Effect.suspend(() => {
    const error = new Error(`MockUpstream ${name}: Unimplemented method ${JSON.stringify(member)}`)
    error.name = "UnimplementedError"
    return Effect.die(error)
  })

/**
 * An upstream of functions, to provide where one is asked for. Its policy has no stages.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Upstream => {
  const name = options.name ?? "mock"
  const misuse = (operation: string, wrong: string) =>
    Effect.die(new TypeError(`MockUpstream ${name}: ${operation} ${wrong}`))
  const answered = <A, R>(
    operation: string,
    answer: () => Effect.Effect<A, CallError | Reason, R>,
    wrongValue: (value: A) => string | undefined
  ): Effect.Effect<A, CallError, R> =>
    Effect.matchEffect(
      Effect.suspend(() => {
        const given: unknown = answer()
        // a mock may be written without types
        return Effect.isEffect(given)
          ? (given as Effect.Effect<A, CallError | Reason, R>)
          : misuse(operation, `must give an effect, got ${shown(given)}`)
      }),
      {
        onFailure: (error): Effect.Effect<never, CallError> => {
          if (error instanceof CallError) return Effect.fail(error)
          return isReason(error)
            ? Effect.fail(callError(name, operation, error))
            : misuse(
                operation,
                `failed with ${shown(error)}; give a reason, such as new Reason.RateLimited({}), or a CallError`
              )
        },
        onSuccess: (value) => {
          const wrong = wrongValue(value)
          return wrong === undefined ? Effect.succeed(value) : misuse(operation, wrong)
        }
      }
    )
  const method = (member: keyof Options & Verb, given: Method | undefined): Upstream["get"] => {
    const helper = (path: string, asked: Asked = {}) => {
      const operation = `${member.toUpperCase()} ${path}`
      if (given === undefined) return unimplemented(name, member)
      return answered(
        operation,
        () => given(path, asked),
        (value) => wrongValue(asked.decode, value)
      )
    }
    // its value was checked above, by the schema that decides the type
    return helper as Upstream["get"]
  }
  const streaming = (verb: keyof Upstream["streaming"]): Upstream["streaming"]["get"] => {
    const given = options.streaming?.[verb]
    const helper = (path: string, asked: Parameters<StreamingMethod>[1] = {}) =>
      given === undefined
        ? unimplemented(name, `streaming.${verb}`)
        : answered(
            `${verb.toUpperCase()} ${path}`,
            () => given(path, asked),
            (value) => wrongAnswer("gives a StreamedAnswer", ofStreamedAnswer, value)
          )
    return helper
  }
  return {
    name,
    policy: HttpPolicy.make({}),
    stages: noStages,
    stagesAt: () => undefined,
    snapshot: unimplemented(name, "snapshot"),
    reload: () => unimplemented(name, "reload"),
    get: method("get", options.get),
    head: method("head", options.head),
    post: method("post", options.post),
    put: method("put", options.put),
    patch: method("patch", options.patch),
    delete: method("delete", options.delete),
    streaming: {
      get: streaming("get"),
      post: streaming("post"),
      put: streaming("put"),
      patch: streaming("patch"),
      delete: streaming("delete")
    }
  }
}

/** A mock has no policy, and none of its stages. */
const noStages = Object.fromEntries(
  StageOrder.all.flatMap(({ isRemembering, name }) => (isRemembering ? [[name, undefined]] : []))
) as unknown as Upstream["stages"] // the table has them all

type Verb = "get" | "head" | "post" | "put" | "patch" | "delete"

/**
 * A service of functions, in place of its layer.
 *
 * ```ts
 * import { Effect, Schema } from "effect"
 * import { Reason, Upstream } from "holdfast"
 * import { MockUpstream } from "holdfast/testing"
 *
 * class Charge extends Schema.Class<Charge>("Charge")({ id: Schema.String, amount: Schema.Int }) {}
 *
 * class Payments extends Upstream.Service<Payments>()("payments", { baseUrl: "https://payments.internal" }) {}
 *
 * // what is tested
 * const amountOf = (id: string) =>
 *   Payments.use((payments) => payments.get("/charges/{id}", { params: { id }, decode: Charge })).pipe(
 *     Effect.map(({ amount }) => amount),
 *     Effect.catchReason("CallError", "RateLimited", () => Effect.succeed(0))
 *   )
 *
 * const payments = MockUpstream.layer(Payments, {
 *   get: (_, { params }) =>
 *     params?.id === "busy"
 *       ? Effect.fail(new Reason.RateLimited({}))
 *       : Effect.succeed(new Charge({ id: String(params?.id), amount: 1200 }))
 * })
 *
 * console.log(await Effect.runPromise(Effect.all([amountOf("ch_1"), amountOf("busy")]).pipe(Effect.provide(payments))))
 * // => [ 1200, 0 ]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <Self>(service: Context.Key<Self, Upstream>, options: Options): Layer.Layer<Self> =>
  Layer.succeed(
    service,
    make({ ...options, name: options.name ?? service.key.replace(/^@holdfast\/http\/Upstream\//, "") })
  )

/** The error of a call that was sent once, and not again; a refusal was not sent. */
const callError = (upstream: string, operation: string, reason: Reason): CallError =>
  new CallError({
    upstream,
    operation,
    requestId: "mock",
    attempts: Outcome.fromReason(reason).cause === "refused" ? 0 : 1,
    elapsed: Duration.zero,
    retryStopped: "not-retryable",
    reason
  })

const isReason = Schema.is(Reason)

/** A value as errors show it: its kind, and what it says of itself. */
const shown = (value: unknown): string => {
  if (value instanceof Error) return String(value)
  if (typeof value === "object" && value !== null) {
    return "_tag" in value ? `an object with _tag ${String(value._tag)}` : "an object"
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value)
}

/** The fault of a mock's value: it has no type, so it is checked. */
const wrongValue = (decode: Decoder | undefined, value: unknown): string | undefined => {
  if (decode === undefined) {
    return wrongAnswer("was asked for without decode, and gives an Answer then", ofAnswer, value)
  }
  const isValue = Schema.is(Schema.toType(decode))
  return isValue(value) ? undefined : "gave what its schema does not describe; give a value as it is after decoding"
}

type Fields<A> = { readonly [Name in keyof A]: (value: unknown) => boolean }

const isObject = (value: unknown): boolean => typeof value === "object" && value !== null && !Array.isArray(value)

const ofAnyAnswer = { status: Number.isInteger, headers: isObject, setCookies: Array.isArray }

const ofAnswer: Fields<Answer> = {
  ...ofAnyAnswer,
  trailers: isObject,
  bytes: (value) => value instanceof Uint8Array,
  text: (value) => typeof value === "string"
}

const ofStreamedAnswer: Fields<StreamedAnswer> = {
  ...ofAnyAnswer,
  trailers: Effect.isEffect,
  stream: Stream.isStream
}

/** The fault of an answer: a member that is not there, or of another kind. */
const wrongAnswer = <A>(gives: string, fields: Fields<A>, value: unknown): string | undefined => {
  const names = Object.keys(fields)
  const whole = `${gives}: { ${names.join(", ")} }`
  if (!isObject(value)) return `${whole}; got ${shown(value)}`
  const members = value as { readonly [name: string]: unknown } // as `isObject` says
  const wrong = names.filter((name) => fields[name as keyof A](members[name]) === false)
  if (wrong.length === 0) return undefined
  return `${whole}; got ${wrong.map((name) => `${name} ${shown(members[name])}`).join(", ")}`
}
