/**
 * All that a policy may contain, once: code, JSON, the environment and a reload are read by these schemas, and the JSON Schema and the tables
 * of the documents are made from them. They are typed by the options themselves: an option without a place here does not compile, nor does
 * a place without an option.
 */

import * as AdaptiveConcurrency from "@holdfast/core/AdaptiveConcurrency"
import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import * as Backoff from "@holdfast/core/Backoff"
import * as Bulkhead from "@holdfast/core/Bulkhead"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Hedge from "@holdfast/core/Hedge"
import type { Mode } from "@holdfast/core/Mode"
import type { FailureCause } from "@holdfast/core/Outcome"
import * as RateLimit from "@holdfast/core/RateLimit"
import * as Retry from "@holdfast/core/Retry"
import * as RetryBudget from "@holdfast/core/RetryBudget"
import * as SingleFlight from "@holdfast/core/SingleFlight"
import * as Throttle from "@holdfast/core/Throttle"
import * as Time from "@holdfast/core/Time"
import * as Duration from "effect/Duration"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import { defaults } from "./policyDefaults.ts"
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
import { timeInWords } from "./timeInWords.ts"

// ---------------------------------------------------------------------------------------------------------------------
// annotations
// ---------------------------------------------------------------------------------------------------------------------

/** The facts of an option that a schema adds to Effect's own annotations. */
export interface Notes {
  /** The kind of text; a text without it is one of a few words. */
  readonly text?: "time" | "header"
  /** The option in words for a person. */
  readonly words?: string
  /** The right values, in words, for a person: `a whole number of bytes, at least 0`. */
  readonly takes?: string
  /** The meaning of leaving it out, where that is no value. */
  readonly leftOut?: string
  /** Names that others give it: what they lead to is told. */
  readonly meant?: ReadonlyArray<string>
  /** The names that must be there. */
  readonly needs?: ReadonlyArray<string>
  /** Values that code alone can give: which ones, and the option that data have in their place. */
  readonly code?: { readonly accepts: (value: unknown) => boolean; readonly instead?: string }
  /** Set when exactly one of the names must be there, which says what it is: how code writes the same. */
  readonly choice?: {
    readonly into: (name: string, value: unknown) => unknown
    readonly outOf: (value: unknown) => { readonly [name: string]: unknown } | undefined
    readonly example: string
    readonly exampleOfData: string
  }
  /** Of editors, and no option: it is taken and forgotten. */
  readonly forgotten?: boolean
}

const key = "policy"

const note = (notes: Notes): { readonly [key]: Notes } => ({ [key]: notes })

/** The notes of a schema. */
export const notesOf = (ast: SchemaAST.AST): Notes =>
  // nothing else writes under this key
  (SchemaAST.resolve(ast)?.[key] as Notes | undefined) ?? {}

const noted = <A>(schema: Schema.Schema<A>, notes: Notes): Schema.Schema<A> =>
  schema.annotate(note({ ...notesOf(schema.ast), ...notes }))

const described = <A>(schema: Schema.Schema<A>, description: string): Schema.Schema<A> =>
  schema.annotate({ description })

// ---------------------------------------------------------------------------------------------------------------------
// the parts of options
// ---------------------------------------------------------------------------------------------------------------------

interface Range {
  readonly least?: number
  readonly most?: number
  /** Not this itself. */
  readonly above?: number
  readonly below?: number
}

const bounds = ({ above, below, least, most }: Range): ReadonlyArray<SchemaAST.Filter<number>> => [
  ...(least === undefined ? [] : [Schema.isGreaterThanOrEqualTo(least)]),
  ...(above === undefined ? [] : [Schema.isGreaterThan(above)]),
  ...(most === undefined ? [] : [Schema.isLessThanOrEqualTo(most)]),
  ...(below === undefined ? [] : [Schema.isLessThan(below)])
]

const rangeInWords = ({ above, below, least, most }: Range, show = (bound: number) => String(bound)): string => {
  if (least !== undefined && most !== undefined) return `from ${show(least)} to ${show(most)}`
  const [low, high] = [
    least === undefined ? above !== undefined && `above ${show(above)}` : `at least ${show(least)}`,
    most === undefined ? below !== undefined && `below ${show(below)}` : `at most ${show(most)}`
  ]
  return [low, high].filter(Predicate.isString).join(", ")
}

