/**
 * How calls to an upstream behave: how long they may take, how often they are tried, what may be sent twice, and when this
 * side says no before anything is sent.
 *
 * **When to use**: one policy an upstream, made once: `HttpPolicy.standard()`, with the options that differ. {@link aggressive} is for
 * calls that a person waits for and that may be made twice, {@link gentle} for background work.
 *
 * **What it is not**: an order. A policy names the stages that it has, and the pipeline puts them in the one right order,
 * whatever order they were written in; {@link describe} prints it.
 *
 * **Gotchas**: a stage is a set of options, `false` (off), or left out (what the preset says). Stages that can refuse, hedge or share have
 * a `mode`: a stage in `observe` decides, counts and reports, and lets every call through.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Backoff from "@holdfast/core/Backoff"
import * as Retry from "@holdfast/core/Retry"
import type {
  AdaptiveTimeoutOptions,
  BackoffOptions,
  CallPolicy,
  Finding,
  HttpPolicy,
  LimitOptions,
  Options,
  Overrides,
  RedirectOptions,
  RedirectPolicy,
  RetryOptions,
  RetryPolicy
} from "./internal/policy/policyModel.ts"
import { isHeaderName, isOfConnection } from "./internal/request/headerRules.ts"
import { declared, optionsOf, rowOf, stageNames } from "./internal/call/order.ts"
import { inLines } from "./internal/policy/found.ts"
import { defaults as policyDefaults } from "./internal/policy/policyDefaults.ts"
import { madeOf } from "./internal/policy/policyOrigin.ts"
import { readCode } from "./internal/policy/policyReader.ts"
import { optionsSchema, overridesSchema } from "./internal/policy/policySchema.ts"
import * as Words from "./internal/policy/policyWords.ts"
import type * as Schema from "effect/Schema"
import type * as Transport from "./Transport.ts"

export type {
  AdaptiveTimeoutOptions,
  BackoffOptions,
  CallPolicy,
  Finding,
  HedgeOptions,
  HttpPolicy,
  LimitOptions,
  NonIdempotent,
  Options,
  Overrides,
  RedirectOptions,
  RedirectPolicy,
  RetryOptions,
  RetryPolicy
} from "./internal/policy/policyModel.ts"
import * as Time from "@holdfast/core/Time"

/**
 * The values of options left out of {@link standard}. The defaults of each stage are in its module.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = policyDefaults

const on = <A>(stage: A | false | undefined): A | undefined => (stage === false ? undefined : stage)

const time = (name: string, given: Time.Input | false | undefined): Duration.Duration | undefined => {
  if (given === false || given === undefined) return undefined
  const duration = Time.of(`HttpPolicy: ${name}`, given)
  if (!(Duration.toMillis(duration) > 0)) {
    throw new RangeError(`HttpPolicy: ${name} must be longer than zero, got ${Duration.format(duration)}`)
  }
  return Duration.isFinite(duration) ? duration : undefined
}

const bytes = (name: string, given: number | undefined, fallback: number): number => {
  const value = given ?? fallback
  if (!(Number.isInteger(value) && value >= 0)) {
    throw new RangeError(`HttpPolicy: limits.${name} must be a whole number of bytes of at least 0, got ${value}`)
  }
  return value
}

const drainTime = (given: Time.Input | undefined): Duration.Duration | undefined => {
  const found = time("limits.drainTime", given)
  if (given === undefined || found !== undefined) return found
  throw new RangeError("HttpPolicy: limits.drainTime must be finite, got Infinity")
}

const limitsOf = (given: LimitOptions | undefined, base: Transport.Limits): Transport.Limits => ({
  responseBytes: bytes("responseBytes", given?.responseBytes, base.responseBytes),
  errorBytes: bytes("errorBytes", given?.errorBytes, base.errorBytes),
  drainBytes: bytes("drainBytes", given?.drainBytes, base.drainBytes),
  drainTime: drainTime(given?.drainTime) ?? base.drainTime
})

const redirectsOf = (given: RedirectOptions, base: RedirectPolicy): RedirectPolicy => {
  const max = given.max ?? base.max
  if (!(Number.isInteger(max) && max >= 1)) {
    throw new RangeError(
      `HttpPolicy: redirects.max must be a whole number of at least 1, got ${max}; none are followed with redirects: false`
    )
  }
  return { max, insecure: given.insecure ?? base.insecure, traceHeaders: given.traceHeaders ?? base.traceHeaders }
}

const scheduleOf = (options: BackoffOptions): Retry.Retry["schedule"] => {
  const { base, cap, factor, jitter, shape = "exponential" } = options
  if (factor !== undefined && shape !== "exponential") {
    throw new RangeError(`HttpPolicy: retry.backoff.factor belongs to the shape "exponential", got it with "${shape}"`)
  }
  if (jitter === "decorrelated" && shape !== "exponential") {
    throw new RangeError(
      `HttpPolicy: retry.backoff.jitter "decorrelated" belongs to the shape "exponential", got "${shape}"`
    )
  }
  switch (shape) {
    case "exponential":
      return Backoff.exponential({ base, cap, factor, jitter })
    case "linear":
      return Backoff.linear({ base, cap, jitter: steady(jitter) })
    case "fibonacci":
      return Backoff.fibonacci({ base, cap, jitter: steady(jitter) })
    case "constant":
      return Backoff.constant({ delay: base ?? Backoff.defaults.base, jitter: steady(jitter) })
  }
}

const steady = (jitter: Backoff.Jitter | undefined) => (jitter === "decorrelated" ? undefined : jitter)

const retryOf = (options: Omit<RetryOptions, "budget">, base: RetryPolicy | undefined): RetryPolicy => {
  if (options.backoff !== undefined && options.schedule !== undefined) {
    throw new RangeError("HttpPolicy: retry has a backoff and a schedule; give one of them")
  }
  const schedule = options.backoff === undefined ? options.schedule : scheduleOf(options.backoff)
  return {
    loop: Retry.make({
      maxAttempts: options.maxAttempts ?? base?.loop.maxAttempts,
      schedule: schedule ?? base?.loop.schedule,
      maxServerWait: options.maxServerWait ?? base?.loop.maxServerWait,
      serverWaitJitter: options.serverWaitJitter ?? base?.loop.serverWaitJitter
    }),
    nonIdempotent: options.nonIdempotent ?? base?.nonIdempotent ?? defaults.nonIdempotent,
    refusals: options.refusals ?? base?.refusals ?? defaults.refusals,
    backoff: options.schedule === undefined ? (options.backoff ?? base?.backoff ?? {}) : "own schedule"
  }
}

const isAdaptive = (given: Options["attemptTimeout"]): given is AdaptiveTimeoutOptions =>
  typeof given === "object" && given !== null && "limit" in given

const overridden = (base: CallPolicy, given: Overrides): CallPolicy => {
  const attemptTimeout = time("attemptTimeout", given.attemptTimeout)
  return {
    deadline: given.deadline === undefined ? base.deadline : time("deadline", given.deadline),
    attemptTimeout: given.attemptTimeout === undefined ? base.attemptTimeout : attemptTimeout,
    learnsTimeout: given.attemptTimeout === undefined && base.learnsTimeout,
    retry:
      given.retry === undefined ? base.retry : given.retry === false ? undefined : retryOf(given.retry, base.retry),
    hedge: base.hedge && given.hedge !== false,
    singleFlight: base.singleFlight && given.singleFlight !== false,
    limits: given.limits === undefined ? base.limits : limitsOf(given.limits, base.limits),
    redirects:
      given.redirects === undefined
        ? base.redirects
        : given.redirects === false
          ? undefined
          : redirectsOf(given.redirects, base.redirects ?? defaults.redirects)
  }
}

/** Builds each stage once, so that a wrong option is found where it was written. */
const tryStages = (policy: HttpPolicy): void => {
  for (const name of stageNames) {
    const options = optionsOf(policy, name)
    if (options !== undefined) rowOf(name)?.make(options, undefined, {})
  }
}

