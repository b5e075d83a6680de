import { Duration, Schema } from "effect"
import * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import type * as HttpPolicy from "../../src/HttpPolicy.ts"

const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Left out, off, or as given. */
const stage = <S extends Schema.Constraint>(schema: S) =>
  Schema.optionalKey(Schema.Union([Schema.Literal(false), schema]))

const mode = Schema.optionalKey(Schema.Literals(["enforce", "observe", "off"]))

const retry = {
  maxAttempts: Schema.optionalKey(int(1, 9)),
  nonIdempotent: Schema.optionalKey(Schema.Literals(["never", "unsent", "always"])),
  maxServerWait: Schema.optionalKey(int(0, 90_000)),
  serverWaitJitter: Schema.optionalKey(Schema.Literals([0, 0.25, 1])),
  backoff: Schema.optionalKey(
    Schema.Struct({
      shape: Schema.optionalKey(Schema.Literals(["exponential", "linear", "fibonacci", "constant"])),
      base: Schema.optionalKey(int(1, 9000)),
      jitter: Schema.optionalKey(Schema.Literals(["none", "full", "equal"]))
    })
  )
}

/** Numbers, in ranges in which they do not contradict each other. */
const Figures = Schema.Struct({
  singleFlight: stage(Schema.Struct({ maxCallers: Schema.optionalKey(int(1, 100)), mode })),
  rateLimit: stage(Schema.Struct({ limit: int(1000, 5000), maxWait: Schema.optionalKey(int(0, 5000)), mode })),
  deadline: stage(int(60_000, 600_000)),
  deadlineHeader: stage(Schema.Literals(["x-request-timeout-ms", "X-Time-Left"])),
  retry: stage(
    Schema.Struct({
      ...retry,
      budget: stage(Schema.Struct({ ratio: Schema.Literals([0, 0.2, 10]), ttl: int(1000, 60_000) }))
    })
  ),
  hedge: stage(
    Schema.Struct({ delay: Schema.optionalKey(int(1, 900)), maxHedges: Schema.optionalKey(int(1, 3)), mode })
  ),
  breaker: stage(
    Schema.Struct({
      probes: Schema.optionalKey(int(1, 9)),
      rampTime: Schema.optionalKey(int(0, 9000)),
      rule: Schema.optionalKey(Schema.Literals(["row", "count", "time"])),
      open: Schema.optionalKey(Schema.Literals(["time", "data", "function"])),
      mode
    })
  ),
  throttle: stage(
    Schema.Struct({ rejections: Schema.optionalKey(Schema.Array(Schema.Literals(["throttle", "timeout"]))), mode })
  ),
  bulkhead: stage(
    Schema.Struct({ maxConcurrent: Schema.optionalKey(int(1, 99)), maxQueue: Schema.optionalKey(int(0, 99)), mode })
  ),
  adaptiveConcurrency: stage(
    Schema.Struct({ algorithm: Schema.optionalKey(Schema.Literals(["aimd", "gradient"])), mode })
  ),
  attemptTimeout: Schema.optionalKey(
    Schema.Union([
      Schema.Literal(false),
      int(1000, 50_000),
      Schema.Struct({ limit: int(1000, 50_000), quantile: Schema.optionalKey(Schema.Literals([0.5, 0.9, 1])), mode })
    ])
  ),
  redirects: stage(
    Schema.Struct({
      max: Schema.optionalKey(int(1, 9)),
      insecure: Schema.optionalKey(Schema.Literals(["refuse", "follow"])),
      traceHeaders: Schema.optionalKey(Schema.Literals(["drop", "keep"]))
    })
  ),
  limits: Schema.optionalKey(Schema.Struct({ errorBytes: int(0, 9999), drainTime: int(1, 9000) })),
  operations: Schema.optionalKey(
    Schema.Record(
      Schema.Literals(["GET /a", "POST /charges/{id}"]),
      Schema.Struct({
        deadline: stage(int(60_000, 90_000)),
        retry: stage(Schema.Struct(retry)),
        redirects: stage(Schema.Struct({ max: Schema.optionalKey(int(1, 9)) })),
        hedge: Schema.optionalKey(Schema.Literal(false))
      })
    )
  ),
  /** In which way times are written. */
  writing: Schema.Literals(["number", "duration", "words", "nanos", "object"])
})

const times = new Set([
  "deadline",
  "maxWait",
  "maxServerWait",
  "base",
  "ttl",
  "delay",
  "rampTime",
  "limit",
  "drainTime"
])

/** Writes every time in one of the ways in which code may. */
const written = (value: unknown, writing: (typeof Figures.Type)["writing"], name = ""): unknown => {
  if (typeof value === "number" && (times.has(name) || name === "attemptTimeout")) {
    switch (writing) {
      case "number":
        return value
      case "duration":
        return Duration.millis(value)
      case "words":
        return `${value} millis`
      case "nanos":
        return BigInt(value) * 1_000_000n
      case "object":
        return { milliseconds: value }
    }
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, written(item, writing, key)]))
}

const rules = {
  row: [CircuitBreaker.consecutiveFailures(4)],
  count: [CircuitBreaker.countWindow({ size: 50, failureRate: 0.25 })],
  time: [CircuitBreaker.timeWindow({ duration: Duration.minutes(1), minimumCalls: 3 })]
}

const openTimes = {
  time: "7 seconds",
  data: { doubling: "2 seconds" },
  function: CircuitBreaker.doubling(1500)
} as const

const make = ({ writing, ...figures }: typeof Figures.Type): HttpPolicy.Options => {
  const { breaker, rateLimit, ...options } = figures
  return {
    // the schema says which options there are, and `written` changes only how times are written
    ...(written(options, writing) as HttpPolicy.Options),
    ...(rateLimit !== undefined && { rateLimit: rateLimit === false ? false : { ...rateLimit } }),
    ...(breaker !== undefined && {
      breaker:
        breaker === false
          ? false
          : {
              ...rest(breaker),
              trip: breaker.rule && rules[breaker.rule],
              openTime: breaker.open && openTimes[breaker.open]
            }
    })
  }
}

const rest = ({ mode, probes, rampTime }: Exclude<NonNullable<(typeof Figures.Type)["breaker"]>, false>) => ({
  mode,
  probes,
  rampTime
})

/** Options of every kind, and whatever way they are written in, that make a policy. */
export const SomeFigures = Figures
export const optionsOf = make
