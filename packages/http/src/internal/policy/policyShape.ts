/** Which options a policy has, and what each takes. */

import type * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import type * as Bulkhead from "@holdfast/core/Bulkhead"
import type * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Mode from "@holdfast/core/Mode"
import type { FailureCause } from "@holdfast/core/Outcome"
import type * as RateLimit from "@holdfast/core/RateLimit"
import type * as RetryBudget from "@holdfast/core/RetryBudget"
import type * as SingleFlight from "@holdfast/core/SingleFlight"
import type * as Throttle from "@holdfast/core/Throttle"
import * as Predicate from "effect/Predicate"
import type {
  AdaptiveTimeoutOptions,
  BackoffOptions,
  HedgeOptions,
  LimitOptions,
  Options,
  Overrides,
  RedirectOptions,
  RetryOptions
} from "./policyModel.ts"

// What a policy looks like as data: which options there are, and what each takes. The tables are typed by the options
// themselves, so that an option without a place here does not compile.

/** A value without parts. */
export type Scalar =
  | { readonly _tag: "Time" }
  | { readonly _tag: "Number" }
  | { readonly _tag: "Text"; readonly what: string }
  | { readonly _tag: "Word"; readonly words: ReadonlyArray<string> }

/** Options under fixed names. */
export interface Fields {
  readonly _tag: "Fields"
  readonly fields: { readonly [name: string]: Shape }
  /** The names that must be there. */
  readonly needs: ReadonlyArray<string>
  /** Set when exactly one of the names must be there, which says what it is. */
  readonly choice?: {
    readonly into: (name: string, value: unknown) => unknown
    readonly outOf: (value: unknown) => { readonly [name: string]: unknown }
  }
}

/** Values under operations. */
export interface Operations {
  readonly _tag: "Operations"
  readonly of: Shape
}

export interface List {
  readonly _tag: "List"
  readonly of: Shape
}

/** What an option takes: any of what is set. */
export interface Shape {
  /** Whether `false` switches it off. */
  readonly off?: boolean
  readonly scalar?: Scalar
  readonly inside?: Fields | Operations | List
  /** Why it has no place in data, for what only code can say. */
  readonly code?: string
}

const time: Shape = { scalar: { _tag: "Time" } }
const number: Shape = { scalar: { _tag: "Number" } }
const word = (...words: ReadonlyArray<string>): Shape => ({ scalar: { _tag: "Word", words } })
const mode = word(...Mode.Mode.literals)
const listOf = (of: Shape): Shape => ({ inside: { _tag: "List", of } })
const orOff = (shape: Shape): Shape => ({ ...shape, off: true })

const fields = <O extends object>(
  table: { readonly [K in keyof Required<O>]: Shape },
  needs: ReadonlyArray<keyof O & string> = []
): Shape & { readonly inside: Fields } => ({ inside: { _tag: "Fields", fields: table, needs } })

const byCause = (of: Shape): Shape =>
  fields<{ readonly [C in FailureCause]?: unknown }>({
    transient: of,
    throttle: of,
    timeout: of,
    refused: of,
    permanent: of,
    stale: of
  })

const rates = { failureRate: number, slowCallRate: number, minimumCalls: number }

type RuleOf<Tag extends CircuitBreaker.TripRule["_tag"]> = Omit<
  Extract<CircuitBreaker.TripRule, { readonly _tag: Tag }>,
  "_tag"
>

/** A trip rule is written as the constructor that makes it in code: `{ "timeWindow": { "duration": "30 seconds" } }`. */
const tripRule: Shape = {
  inside: {
    _tag: "Fields",
    needs: [],
    fields: {
      consecutiveFailures: number,
      countWindow: fields<RuleOf<"CountWindow">>({ size: number, ...rates }, ["size"]),
      timeWindow: fields<RuleOf<"TimeWindow">>({ duration: time, ...rates }, ["duration"])
    },
    choice: {
      into: (name, value) => {
        if (name === "consecutiveFailures") return { _tag: "ConsecutiveFailures", failures: value }
        return { _tag: name === "countWindow" ? "CountWindow" : "TimeWindow", ...(Predicate.isObject(value) && value) }
      },
      outOf: (value) => {
        // what a policy has here is a trip rule: the policy is checked
        const { _tag, ...rest } = value as CircuitBreaker.TripRule
        if ("failures" in rest) return { consecutiveFailures: rest.failures }
        return { [_tag === "CountWindow" ? "countWindow" : "timeWindow"]: rest }
      }
    }
  }
}