const headerName = (given: string | false | undefined): string | undefined => {
  if (given === undefined || given === false) return undefined
  const name = given.toLowerCase()
  if (!isHeaderName(name)) {
    throw new RangeError(`HttpPolicy: deadlineHeader must be the name of a header, got ${JSON.stringify(given)}`)
  }
  if (isOfConnection(name) || name === "host") {
    throw new RangeError(`HttpPolicy: deadlineHeader must not be a header that HTTP itself uses, got ${given}`)
  }
  return name
}

/** Refuses what code says wrong, which the types would have said. */
const checked = <A>(schema: Schema.Top, given: A): A => {
  const found = readCode(schema, given)
  if (!found.isEmpty) throw new RangeError(inLines(found.problems))
  return given
}

/**
 * Makes a policy of exactly the stages that are given; what is left out is off. The presets are this with stages of their own.
 *
 * Throws a `RangeError` for an option that there is not (with the one that was probably meant) or that is of another kind, for one out
 * of range, and for stages that contradict each other: all contradictions, a line each.
 *
 * ```ts
 * import { HttpPolicy } from "holdfast"
 *
 * // whatever order it is written in, it runs in the one right order
 * const policy = HttpPolicy.make({ attemptTimeout: "1 second", bulkhead: { maxConcurrent: 8 }, deadline: "5 seconds" })
 * console.log(HttpPolicy.describe(policy)) // => deadline 5s → bulkhead 8 + 10 waiting → attempt timeout 1s
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): HttpPolicy =>
  madeOf(made(checked(optionsSchema, options)), { code: { preset: "none", ...options }, environment: {} })

const made = (options: Options): HttpPolicy => {
  const learned = isAdaptive(options.attemptTimeout) ? options.attemptTimeout : undefined
  const retry = on(options.retry)
  const redirects = on(options.redirects)
  const call: CallPolicy = {
    deadline: time("deadline", options.deadline),
    attemptTimeout: isAdaptive(options.attemptTimeout) ? undefined : time("attemptTimeout", options.attemptTimeout),
    learnsTimeout: learned !== undefined,
    retry: retry === undefined ? undefined : retryOf(retry, undefined),
    hedge: on(options.hedge) !== undefined,
    singleFlight: on(options.singleFlight) !== undefined,
    limits: limitsOf(options.limits, defaults.limits),
    redirects: redirects === undefined ? undefined : redirectsOf(redirects, defaults.redirects)
  }
  const policy: HttpPolicy = {
    options,
    call,
    operations: new Map(
      Object.entries(options.operations ?? {}).map(([operation, given]) => [operation, overridden(call, given)])
    ),
    deadlineHeader: headerName(options.deadlineHeader),
    ...declared(options),
    // these two are parts of other options
    budget: retry === undefined ? undefined : on(retry.budget ?? {}),
    attemptTimeout: learned
  }
  tryStages(policy)
  const contradictions = Words.findings(policy).filter((finding) => finding.severity === "error")
  if (contradictions.length > 0) {
    throw new RangeError(contradictions.map(({ text }) => `HttpPolicy: ${text}`).join("\n"))
  }
  return policy
}

/** An attempt's share of a short deadline, so that a preset's own timeout never contradicts the deadline that is asked for. */
const attemptTimeoutWithin = (
  options: Options,
  fallback: Duration.Duration
): Time.Input | AdaptiveTimeoutOptions | false => {
  if (options.attemptTimeout !== undefined) return options.attemptTimeout
  if (options.deadline === undefined || options.deadline === false) return fallback
  const attempts = options.retry === false ? 1 : (options.retry?.maxAttempts ?? Retry.defaults.maxAttempts)
  const share = Time.millis("HttpPolicy: deadline", options.deadline) / attempts
  // whole milliseconds, since it is shown
  return Duration.min(fallback, Duration.millis(share > 1 ? Math.floor(share) : share))
}

