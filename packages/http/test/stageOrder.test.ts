import { globSync, readFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Effect, Fiber, Random } from "effect"
import { assert, describe, it } from "@effect/vitest"
import * as Deadline from "@holdfast/core/Deadline"
import * as Reason from "@holdfast/core/Reason"
import * as ScriptedTransport from "@holdfast/testing/ScriptedTransport"
import * as CallObserver from "../src/CallObserver.ts"
import * as HttpPolicy from "../src/HttpPolicy.ts"
import { type AnyRow, order, stageNames } from "../src/internal/call/order.ts"
import * as StageOrder from "../src/StageOrder.ts"
import { fork, stage, upstream } from "./support/stock.ts"
import { traced } from "./support/tracing.ts"

const { hang, status } = ScriptedTransport

describe("the stages of a call", () => {
  it.effect("refuse in the order of the table", () => {
    const refusing = {
      deadline: "1 hour",
      rateLimit: { limit: 20, window: "1 day", algorithm: "sliding-window", onLimit: "refuse" },
      breaker: {},
      throttle: { minimumRequests: 1, minimumPerSecond: 0 },
      bulkhead: { maxConcurrent: 1, maxQueue: 0 },
      adaptiveConcurrency: { initialLimit: 1, minimumLimit: 1, maximumLimit: 1 }
    } as const satisfies HttpPolicy.Options
    const everyRefusal = StageOrder.all.filter(({ refusals }) => refusals.length > 0).map(({ name }) => name)
    return upstream(
      { "GET /slow": [hang], "*": [status(503)] },
      refusing
    )((api) =>
      Effect.gen(function* () {
        // what makes each of them refuse: a place that is held, rejections that are remembered, a circuit that is open
        for (let call = 0; call < 15; call++) yield* Effect.exit(Random.withSeed(api.get("/busy"), "shed"))
        const slow = yield* fork(Effect.provideService(api.get("/slow"), Random.Random, never))
        yield* stage(api.stages.breaker).forceOpen
        yield* stage(api.stages.rateLimit).run(Effect.void, { cost: 4 }).pipe(Effect.ignore)
        const said: Array<string> = []
        const observed: Array<keyof HttpPolicy.Options> = []
        for (const name of everyRefusal) {
          const watched = Object.fromEntries(
            observed.map((name) => [name, { ...asked(refusing, name), mode: "observe" }])
          )
          yield* api.reload(HttpPolicy.make({ ...refusing, ...watched }))
          yield* stage(api.stages.breaker).forceOpen
          const call = api.get("/busy").pipe(Effect.flip, Effect.provideService(Random.Random, always))
          const inTime = name === "deadline" ? Effect.provideService(call, Deadline.Current, spent) : call
          const { reason } = yield* inTime
          said.push(StageOrder.stageOf(reason as Reason.PolicyReason))
          if (name !== "deadline") observed.push(name as keyof HttpPolicy.Options)
        }
        yield* Fiber.interrupt(slow)
        assert.deepStrictEqual(said, everyRefusal)
      })
    )
  })
})

describe("the table of stages", () => {
  /** Files that name most stages, and what of each of them they say that is said nowhere else. */
  const known: { readonly [file: string]: string } = {
    "http/src/HttpPolicy.ts": "what presets have",
    "http/src/internal/call/engine.ts": "the call's stages, fused",
    "http/src/internal/call/guard.ts": "the stages of an attempt, fused",
    "http/src/internal/call/order.ts": "the table",
    "http/src/internal/policy/stageTypes.ts": "the types of the rows",
    "http/src/internal/policy/policyData.ts": "the words of data",
    "http/src/internal/policy/policySchema.ts": "the schema of the options",
    "http/src/internal/policy/policyWords.ts": "what options say together",
    "http/src/internal/policy/stageWords.ts": "the words of each row",
    "telemetry/src/internal/metrics/catalogue.ts": "which figures are metrics",
    "telemetry/src/internal/metrics/stageReadings.ts": "where those figures are found"
  }

  it("is the one list of stages that is kept by hand", () => {
    const packages = join(dirname(fileURLToPath(import.meta.url)), "../..")
    const remembering = StageOrder.all.filter(({ isRemembering }) => isRemembering).map(({ name }) => name)
    assert.isAtLeast(remembering.length, 9)
    const named = (file: string) => {
      const code = readFileSync(join(packages, file), "utf8").replaceAll(/\/\*[\s\S]*?\*\/|\/\/.*$/gm, "")
      return remembering.filter((name) => new RegExp(`\\b${name}\\b`).test(code))
    }
    for (const file of Object.keys(known)) assert.isAtLeast(named(file).length, 4, `${file} is no list any more`)
    const lists = globSync("{http,telemetry,testing}/src/**/*.ts", { cwd: packages }).flatMap((file) => {
      return named(file).length >= 5 && !(file in known) ? [`${file}: ${named(file).join(", ")}`] : []
    })
    assert.deepStrictEqual(lists, [])
  })
})

