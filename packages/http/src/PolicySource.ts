/**
 * Where a policy comes from when it is not code: the environment, a configuration, a file that changes while the program runs.
 *
 * **When to use**: {@link config} at the start; {@link layer} for one file of several upstreams; {@link follow} with {@link file}, or
 * with any stream of a control plane, to change how one living upstream is called without a restart.
 *
 * **What it is not**: a way to break a service from afar. A policy that is not right is refused as a whole and said so; the one
 * before it stays in force.
 *
 * **Gotchas**: calls that run end as they began. A stage keeps what it remembers (an open circuit, the budget, who is in flight,
 * what the server said), whatever of its options changes. Where several say something of one stage, the environment wins over a file,
 * and a file over the code. A `reload` by code holds until the file says something else of that upstream.
 *
 * ```ts
 * import { ConfigProvider, Effect } from "effect"
 * import { HttpPolicy, PolicySource } from "holdfast"
 *
 * const environment = ConfigProvider.fromEnv({
 *   env: {
 *     PAYMENTS_BASE_URL: "https://payments.internal", // not the policy's, and left alone
 *     PAYMENTS_DEADLINE: "5 seconds",
 *     PAYMENTS_RETRY_MAX_ATTEMPTS: "2",
 *     PAYMENTS_BREAKER: "false"
 *   }
 * })
 *
 * const policy = await Effect.runPromise(PolicySource.config("payments").parse(environment))
 * console.log(HttpPolicy.describe(policy))
 * // => deadline 5s → retry 2 attempts, exponential from 100ms to 10s, full jitter, budget 20% + 2/s → attempt timeout 2s 500ms
 * ```
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as JsonSchema from "effect/JsonSchema"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as Stream from "effect/Stream"
import * as Text from "effect/String"
import * as HttpPolicy from "./HttpPolicy.ts"
import * as HttpPolicyJson from "./HttpPolicyJson.ts"
import { Found, inLines, type Problems } from "./internal/policy/found.ts"
import { makePolicy } from "./internal/policy/policyData.ts"
import { type Entry, gatherPolicy } from "./internal/policy/policyEntries.ts"
import { nearestName } from "./internal/policy/nearestName.ts"
import * as PoliciesElsewhere from "./internal/policy/policiesElsewhere.ts"
import type { Reloadable } from "./internal/policy/policiesElsewhere.ts"
import { overruled, readUpstreams, withFile } from "./internal/policy/policyFile.ts"
import { upstreamsJsonSchema } from "./internal/policy/policyJsonSchema.ts"
import { madeOf, type Origin, originOf } from "./internal/policy/policyOrigin.ts"
import { readData } from "./internal/policy/policyReader.ts"
import { type Declared, policySchema } from "./internal/policy/policySchema.ts"
import { sameOptions } from "./internal/policy/sameOptions.ts"
import type { Upstream } from "./Upstream.ts"
import { oneLine } from "@holdfast/core/OneLine"
import * as Time from "@holdfast/core/Time"

export type { Declared, Preset } from "./internal/policy/policySchema.ts"

// ---------------------------------------------------------------------------------------------------------------------
// from a configuration
// ---------------------------------------------------------------------------------------------------------------------

/** The value under a name of a configuration, of any shape. */
type Tree = string | ReadonlyArray<Tree | undefined> | { readonly [name: string]: Tree }

// a value with parts is read first: an environment may have DEADLINE beside DEADLINE_HEADER, and only the parts can be listed
const Tree: Schema.Codec<Tree> = Schema.Union([
  Schema.Record(
    Schema.String,
    Schema.suspend((): Schema.Codec<Tree> => Tree)
  ),
  Schema.Array(Schema.UndefinedOr(Schema.suspend((): Schema.Codec<Tree> => Tree))),
  Schema.String
])

type Path = ReadonlyArray<string | number>

const entry = (path: Path, text: string): Entry => ({ path: path.map(String), text })