const takes = (what: string, range: string, words: string): Notes & { readonly description: string } => {
  const text = range === "" ? what : `${what}, ${range}`
  return { words, takes: text, description: `${words} ${text.replace(/^./, (first) => first.toUpperCase())}.` }
}

const inRange = (words: string, what: string, range: Range, base: Schema.Schema<number>): Schema.Schema<number> => {
  const { description, ...notes } = takes(what, rangeInWords(range), words)
  const [first, ...others] = bounds(range)
  const checked = first === undefined ? base : (base as Schema.Codec<number>).check(first, ...others)
  return noted(described(checked, description), notes)
}

/** A number in a unit, such as `a share of the calls`. */
const number = (words: string, what: string, range: Range): Schema.Schema<number> =>
  inRange(words, what, range, Schema.Finite)

const count = (words: string, unit: string, range: Range): Schema.Schema<number> =>
  inRange(words, `a whole number of ${unit}`, range, Schema.Finite.check(Schema.isInt()))

type TimeInWords = Extract<Time.Input, string>

const millisInWords = (millis: number): string => Duration.format(Duration.millis(millis))

/** A time, whose range is in milliseconds. */
const time = (words: string, range: Range = { least: 0 }): Schema.Schema<TimeInWords> => {
  const { description, ...notes } = takes("a time", rangeInWords(range, millisInWords), words)
  // a text that matches is typed as one
  const schema = Schema.String.check(Schema.isPattern(Time.pattern)) as unknown as Schema.Schema<TimeInWords>
  return noted(described(schema, description), { ...notes, text: "time" })
}

const positive: Range = { above: 0 }

/** One of a few words, each of which is explained: neither less nor more of them than the option has. */
const oneOf = <const W extends string>(words: string, table: { readonly [word in W]: string }): Schema.Schema<W> => {
  // `Object.keys` gives no more than these of a record whose type says all its keys
  const names = Object.keys(table) as Array<W>
  return Schema.Literals(names).annotate({
    description: words,
    enumDescriptions: Object.values<string>(table),
    ...note({ takes: names.map((name) => `"${name}"`).join(", ") })
  })
}

const listOf = <A>(words: string, item: Schema.Schema<A>, least = 0): Schema.Schema<ReadonlyArray<A>> =>
  described(least === 0 ? Schema.Array(item) : Schema.Array(item).check(Schema.isMinLength(least)), words)

/** Or `false`, which switches it off. */
const orOff = <A>(schema: Schema.Schema<A>, off = "`false` switches it off."): Schema.Schema<A | false> =>
  either(schema, Schema.Literal(false).annotate({ description: off }))

/** Any of them: the words are the first one's. */
const either = <A, B>(first: Schema.Schema<A>, second: Schema.Schema<B>): Schema.Schema<A | B> =>
  Schema.Union([first, second]).annotate({
    description: SchemaAST.resolve(first.ast)?.description as string | undefined,
    default: SchemaAST.resolve(first.ast)?.default as A | undefined,
    ...note({ meant: notesOf(first.ast).meant ?? [] })
  })

/** An option that code alone can give. */
const codeOnly = (words: string, accepts: (value: unknown) => boolean, instead: string): Schema.Schema<never> =>
  noted(described(Schema.Never, words), { code: { accepts, instead }, takes: "code alone" })

const alsoInCode = <A>(schema: Schema.Schema<A>, accepts: (value: unknown) => boolean): Schema.Schema<A> =>
  noted(schema, { code: { accepts } })

/** Adds the other names that lead here. */
const meant = <A>(schema: Schema.Schema<A>, ...names: ReadonlyArray<string>): Schema.Schema<A> =>
  noted(schema, { meant: names })

/** Adds the meaning of leaving it out, where no value says it. */
const leftOut = <A>(schema: Schema.Schema<A>, means: string): Schema.Schema<A> => noted(schema, { leftOut: means })

type Table<O> = { readonly [K in keyof Required<O>]: Schema.Schema<Exclude<O[K], undefined>> }

/** A value of code as JSON has it; nothing where JSON has no value for it, such as no bound. */
const asData = (value: unknown): unknown => {
  if (Duration.isDuration(value)) return Duration.isFinite(value) ? timeInWords(value) : undefined
  return value === Infinity ? undefined : value
}