/**
 * A policy for calls that somebody waits for: 30 s in all, 10 s an attempt, up to 3 attempts with full jitter, retries
 * paid from a budget of 20 %, a circuit breaker, nothing sent twice that must not be.
 *
 * ```ts
 * import { HttpPolicy } from "holdfast"
 *
 * const policy = HttpPolicy.standard({ deadline: "10 seconds", attemptTimeout: "2 seconds" })
 * console.log(HttpPolicy.describe(policy))
 * // => deadline 10s → retry 3 attempts, exponential from 100ms to 10s, full jitter, budget 20% + 2/s → breaker 10 in a row or 50% of 20 in 30s, open 1s → attempt timeout 2s
 * ```
 *
 * @category presets
 * @since 0.1.0
 */
export const standard = (options: Options = {}): HttpPolicy =>
  preset("standard", options, {
    deadline: defaults.deadline,
    retry: {},
    breaker: {},
    ...given(options),
    attemptTimeout: attemptTimeoutWithin(options, defaults.attemptTimeout)
  })

/**
 * A policy for reads that must be fast: 3 s in all, attempts cut at twice the upstream's own p99 (1 s until that is known),
 * short waits, and a hedge beside the slowest 5 %. A request that may not be sent twice is not hedged.
 *
 * @category presets
 * @since 0.1.0
 */