/** Every text in a tree, and every place that has parts, where a text may stand too. */
const walk = (tree: Tree | undefined, path: Path): { readonly texts: Array<Entry>; readonly places: Array<Path> } => {
  if (tree === undefined) return { texts: [], places: [] }
  if (Predicate.isString(tree)) return { texts: [entry(path, tree)], places: [] }
  const parts = Array.isArray(tree)
    ? tree.map((part: Tree | undefined, index) => walk(part, [...path, index]))
    : Object.entries(tree).map(([name, part]) => walk(part, [...path, name]))
  return {
    texts: parts.flatMap(({ texts }) => texts),
    places: [path, ...parts.flatMap(({ places }) => places)]
  }
}

/** All the texts below a path. */
const entriesAt = (path: Path): Config.Config<Option.Option<ReadonlyArray<Entry>>> =>
  Config.flatMap(Config.option(Config.schema(Tree, path)), (found) => {
    if (Option.isNone(found)) return Config.succeed(Option.none())
    const { places, texts } = walk(found.value, path)
    const besides = places.map((place) =>
      Config.map(
        Config.option(Config.schema(Schema.String, place)),
        Option.map((text) => entry(place, text))
      )
    )
    return Config.map(Config.all(besides), (more) => Option.some([...texts, ...more.flatMap(Option.toArray)]))
  })

const invalid = (problems: Problems): Schema.SchemaError =>
  new Schema.SchemaError(new SchemaIssue.InvalidValue({ message: inLines(problems) }))

const policyOf = (
  entries: ReadonlyArray<Entry>,
  depth: number,
  declared: Declared
): Result.Result<HttpPolicy.HttpPolicy, Problems> => {
  const found = new Found()
  const environment = readData(policySchema, gatherPolicy(entries, depth, found), found)
  if (!found.isEmpty) return Result.fail(found.problems)
  return Result.map(makePolicy({ ...declared, ...environment }, found), (policy) =>
    madeOf(policy, { code: declared, environment })
  )
}

/**
 * The policy of an upstream as a `Config`. An option is found under the upstream's name and its own, in the manner of whatever
 * provides: `payments.retry.maxAttempts` in an object, `PAYMENTS_RETRY_MAX_ATTEMPTS` in an environment. A stage, or the whole
 * policy, can also be JSON in one variable: `PAYMENTS='{"preset":"gentle"}'`, `PAYMENTS_OPERATIONS='{"POST /charges":…}'`.
 *
 * Options that are left out come from the preset; `PAYMENTS_PRESET` names it, and without it, it is the standard one. Other settings that
 * share the upstream's name are left alone, unless they look like an option that was misspelt. `declared` is what the code says: it
 * holds where the configuration says nothing, stage by stage, so that nothing needs to be configured at all.
 *
 * ```ts
 * import { ConfigProvider, Effect } from "effect"
 * import { PolicySource } from "holdfast"
 *
 * const environment = ConfigProvider.fromEnv({ env: { PAYMENTS_RETRY_MAX_ATEMPTS: "5", PAYMENTS_DEADLINE: "5000" } })
 * const error = await Effect.runPromise(Effect.flip(PolicySource.config("payments").parse(environment)))
 * console.log(error.message)
 * // => SchemaError(HttpPolicy: PAYMENTS_RETRY_MAX_ATEMPTS is not an option; did you mean maxAttempts?
 * // => HttpPolicy: PAYMENTS_DEADLINE must be a time in words, such as "2 seconds", or false, got "5000"; if these are milliseconds, write "5 seconds")
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const config = (upstream: string, declared: Declared = {}): Config.Config<HttpPolicy.HttpPolicy> => {
  // an environment has the name in capitals, and knows it by its parts
  const capitals = Text.configCase(upstream).split("_")
  return Config.all([entriesAt([upstream]), entriesAt(capitals)]).pipe(
    Config.mapEffect(([asWritten, inCapitals]) => {
      const [entries, depth] = Option.isSome(asWritten)
        ? [asWritten.value, 1]
        : [Option.getOrElse(inCapitals, () => []), capitals.length]
      return Effect.fromResult(
        Result.mapError(policyOf(entries, depth, declared), (problems) => new Config.ConfigError(invalid(problems)))
      )
    })
  )
}

// ---------------------------------------------------------------------------------------------------------------------
// while the program runs
// ---------------------------------------------------------------------------------------------------------------------

/**
 * The fate of a policy that a source gave: `Applied` is in force, with the warnings of {@link HttpPolicy.validate}; `Rejected` is
 * not, and the one before it still is.
 *
 * @category models
 * @since 0.1.0
 */