describe("the table as others see it", () => {
  it("is read, and no change of theirs reaches the engine's", () => {
    for (const { name, refusals } of StageOrder.all) {
      assert.notStrictEqual(refusals, order[name].refusals)
      assert.throws(() => void (refusals as Array<string>).push("CircuitOpen"), TypeError)
    }
  })

  it("counts nothing in what is no snapshot", () => {
    const stages = StageOrder.all.filter(({ counted }) => counted({ admitted: 1, refused: 2 }) !== undefined)
    assert.isAbove(stages.length, 3)
    for (const { counted, name } of stages) {
      for (const none of [undefined, null, 5, "snapshot"]) assert.isUndefined(counted(none), name)
    }
  })
})

const asked = (policy: HttpPolicy.Options, name: keyof HttpPolicy.Options): object => {
  const options = policy[name]
  return typeof options === "object" ? options : {}
}

/** Over before anything was asked. */
const spent: Deadline.Deadline = { atMillis: -1, budgetMillis: 1 }

const always = { nextDoubleUnsafe: () => 0, nextIntUnsafe: () => 0 }
const never = { nextDoubleUnsafe: () => 0.999, nextIntUnsafe: () => 7 }

interface Sampling {
  readonly run: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E | Reason.Throttled, R>
}

const firstOf = (options: unknown): number => (options as { readonly first: number }).first

/** A stage as somebody would add it: it lets each second run through. */
const sampling = (around: "call" | "attempt"): AnyRow => ({
  around,
  why: "to see what a stage needs",
  refusals: [],
  title: `sampling of each ${around}`,
  keeps: "mode",
  make: (options) => {
    let runs = firstOf(options)
    let refused = 0
    return {
      run: <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E | Reason.Throttled, R> =>
        Effect.suspend((): Effect.Effect<A, E | Reason.Throttled, R> => {
          if (runs++ % 2 === 0) return self
          refused++
          return Effect.fail(new Reason.Throttled({ detail: `not sampled by the ${around}'s stage` }))
        }),
      snapshot: Effect.sync(() => ({ admitted: runs - refused, refused }))
    }
  },
  words: (options) => `sampling from ${firstOf(options)}`,
  counted: (snapshot) => snapshot as { readonly admitted: number; readonly refused: number },
  run: (state, self) => (state as Sampling).run(self)
})

describe.each(["call", "attempt"] as const)("a stage that is added around each %s", (around) => {
  const name = `samplingOf${around}`

  it.effect("needs its row alone: it is made, run, told of, described and listed", () => {
    // as its row in the table would be there
    Object.assign(order, { [name]: sampling(around) })
    const names = stageNames as Array<string>
    names.push(name)
    const policy = { ...HttpPolicy.make({}), [name]: { first: 0 } } as HttpPolicy.HttpPolicy
    const refused: Array<string> = []
    const observer = CallObserver.layer({
      refused: (_, reason) => refused.push("detail" in reason ? String(reason.detail) : reason._tag)
    })
    return upstream(
      { "*": [status(200)] },
      {},
      { policy }
    )((api) =>
      Effect.gen(function* () {
        assert.strictEqual(HttpPolicy.describe(api.policy), "sampling from 0")
        assert.isTrue("run" in (at(api.stages, name) as object))
        const spans = yield* traced(api.get("/a"))
        assert.strictEqual(spans.length, 2)
        const refusedSpans = yield* traced(
          Effect.gen(function* () {
            const error = yield* Effect.flip(api.get("/a"))
            assert.deepInclude(error, { attempts: 0, applied: "no" })
            assert.strictEqual(error.reason._tag, "Throttled")
          })
        )
        assert.deepStrictEqual(
          refusedSpans.map(({ name }) => name),
          ["stock GET /a"]
        )
        assert.include(JSON.stringify(refusedSpans[0]?.events), "holdfast.refused")
        assert.deepStrictEqual(refused, [`not sampled by the ${around}'s stage`])
        const snapshot = yield* api.snapshot
        const own = at(around === "call" ? snapshot : snapshot.endpoints[0], name)
        assert.deepStrictEqual(own, { admitted: 1, refused: 1 })
        yield* api.reload({ ...policy, [name]: { first: 1 } } as HttpPolicy.HttpPolicy)
        assert.strictEqual((yield* Effect.flip(api.get("/a"))).reason._tag, "Throttled")
        yield* api.reload({ ...policy, [name]: undefined } as HttpPolicy.HttpPolicy)
        yield* api.get("/a")
      })
    ).pipe(
      Effect.provide(observer),
      Effect.ensuring(
        Effect.sync(() => {
          names.splice(names.indexOf(name), 1)
          delete (order as { [name: string]: unknown })[name]
        })
      )
    )
  })
})

const at = (from: object | undefined, name: string): unknown => (from as { readonly [name: string]: unknown })[name]