const breaker = fields<CircuitBreaker.Options>({
  trip: listOf(tripRule),
  slowCallDuration: time,
  openTime: { ...time, ...fields<{ readonly doubling: unknown }>({ doubling: time }, ["doubling"]) },
  maxOpenTime: time,
  probes: number,
  successThreshold: number,
  probeLease: time,
  rampTime: time,
  counts: byCause(word("failure", "success", "ignored")),
  mode
})

const backoff = fields<BackoffOptions>({
  shape: word("exponential", "linear", "fibonacci", "constant"),
  base: time,
  factor: number,
  cap: time,
  jitter: word("none", "full", "equal", "decorrelated")
})

const budget = fields<RetryBudget.Options>({
  ttl: time,
  ratio: number,
  minimumPerSecond: number,
  inFlightRatio: number,
  minimumInFlight: number,
  costs: byCause(number),
  mode
})

const loop = {
  maxAttempts: number,
  schedule: { code: "a schedule is code; say how to wait with backoff" },
  backoff,
  maxServerWait: time,
  serverWaitJitter: number,
  nonIdempotent: word("never", "unsent", "always"),
  refusals: word("fail", "wait")
}

const limits = fields<LimitOptions>({ responseBytes: number, errorBytes: number, drainBytes: number, drainTime: time })

const redirects = orOff(
  fields<RedirectOptions>({ max: number, insecure: word("refuse", "follow"), traceHeaders: word("drop", "keep") })
)

const overrides = fields<Overrides>({
  deadline: orOff(time),
  attemptTimeout: orOff(time),
  retry: orOff(fields<Omit<RetryOptions, "budget">>(loop)),
  hedge: { off: true },
  singleFlight: { off: true },
  limits,
  redirects
})

const presets = ["standard", "aggressive", "gentle", "none"] as const

/**
 * What is meant by what is left out. `none` is exactly what is written.
 *
 * @category models
 * @since 0.1.0
 */
export type Preset = (typeof presets)[number]

/**
 * Options, and the preset that they change. Default `standard`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Declared extends Options {
  readonly preset?: Preset | undefined
}

/** A whole policy. */
export const policyShape = fields<Declared>({
  preset: word(...presets),
  singleFlight: orOff(fields<SingleFlight.Options>({ maxCallers: number, mode })),
  rateLimit: orOff(
    fields<RateLimit.Options>(
      {
        limit: number,
        window: time,
        algorithm: word("token-bucket", "sliding-window"),
        burst: number,
        onLimit: word("wait", "refuse"),
        maxWait: time,
        maxServerWait: time,
        mode
      },
      ["limit"]
    )
  ),
  deadline: orOff(time),
  deadlineHeader: orOff({ scalar: { _tag: "Text", what: "the name of a header" } }),
  retry: orOff(fields<RetryOptions>({ ...loop, budget: orOff(budget) })),
  hedge: orOff(
    fields<HedgeOptions>({
      delay: time,
      maximumExtraLoad: number,
      burst: number,
      maxHedges: number,
      window: time,
      minimumSamples: number,
      refresh: time,
      minimumDelay: time,
      mode
    })
  ),
  breaker: orOff(breaker),
  throttle: orOff(
    fields<Throttle.Options>({
      window: time,
      multiplier: number,
      minimumPerSecond: number,
      minimumRequests: number,
      rejections: listOf(word("throttle", "transient", "timeout")),
      mode
    })
  ),
  bulkhead: orOff(fields<Bulkhead.Options>({ maxConcurrent: number, maxQueue: number, maxWait: time, mode })),
  adaptiveConcurrency: orOff(
    fields<AdaptiveConcurrency.Options>({
      algorithm: word("aimd", "gradient"),
      initialLimit: number,
      minimumLimit: number,
      maximumLimit: number,
      backoffRatio: number,
      slowAfter: time,
      quantile: number,
      minimumSamples: number,
      shortestWindow: time,
      longestWindow: time,
      headroom: number,
      mode
    })
  ),
  attemptTimeout: orOff({
    ...time,
    ...fields<AdaptiveTimeoutOptions>(
      { limit: time, quantile: number, factor: number, floor: time, ceiling: time, minimumSamples: number, mode },
      ["limit"]
    )
  }),
  redirects,
  limits,
  operations: { inside: { _tag: "Operations", of: overrides } }
})