export type Change =
  | {
      readonly _tag: "Applied"
      readonly upstream: string
      readonly policy: HttpPolicy.HttpPolicy
      readonly warnings: ReadonlyArray<string>
    }
  | { readonly _tag: "Rejected"; readonly upstream: string; readonly error: Schema.SchemaError }

/** A logger that throws must not end what is said by it. */
const unharmed = (log: Effect.Effect<void>): Effect.Effect<void> => Effect.catchCause(log, () => Effect.void)

const warn = (text: string): Effect.Effect<void> => unharmed(Effect.logWarning(text))

/** Tells of a policy that is in force. */
const applied = Effect.fnUntraced(function* (
  upstream: Reloadable,
  policy: HttpPolicy.HttpPolicy,
  besides: ReadonlyArray<string> = []
) {
  const warnings = [...HttpPolicy.validate(policy).map(({ text }) => text), ...besides]
  yield* unharmed(Effect.logInfo(`${upstream.name} has a new policy: ${HttpPolicy.describe(policy)}`))
  for (const warning of warnings) yield* warn(`the new policy of ${upstream.name}: ${warning}`)
  return { _tag: "Applied", upstream: upstream.name, policy, warnings } as const
})

const rejected = ({ name }: Reloadable, error: Schema.SchemaError): Effect.Effect<Change> =>
  Effect.as(warn(`${name} keeps its policy; the new one is not right\n${error.message}`), {
    _tag: "Rejected",
    upstream: name,
    error
  } as const)

const apply = (upstream: Upstream, given: unknown): Effect.Effect<Change> =>
  (Predicate.isString(given) ? HttpPolicyJson.fromText(given) : HttpPolicyJson.fromJson(given)).pipe(
    Effect.matchEffect({
      onSuccess: (policy): Effect.Effect<Change> => Effect.andThen(upstream.reload(policy), applied(upstream, policy)),
      onFailure: (error) => rejected(upstream, error)
    })
  )

/**
 * Puts each policy that a source gives in force, and tells what became of it. An element is JSON text, or what it was parsed to.
 * One that is not right, or is longer or deeper than a policy may be (see {@link HttpPolicyJson.fromText}), changes nothing and is
 * logged as a warning. Run it as long as the upstream lives.
 *
 * ```ts
 * import { Effect, Layer, Logger, Stream } from "effect"
 * import { HttpPolicy, PolicySource, Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   const source = Stream.make('{ "deadline": "1 second", "retry": false, "breaker": false }', '{ "deadline": "soon" }')
 *   yield* PolicySource.follow(stock, source).pipe(
 *     Stream.runForEach((change) => Effect.sync(() => console.log(change._tag)))
 *   )
 *   console.log(HttpPolicy.describe(stock.policy))
 * })
 *
 * const transport = ScriptedTransport.layer({})
 * const quiet = Logger.layer([])
 * await Effect.runPromise(program.pipe(Effect.provide([Stock.layer.pipe(Layer.provide(transport)), quiet])))
 * // => Applied
 * // => Rejected
 * // => deadline 1s → attempt timeout 1s
 * ```
 *
 * @category combinators
 * @since 0.1.0
 */
export const follow = <E, R>(upstream: Upstream, source: Stream.Stream<unknown, E, R>): Stream.Stream<Change, E, R> =>
  Stream.mapEffect(source, (given) => apply(upstream, given))

/**
 * How a file is watched.
 *
 * @category models
 * @since 0.1.0
 */
export interface FileOptions {
  /** How often the file is read. Longer than zero; default 10 s. */
  readonly every?: Time.Input | undefined
}