const named = <A>(words: string, given: object, from: object, notes: Notes): Schema.Schema<A> => {
  const fields = Object.entries(given as { readonly [name: string]: Schema.Codec<unknown> }).map(([name, schema]) => {
    const value: unknown = asData(Reflect.get(from, name))
    const withDefault = value === undefined ? schema : schema.annotate({ default: value })
    return [name, notes.needs?.includes(name) === true ? withDefault : Schema.optionalKey(withDefault)] as const
  })
  const struct = Schema.Struct(Object.fromEntries(fields))
  const chosen =
    notes.choice === undefined ? struct : struct.check(Schema.isMinProperties(1), Schema.isMaxProperties(1))
  // the table that it is made of is typed by the options
  return noted(described(chosen as unknown as Schema.Schema<A>, words), notes)
}

/** The options of a stage, with their defaults. */
const options = <O extends object>(
  words: string,
  from: object,
  table: Table<O>,
  needs: ReadonlyArray<keyof O & string> = []
): Schema.Schema<O> => named(words, table, from, { needs })

// ---------------------------------------------------------------------------------------------------------------------
// the stages
// ---------------------------------------------------------------------------------------------------------------------

const mode = oneOf<Mode>("Whether it acts, watches, or is not there.", {
  enforce: "It decides, and acts on it.",
  observe: "It decides, counts and reports, and lets every call through.",
  off: "It is not there."
})

const byCause = <A>(words: string, from: object, of: (cause: string) => Schema.Schema<Exclude<A, undefined>>) =>
  options<{ readonly [C in FailureCause]?: A }>(words, from, {
    transient: of("an error that may pass, such as a reset or a `500`"),
    throttle: of("an answer that asks for less, such as a `429`"),
    timeout: of("a time that was over"),
    refused: of("a refusal of this side"),
    permanent: of("an error that stays, such as a `404`"),
    stale: of("a connection that had ended while nobody used it")
  })

const rates = {
  failureRate: number("The share of failed calls from which on the circuit opens.", "a share of the calls", {
    above: 0,
    most: 1
  }),
  slowCallRate: leftOut(
    number("The share of slow calls from which on it opens; needs `slowCallDuration`.", "a share of the calls", {
      above: 0,
      most: 1
    }),
    "slow calls are not watched"
  ),
  minimumCalls: count("With fewer calls in the window, the rates say nothing.", "calls", { least: 1, most: 1e6 })
}

const rateDefaults = { failureRate: 0.5, minimumCalls: 20 }

type RuleOf<Tag extends CircuitBreaker.TripRule["_tag"]> = Omit<
  Extract<CircuitBreaker.TripRule, { readonly _tag: Tag }>,
  "_tag"
>

/** A trip rule is written as the constructor that makes it in code: `{ "timeWindow": { "duration": "30 seconds" } }`. */
const tripRule = named<CircuitBreaker.TripRule>(
  "What opens the circuit: one of the three.",
  {
    consecutiveFailures: count("So many failures in a row.", "failures", { least: 1, most: 1e6 }),
    countWindow: options<RuleOf<"CountWindow">>(
      "The rates among the last calls.",
      rateDefaults,
      { size: count("How many calls the window holds.", "calls", { least: 1, most: 100_000 }), ...rates },
      ["size"]
    ),
    timeWindow: options<RuleOf<"TimeWindow">>(
      "The rates among the calls of a time.",
      rateDefaults,
      { duration: time("How long the window is.", { least: 100, most: 86_400_000 }), ...rates },
      ["duration"]
    )
  } satisfies { readonly [T in CircuitBreaker.TripRule["_tag"] as Uncapitalize<T>]: unknown },
  {},
  {
    choice: {
      example: "CircuitBreaker.consecutiveFailures(5)",
      exampleOfData: '{ "consecutiveFailures": 5 }',
      into: (name, value) => {
        if (name === "consecutiveFailures") return { _tag: "ConsecutiveFailures", failures: value }
        return { _tag: name === "countWindow" ? "CountWindow" : "TimeWindow", ...(Predicate.isObject(value) && value) }
      },
      outOf: (value) => {
        if (!Predicate.isObject(value) || !("_tag" in value)) return undefined
        const { _tag, ...rest } = value
        if (_tag === "ConsecutiveFailures")
          return "failures" in rest ? { consecutiveFailures: rest.failures } : undefined
        if (_tag === "CountWindow") return { countWindow: rest }
        return _tag === "TimeWindow" ? { timeWindow: rest } : undefined
      }
    }
  }
)