export const aggressive = (options: Options = {}): HttpPolicy =>
  preset("aggressive", options, {
    deadline: "3 seconds",
    retry: { backoff: { base: "20 millis", cap: "500 millis" }, maxServerWait: "1 second" },
    hedge: {},
    breaker: { maxOpenTime: "30 seconds" },
    attemptTimeout: { limit: "1 second" },
    ...given(options)
  })

/**
 * A policy for background work: it waits long, sends little at once, gives way when the upstream is busy, and lets people go
 * first.
 *
 * @category presets
 * @since 0.1.0
 */
export const gentle = (options: Options = {}): HttpPolicy =>
  preset("gentle", options, {
    deadline: "10 minutes",
    retry: {
      maxAttempts: 6,
      backoff: { base: "1 second", cap: "1 minute" },
      maxServerWait: "5 minutes",
      budget: { ratio: 0.1, minimumPerSecond: 1 }
    },
    breaker: {},
    throttle: {},
    bulkhead: { maxConcurrent: 4, maxQueue: 1000, maxWait: "5 minutes" },
    attemptTimeout: "1 minute",
    ...given(options)
  })

const preset = (name: "standard" | "aggressive" | "gentle", options: Options, filled: Options): HttpPolicy =>
  madeOf(made(filled), { code: { preset: name, ...options }, environment: {} })

/** The options that were given: one that is `undefined` must not hide a preset's. */
const given = (options: Options): Options => {
  const present: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(checked(optionsSchema, options)))
    if (value !== undefined) present[name] = value
  return present
}

/**
 * One attempt and no bound but the caller's own deadline: for tests, and to see what an upstream is like without a policy.
 *
 * @category presets
 * @since 0.1.0
 */
export const none: HttpPolicy = make({})

/**
 * The stages of a policy in the order in which they run, in one line.
 *
 * @category getters
 * @since 0.1.0
 */
export const describe = (policy: HttpPolicy): string => Words.describe(policy)

/**
 * Contradictions between the numbers of a policy: stages that can never act, waits that outlast the deadline, a worst case that the
 * deadline cuts off.
 *
 * ```ts
 * import { HttpPolicy } from "holdfast"
 *
 * const policy = HttpPolicy.standard({ deadline: "10 seconds", attemptTimeout: "5 seconds", retry: { maxAttempts: 4 } })
 * for (const { severity, text } of HttpPolicy.validate(policy)) console.log(`${severity}: ${text}`)
 * // => warning: 4 attempts of 5s with waits of up to 700ms between them take up to 20.7s, and the deadline ends the call after 10s
 * ```
 *
 * @category getters
 * @since 0.1.0
 */
export const validate = (policy: HttpPolicy): ReadonlyArray<Finding> => Words.findings(policy)

/**
 * The overrides of the policy for the calls of this fiber.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentOverrides: Context.Reference<Overrides | undefined> = Context.Reference<Overrides | undefined>(
  "@holdfast/http/HttpPolicy/CurrentOverrides",
  { defaultValue: () => undefined }
)

/**
 * Runs an effect whose calls have something otherwise than their policies. It wins over the overrides of an operation. Throws a
 * `RangeError` for an option that there is not, or that is of another kind.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { HttpPolicy, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const busy = ScriptedTransport.layer({ "GET /items": [ScriptedTransport.status(503)] })
 * const once = Stock.use((stock) => stock.get("/items")).pipe(HttpPolicy.override({ retry: false }), Effect.flip)
 *
 * const error = await Effect.runPromise(once.pipe(Effect.provide(Stock.layer.pipe(Layer.provide(busy)))))
 * console.log(error.attempts) // => 1
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const override = (overrides: Overrides): (<A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>) => {
  checked(overridesSchema, overrides)
  return (self) => Effect.updateService(self, CurrentOverrides, (outer) => ({ ...outer, ...overrides }))
}

/**
 * The policy of one call of an operation, with the overrides of the operation and of the fiber.
 *
 * @category getters
 * @since 0.1.0
 */
export const callPolicy = (policy: HttpPolicy, operation: string, overrides: Overrides | undefined): CallPolicy => {
  const base = policy.operations.size === 0 ? policy.call : (policy.operations.get(operation) ?? policy.call)
  return overrides === undefined ? base : overridden(base, overrides)
}