/**
 * The text of a file: at once, and again whenever it has changed. It is read again and again, and not watched: what a
 * cluster mounts is exchanged below the name, which watchers miss. A file that cannot be read is logged as a warning, once, and
 * waited for.
 *
 * ```ts no-run
 * import { Effect, Layer, Stream } from "effect"
 * import { PolicySource, Upstream } from "holdfast"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * // needs a `FileSystem`, such as NodeFileSystem.layer of "@effect/platform-node"
 * const following = Layer.effectDiscard(
 *   Effect.gen(function*() {
 *     const changes = PolicySource.follow(yield* Stock, PolicySource.file("/etc/shop/stock.json", { every: "5 seconds" }))
 *     yield* Effect.forkScoped(Stream.runDrain(changes))
 *   })
 * )
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const file = (path: string, options: FileOptions = {}): Stream.Stream<string, never, FileSystem.FileSystem> => {
  const every = everyOf(options)
  return Stream.suspend(() =>
    Stream.fromEffectSchedule(reading(path), Schedule.spaced(every)).pipe(
      Stream.filter(Option.isSome),
      Stream.map(({ value }) => value),
      Stream.changes
    )
  )
}

const everyOf = (options: FileOptions): Duration.Duration => {
  const every = Time.of("PolicySource: every", options.every ?? Duration.seconds(10))
  if (Duration.toMillis(every) > 0) return every
  throw new RangeError(`PolicySource: every must be longer than zero, got ${String(options.every)}`)
}

/** The text of a file; nothing when it cannot be read, whatever the reason, which is told when it begins. */
const reading = (path: string): Effect.Effect<Option.Option<string>, never, FileSystem.FileSystem> => {
  let isUnreadable = false
  const unreadable = (why: string) => {
    const warning = isUnreadable
      ? Effect.void
      : Effect.flatMap(unread(path, why), (sentence) => warn(`${path} ${sentence}`))
    isUnreadable = true
    return Effect.as(warning, Option.none<string>())
  }
  return Effect.gen(function* () {
    const text = yield* (yield* FileSystem.FileSystem).readFileString(path)
    isUnreadable = false
    return Option.some(text)
  }).pipe(
    Effect.catch((error) => unreadable(whyUnread(error))),
    Effect.catchCause((cause) => unreadable(String(Cause.squash(cause))))
  )
}

/** The reason of a file system without the path, which is told anyway. */
const whyUnread = ({ reason }: Effect.Error<ReturnType<FileSystem.FileSystem["readFileString"]>>): string =>
  reason.description === undefined ? reason._tag : `${reason._tag}: ${reason.description}`

/** Says that a file cannot be read; a relative path means nothing without the directory that it is relative to. */
const unread = Effect.fnUntraced(function* (path: string, why: string) {
  const told = oneLine(`cannot be read: ${why}`)
  if (/^([/\\]|[A-Za-z]:)/.test(path)) return told
  const directory = yield* Effect.exit((yield* FileSystem.FileSystem).realPath("."))
  return directory._tag === "Success" ? `${told}; the working directory is ${directory.value}` : told
})

// ---------------------------------------------------------------------------------------------------------------------
// several upstreams in one file
// ---------------------------------------------------------------------------------------------------------------------

export type { Policies, Reloadable } from "./internal/policy/policiesElsewhere.ts"

/**
 * Where upstreams find, when they are built, what is said of their policies elsewhere. {@link layer} provides it from a file; a control
 * plane of your own can as well.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: typeof PoliciesElsewhere.Current = PoliciesElsewhere.Current

/**
 * A file of policies that cannot be read, or that is not right, when the program starts.
 *
 * @category errors
 * @since 0.1.0
 */
export class PolicyFileError extends Schema.TaggedError<PolicyFileError>()("PolicyFileError", {
  path: Schema.String,
  /** The faults, a sentence each. */
  problems: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return this.problems.map((problem) => `${this.path}: ${oneLine(problem)}`).join("\n")
  }
}

/** An upstream that follows the file. */
interface Follower {
  /** The policy of code and environment. */
  readonly own: HttpPolicy.HttpPolicy
  /** The declaration that was last put in force. */
  said: Declared | undefined
  problems: string | undefined
}