/** The options of each module that has some, which the documents show one by one. */
export const stages = {
  SingleFlight: options<SingleFlight.Options>("Concurrent equal reads share one.", SingleFlight.defaults, {
    maxCallers: leftOut(
      count("Callers that may wait for one run, the first included; one more is refused.", "callers", { least: 1 }),
      "no bound"
    ),
    mode
  }),
  RateLimit: options<RateLimit.Options>(
    "So many calls in so much time; the figures that the server sends slow it down further.",
    RateLimit.defaults,
    {
      limit: number("Calls in a window; 0.5 a second is one in two seconds.", "a number of calls", { above: 0 }),
      window: time("How long the window is.", positive),
      algorithm: oneOf<"token-bucket" | "sliding-window">("How calls are counted.", {
        "token-bucket": "Tokens come back one by one, and some may be saved up.",
        "sliding-window": "No window of this length, wherever it begins, has more calls than the limit."
      }),
      burst: leftOut(
        number("Calls that a full token bucket lets pass at once.", "a number of calls", { least: 1 }),
        "the `limit`, at least 1"
      ),
      onLimit: oneOf<"wait" | "refuse">("What becomes of a call beyond the limit.", {
        wait: "It waits for its turn.",
        refuse: "It is refused at once."
      }),
      maxWait: time("The longest that a call waits; one that would have to wait longer is refused at once."),
      maxServerWait: time("The longest time for which the server's own figures are believed."),
      mode
    },
    ["limit"]
  ),
  Backoff: options<BackoffOptions>(
    "How the waits between attempts grow.",
    { shape: "exponential", ...Backoff.defaults },
    {
      shape: oneOf<NonNullable<BackoffOptions["shape"]>>("The shape of the growth.", {
        exponential: "base · factorⁱ",
        linear: "base · (1 + i)",
        fibonacci: "base · 1, 1, 2, 3, 5, 8 …",
        constant: "base"
      }),
      base: meant(
        time("The first delay before jitter; the only one of `constant`.", positive),
        "delay",
        "initialDelay",
        "initialInterval"
      ),
      factor: meant(
        number("`exponential` only: the factor from each delay to the next.", "a number", { least: 1 }),
        "multiplier",
        "exponent"
      ),
      cap: meant(time("The longest delay; not below the base.", positive), "maxDelay", "maximumDelay"),
      jitter: oneOf<Backoff.Jitter>("How chance spreads the delays.", {
        none: "Not at all.",
        full: "From nothing to the delay.",
        equal: "From half of the delay to all of it.",
        decorrelated: "`exponential` only: from the base to three times the delay before."
      })
    }
  ),
  RetryBudget: options<RetryBudget.Options>(
    "What retries and hedges are paid from, shared by all calls of the upstream.",
    RetryBudget.defaults,
    {
      ttl: time("How long a call counts.", { least: 1000, most: 60_000 }),
      ratio: number("Retries that each call pays for.", "a number of retries", { least: 0, most: 10 }),
      minimumPerSecond: number("Retries that are there without any call.", "a number a second", {
        least: 0,
        most: 1e6
      }),
      inFlightRatio: number(
        "Retries being made for each call in flight, above which none is granted.",
        "a number of retries",
        {
          least: 0,
          most: 1
        }
      ),
      minimumInFlight: number("Retries being made that are always allowed.", "a number of retries", {
        least: 1,
        most: 1e6
      }),
      costs: byCause<number>(
        "What a retry costs, by the cause of the failure before it.",
        RetryBudget.defaults.costs,
        (cause) => number(`After ${cause}.`, "a number of retries", { least: 0, most: 1000 })
      ),
      mode
    }
  ),
  Hedge: options<HedgeOptions>("A second attempt beside a slow first one.", Hedge.defaults, {
    delay: leftOut(
      time("How long an attempt may take before the next one is started.", positive),
      "learned: the quantile above which `maximumExtraLoad` of the calls lie"
    ),
    maximumExtraLoad: number("Hedges for each call, at most.", "a number of hedges", { least: 0.001, most: 1 }),
    burst: number("Hedges that quiet times may save up.", "a number of hedges", { least: 1, most: 1e6 }),
    maxHedges: count("Hedges of one call, each `delay` after the attempt before it.", "hedges", { least: 1, most: 10 }),
    window: time("How long a call counts for the learned delay.", { least: 1000, most: 3_600_000 }),
    minimumSamples: count("Calls that the window must hold for a delay to be learned.", "calls", { least: 1 }),
    refresh: time("How often the learned delay is worked out anew.", positive),
    minimumDelay: time("The shortest delay that is learned.", { least: 1, most: 60_000 }),
    mode
  }),
  CircuitBreaker: options<CircuitBreaker.Options>(
    "Stops asking an upstream that fails. One for each endpoint.",
    { ...CircuitBreaker.defaults, trip: undefined },
    {
      trip: leftOut(
        listOf("Any of these rules opens the circuit; at least one.", tripRule, 1),
        "10 failures in a row, or half of at least 20 calls in 30s"
      ),
      slowCallDuration: leftOut(
        time("A call that takes longer is slow, whatever becomes of it.", positive),
        "no call is slow"
      ),
      openTime: meant(
        alsoInCode(
          either(
            time("How long the circuit stays open, at most `maxOpenTime`.", positive),
            options<{ readonly doubling: TimeInWords }>(
              "An open time that doubles with each opening in a row.",
              {},
              { doubling: time("The first open time.", positive) },
              ["doubling"]
            )
          ),
          Predicate.isFunction
        ),
        "resetTimeout",
        "sleepWindow",
        "breakDuration"
      ),
      maxOpenTime: time("The longest open time, whatever `openTime` says and the server asks for.", positive),
      probes: count("Probes that may be out at once while half-open.", "probes", { least: 1, most: 1000 }),
      successThreshold: count("Successful probes that close the circuit.", "probes", { least: 1, most: 1e6 }),
      probeLease: time("How long a probe may hold its place.", positive),
      rampTime: time("How long after a close the share of calls that are let through grows, from a tenth to all."),
      counts: byCause<CircuitBreaker.Verdict>(
        "What a failure counts as, by its cause.",
        CircuitBreaker.defaults.counts,
        (cause) =>
          oneOf<CircuitBreaker.Verdict>(`What it is after ${cause}.`, {
            failure: "It speaks for opening.",
            success: "It speaks for closing.",
            ignored: "It says nothing."
          })
      ),
      mode
    }
  ),
  Throttle: options<Throttle.Options>(
    "Sheds, on this side, attempts that the upstream would refuse. One for each endpoint.",
    Throttle.defaults,
    {
      window: time("How long a call counts.", { least: 1000, most: 3_600_000 }),
      multiplier: number("The attempts sent may be this many times the accepted ones.", "a number", {
        least: 1,
        most: 100
      }),
      minimumPerSecond: number("Calls that are let through at the least.", "a number a second", {
        least: 0,
        most: 1000
      }),
      minimumRequests: number("Requests in the window before any is shed.", "a number of requests", {
        least: 1,
        most: 10_000
      }),
      rejections: listOf(
        "The failures that count as not accepted.",
        oneOf<Throttle.Rejection>("A cause of failures.", {
          throttle: "The upstream asks for less.",
          transient: "An error that may pass.",
          timeout: "A time that was over."
        })
      ),
      mode
    }
  ),
  Bulkhead: options<Bulkhead.Options>(
    "So many attempts at once, and so many waiting. One for each endpoint.",
    Bulkhead.defaults,
    {
      maxConcurrent: meant(
        count("Attempts that run at once.", "attempts", { least: 1 }),
        "concurrency",
        "maxConcurrency",
        "limit"
      ),
      maxQueue: meant(
        count("Attempts that wait for their turn; with 0, none does.", "attempts", { least: 0 }),
        "queueSize"
      ),
      maxWait: meant(
        time("The longest that one waits for its turn; the deadline may make it shorter."),
        "queueTimeout"
      ),
      mode
    }
  ),
  AdaptiveConcurrency: options<AdaptiveConcurrency.Options>(
    "So many attempts at once as the upstream is found to bear. One for each endpoint.",
    AdaptiveConcurrency.defaults,
    {
      algorithm: oneOf<AdaptiveConcurrency.Algorithm>("What the limit is learned from.", {
        gradient: "Latency: the limit falls when it grows.",
        aimd: "Losses: the limit grows by one, and falls by a share."
      }),
      initialLimit: count("Attempts at once, to begin with; within the two limits below.", "attempts", { least: 1 }),
      minimumLimit: count("The limit never goes below.", "attempts", { least: 1 }),
      maximumLimit: count("The limit never goes above.", "attempts", { least: 1, most: 100_000 }),
      backoffRatio: number("What too large a share of drops leaves of the limit.", "a number", {
        least: 0.5,
        below: 1
      }),
      slowAfter: leftOut(time("`aimd` only: a success that took longer is a drop.", positive), "none is"),
      quantile: number("`gradient` only: which quantile stands for the latencies of a window.", "a number", {
        least: 0.5,
        most: 1
      }),
      minimumSamples: count("`gradient` only: successes before a window may end.", "successes", {
        least: 10,
        most: 100_000
      }),
      shortestWindow: time("`gradient` only: a window lasts twice its fastest call, but not less than this.", {
        least: 1,
        most: 600_000
      }),
      longestWindow: time("`gradient` only: nor longer than this, once there are enough samples.", {
        least: 1,
        most: 600_000
      }),
      headroom: number(
        "`gradient` only: a limit of more than this many times the attempts that were in flight shrinks again.",
        "a number",
        {
          least: 2,
          most: 1000
        }
      ),
      mode
    }
  ),
  AttemptTimeout: options<AdaptiveTimeoutOptions>(
    "A limit of one attempt that is learned from the upstream's own latency.",
    AttemptTimeout.adaptiveDefaults,
    {
      limit: time("The limit in force until there are enough samples.", positive),
      quantile: number("Which quantile of the latency is multiplied.", "a number", { least: 0.5, most: 1 }),
      factor: number("How many times that quantile an attempt may take.", "a number", { above: 1, most: 100 }),
      floor: time("The learned limit is never shorter.", positive),
      ceiling: leftOut(time("The learned limit is never longer; not below `floor`.", positive), "the `limit`"),
      minimumSamples: number("Samples before the limit is learned.", "a number of samples", { least: 10, most: 1e6 }),
      mode
    },
    ["limit"]
  ),
  Redirects: options<RedirectOptions>("Redirects that are followed within an attempt.", defaults.redirects, {
    max: count("How many are followed one after the other; the next one fails the attempt.", "redirects", { least: 1 }),
    insecure: oneOf<"refuse" | "follow">("What becomes of one that leads from `https` to `http`.", {
      refuse: "The attempt fails.",
      follow: "It is followed, in the open."
    }),
    traceHeaders: oneOf<"drop" | "keep">("Whether another origin is told the trace.", {
      drop: "It is not.",
      keep: "It is; secrets are dropped in any case."
    })
  }),
  Limits: options<LimitOptions>("How much of a response is read.", defaults.limits, {
    responseBytes: count("Largest body of a successful response.", "bytes", { least: 0 }),
    errorBytes: count("How much of an error's body is kept.", "bytes", { least: 0 }),
    drainBytes: count("Longest error body that is read to its end so that its connection can be used again.", "bytes", {
      least: 0
    }),
    drainTime: time("How long reading an error body may take.", positive)
  })
} as const