/**
 * The policies of several upstreams, from one file, for all upstreams below this layer:
 * `{ "upstreams": { "payments": { "deadline": "5s" }, "stock": { "retry": false } } }`. An upstream finds it when it is built, and has what the
 * file says in force before its first call. The file is read again and again, as {@link file} does, and what has changed in it is put
 * in force in the upstreams that live.
 *
 * Stage by stage, the environment (a policy of {@link config}) wins over the file, and the file over the code. A stage that the file does
 * not name, or no longer names, is as the code has it; `"preset"` in it takes the place of the code's preset.
 *
 * When the layer is built, a file that cannot be read, is not right or contradicts itself fails it, with all that is wrong. Later it
 * changes nothing: a file that is half written, or is gone, leaves everything as it was, and an upstream whose policy is wrong keeps its
 * last good one, while the others have theirs. Each is logged once; so is an upstream that the file names and that nobody has built by
 * the second reading.
 *
 * The layer stands below the upstreams. Beside or above them it does nothing, and says so in a warning: at the second reading, or when it
 * is released.
 *
 * ```ts no-run
 * import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
 * import { Layer } from "effect"
 * import { PolicySource, Upstream } from "holdfast"
 *
 * class Payments extends Upstream.Service<Payments>()("payments", { baseUrl: "https://payments.internal" }) {}
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const policies = PolicySource.layer("/etc/shop/policies.json", { every: "5s" })
 * const upstreams = Layer.mergeAll(Payments.layer, Stock.layer).pipe(
 *   Layer.provide(policies),
 *   Layer.provide(NodeFileSystem.layer)
 * )
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  path: string,
  options: FileOptions = {}
): Layer.Layer<never, PolicyFileError, FileSystem.FileSystem> => {
  const every = everyOf(options)
  return Layer.effect(Current, followFile(path, every))
}

const followFile = Effect.fnUntraced(function* (path: string, every: Duration.Duration) {
  const failed = (problems: Problems): PolicyFileError => new PolicyFileError({ path, problems })
  const files = yield* FileSystem.FileSystem
  let text = yield* Effect.catch(files.readFileString(path), (error) =>
    Effect.flatMap(unread(path, whyUnread(error)), (sentence) => Effect.fail(failed([sentence])))
  )
  let said = yield* Effect.mapError(Effect.fromResult(readUpstreams(text)), failed)
  const wrong = new Found()
  for (const [name, one] of said) {
    if (Result.isFailure(one)) for (const problem of one.failure) wrong.add(() => `${name}: ${problem}`)
  }
  if (!wrong.isEmpty) return yield* failed(wrong.problems)

  /**
   * For upstreams that are built while the present declaration is wrong: the last of each that could be read, and the last that was put
   * in force. One that can be read may contradict the code.
   */
  const readable = new Map<string, Declared>()
  const inForce = new Map<string, Declared>()
  const remember = () => {
    for (const last of [readable, inForce]) for (const name of last.keys()) if (!said.has(name)) last.delete(name)
    for (const [name, one] of said) if (Result.isSuccess(one)) readable.set(name, one.success)
  }
  remember()

  const followers = new Map<Reloadable, Follower>()
  const built = new Set<string>()
  const unknown = new Set<string>()

  const refresh = Effect.fnUntraced(function* (upstream: Reloadable, follower: Follower, last?: Declared) {
    const one = last === undefined ? (said.get(upstream.name) ?? Result.succeed({})) : Result.succeed(last)
    const origin = originOf(follower.own)
    const isNew = Result.isSuccess(one) && !sameOptions(one.success, follower.said ?? {})
    const made =
      Result.isFailure(one) || isNew ? Result.flatMap(one, (declared) => withFile(origin, declared)) : undefined
    if (made === undefined) {
      // it is again what it was before it was wrong
      follower.problems = undefined
    } else if (Result.isFailure(made)) {
      const problems = inLines(made.failure)
      if (follower.problems !== problems) yield* rejected(upstream, invalid(made.failure))
      follower.problems = problems
    } else if (Result.isSuccess(one)) {
      yield* upstream.reload(made.success)
      inForce.set(upstream.name, one.success)
      follower.said = one.success
      follower.problems = undefined
      const overruling = overruled(origin, one.success).map(
        (name) => `the environment says ${name} as well, and wins over the file`
      )
      yield* applied(upstream, made.success, overruling)
    }
  })

  /** The file's declarations of upstreams that nobody has built, as far as they were not reported yet. */
  const inVain = (): Problems => {
    for (const name of unknown) if (!said.has(name)) unknown.delete(name)
    const names = [...said.keys()].filter((name) => !built.has(name) && !unknown.has(name))
    for (const name of names) unknown.add(name)
    if (built.size === 0 && names.length > 0) {
      const first = names.slice(0, 5).join(", ")
      const more = names.length > 5 ? ` and ${names.length - 5} more` : ""
      return [
        oneLine(
          `says something of ${first}${more}, and no upstream has been built with it; ` +
            "PolicySource.layer stands below the upstreams: upstreams.pipe(Layer.provide(PolicySource.layer(path)))"
        )
      ]
    }
    const found = new Found()
    for (const name of names) {
      found.add(() => {
        const meant = nearestName(name, [...built])
        const hint = meant === undefined ? "" : `; did you mean ${meant}?`
        return oneLine(`says something of ${name}, and no upstream of this name has been built${hint}`)
      })
    }
    return found.problems
  }

  /** A part of a round whose defect is told: the next round tries again. */
  const surviving = (what: string, part: Effect.Effect<void>): Effect.Effect<void> =>
    Effect.catchCause(part, (cause) =>
      unharmed(Effect.logError(`${path}: ${what} failed, and is tried again at the next reading`, cause))
    )

  const read = reading(path)
  const look = Effect.gen(function* () {
    const found = yield* read
    if (Option.isSome(found) && found.value !== text) {
      text = found.value
      const fresh = readUpstreams(text)
      if (Result.isSuccess(fresh)) {
        said = fresh.success
        remember()
      } else yield* warn(`${path} is not right, and all keep their policies\n${inLines(fresh.failure)}`)
    }
    for (const [upstream, follower] of followers) {
      yield* surviving(`the policy of ${upstream.name}`, refresh(upstream, follower))
    }
    for (const problem of inVain()) yield* warn(`${path} ${problem}`)
  }).pipe(Effect.provideService(FileSystem.FileSystem, files))
  yield* Effect.addFinalizer(() =>
    Effect.suspend(() =>
      built.size > 0 ? Effect.void : Effect.forEach(inVain(), (problem) => warn(`${path} ${problem}`))
    )
  )
  yield* Effect.forkScoped(Effect.delay(Effect.repeat(surviving("the reading", look), Schedule.spaced(every)), every))

  /** The last declaration that could be put in force, where the present one cannot. */
  const lastGood = (upstream: Reloadable, origin: Origin): Declared | undefined => {
    const isGood = (one: Declared) => Result.isSuccess(withFile(origin, one))
    const present = said.get(upstream.name) ?? Result.succeed({})
    if (Result.isSuccess(present) && isGood(present.success)) return undefined
    return [readable.get(upstream.name), inForce.get(upstream.name)].find((one) => one !== undefined && isGood(one))
  }

  const adopt = (upstream: Reloadable) =>
    Effect.gen(function* () {
      const follower: Follower = { own: upstream.policy, said: undefined, problems: undefined }
      built.add(upstream.name)
      const last = lastGood(upstream, originOf(follower.own))
      if (last !== undefined) yield* refresh(upstream, follower, last)
      yield* refresh(upstream, follower)
      yield* Effect.acquireRelease(
        Effect.sync(() => followers.set(upstream, follower)),
        () => Effect.sync(() => followers.delete(upstream))
      )
    })
  return Current.of({ adopt })
})

/**
 * The JSON Schema (draft 2020-12) of the file of {@link layer}, which the package ships as `holdfast-upstreams.schema.json`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const jsonSchema = (): JsonSchema.JsonSchema => upstreamsJsonSchema()