const loop: Table<Omit<RetryOptions, "budget">> = {
  maxAttempts: meant(
    count("Attempts in all, the first included.", "attempts", { least: 1 }),
    "attempts",
    "retries",
    "maxRetries",
    "maxRetryAttempts"
  ),
  schedule: codeOnly(
    "How to wait between attempts, as code.",
    Schedule.isSchedule,
    "a schedule is code; say how to wait with backoff"
  ),
  backoff: leftOut(stages.Backoff, "`{}`"),
  maxServerWait: time("The longest wait that a server may ask for; a longer one ends the retrying at once."),
  serverWaitJitter: number("How much a server's wait is spread, upwards only.", "a number", { least: 0, most: 1 }),
  nonIdempotent: oneOf<NonNullable<RetryOptions["nonIdempotent"]>>(
    "What of a request that is not idempotent (`POST`, `PATCH`) may be sent again.",
    {
      never: "Nothing, unless it has an idempotency key.",
      unsent: "What certainly did not reach the upstream.",
      always: "Everything."
    }
  ),
  refusals: oneOf<"fail" | "wait">("What becomes of an attempt that this side refused.", {
    fail: "It ends the call at once.",
    wait: "It is tried again when the refusal says, if that is before the deadline."
  })
}

const retryDefaults = {
  ...Retry.defaults,
  schedule: undefined,
  nonIdempotent: defaults.nonIdempotent,
  refusals: defaults.refusals
}

export const retrySchema = options<RetryOptions>("How calls are retried.", retryDefaults, {
  ...loop,
  budget: leftOut(orOff(stages.RetryBudget, "`false` is no budget."), "`{}`")
})

const deadline = meant(
  orOff(time("The longest that a call may take, with its attempts and waits.", positive), "`false` is none."),
  "totalTimeout",
  "callTimeout"
)

const attemptTime = time(
  "The longest that one attempt may take, from the wait for a connection to the decoded answer.",
  positive
)

const overrides = options<Overrides>(
  "What one operation has otherwise than the policy.",
  {},
  {
    deadline,
    attemptTimeout: orOff(attemptTime, "`false` is none."),
    retry: orOff(options<Omit<RetryOptions, "budget">>("How calls are retried.", {}, loop), "`false` is one attempt."),
    hedge: Schema.Literal(false).annotate({ description: "`false` sends no hedge." }),
    singleFlight: Schema.Literal(false).annotate({ description: "`false` shares no run." }),
    limits: stages.Limits,
    redirects: orOff(stages.Redirects, "`false` follows none.")
  }
).annotate({ identifier: "Overrides" })

/** The name of an operation. */
export const operationPattern: RegExp = /^[A-Z]+ \//u

const presets = oneOf<"standard" | "aggressive" | "gentle" | "none">("Where options that are left out come from.", {
  standard: "Calls that somebody waits for.",
  aggressive: "Reads that must be fast, and may be made twice.",
  gentle: "Background work.",
  none: "Exactly the stages that are written."
})

/**
 * The preset that options left out are taken from. `none` adds nothing to the written stages.
 *
 * @category models
 * @since 0.1.0
 */
export type Preset = typeof presets.Type

/**
 * Options, and the preset that they change. Default `standard`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Declared extends Options {
  readonly preset?: Preset | undefined
}

const table: Table<Options> = {
  singleFlight: meant(orOff(stages.SingleFlight), "dedupe", "coalesce"),
  rateLimit: meant(orOff(stages.RateLimit), "rateLimiter"),
  deadline,
  deadlineHeader: orOff(
    noted(described(Schema.String, "The header that tells the upstream how many milliseconds an attempt has left."), {
      text: "header",
      takes: "the name of a header"
    }),
    "`false` sends none."
  ),
  retry: orOff(retrySchema, "`false` is one attempt."),
  hedge: meant(orOff(stages.Hedge), "hedging"),
  breaker: meant(orOff(stages.CircuitBreaker), "circuitBreaker", "circuit"),
  throttle: meant(orOff(stages.Throttle), "adaptiveThrottle", "loadShedding"),
  bulkhead: meant(orOff(stages.Bulkhead), "concurrency", "concurrencyLimit"),
  adaptiveConcurrency: meant(orOff(stages.AdaptiveConcurrency), "adaptiveLimit"),
  attemptTimeout: meant(
    orOff(either(attemptTime, stages.AttemptTimeout), "`false` is none."),
    "timeout",
    "requestTimeout"
  ),
  redirects: meant(orOff(stages.Redirects, "`false` follows none."), "followRedirects", "maxRedirects"),
  limits: stages.Limits,
  operations: described(
    Schema.Record(Schema.String.check(Schema.isPattern(operationPattern)), overrides),
    "What single operations have otherwise, by method and path: `POST /charges/{id}`."
  )
}

/** Of editors, which find by it what they complete and check by. */
const editors = noted(described(Schema.String, "Where the JSON Schema of this file is, for editors."), {
  forgotten: true
})

/** The options in code. */
export const optionsSchema = options<Options>("How calls to an upstream behave.", {}, table)

/** The overrides for one operation, or for one call. */
export const overridesSchema = overrides

const words =
  "How calls to an upstream behave. A stage is its options, `{}` for the defaults, or `false` for off; a stage that is left out is the preset's."

/** The options in a file, a configuration or a control plane. */
export const policySchema = options<Declared & { readonly $schema?: string }>(
  words,
  { preset: "standard" },
  { $schema: editors, preset: presets, ...table }
)

/** The same as one of several. */
export const declaredSchema = options<Declared>(words, { preset: "standard" }, { preset: presets, ...table }).annotate({
  identifier: "Policy"
})

/** The policies of several upstreams, in one file. */
export const upstreamsSchema = options<{
  readonly $schema?: string
  readonly upstreams: { readonly [name: string]: Declared }
}>(
  "How calls to several upstreams behave.",
  {},
  {
    $schema: editors,
    upstreams: described(Schema.Record(Schema.String, declaredSchema), "The policy of each upstream, by its name.")
  },
  ["upstreams"]
)
