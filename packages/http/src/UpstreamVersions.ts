/**
 * Several versions of one upstream side by side: a new base URL, a new policy, a rotated certificate with its own pool. The new
 * one is loaded beside the old, calls are switched over in one step, and the old one is closed when its last call is done.
 *
 * **When to use**: for changes that `Upstream.reload` cannot make, because they are not the policy's: the upstream's address, its
 * transport, the headers of every request. And to go back at once when a change was wrong.
 *
 * **What it is not**: a load balancer. One version at a time is active, and each call belongs to one version from its start to
 * its end: its retries and hedges go where its first attempt went.
 *
 * **Gotchas**: each version has its own stages, so a new one begins with a closed circuit, an empty bulkhead and a fresh budget.
 * While both have calls in flight, the upstream sees the limits of both.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { UpstreamVersions } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* UpstreamVersions.make("stock", { version: "blue", baseUrl: "https://blue.internal" })
 *   yield* stock.load("green", { baseUrl: "https://green.internal" })
 *   yield* stock.switch("green")
 *   yield* stock.unload("blue")
 *   yield* stock.current.get("/items")
 *   const { requests } = yield* ScriptedTransport.seen
 *   console.log(requests.map((request) => request.origin))
 * })
 *
 * const script = ScriptedTransport.layer({ "*": [ScriptedTransport.json({})] })
 * await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(script)))
 * // => [ 'https://green.internal' ]
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type { CallError } from "@holdfast/core/CallError"
import { askingAs, whoAsks } from "./internal/streaming/asking.ts"
import type { CallSite } from "./internal/streaming/callSite.ts"
import type { Method, StreamedAnswer, StreamingMethod, StreamingMethods } from "./Request.ts"
import * as Transport from "./Transport.ts"
import * as Upstream from "./Upstream.ts"
import * as UpstreamRegistry from "./UpstreamRegistry.ts"
import * as Time from "@holdfast/core/Time"

/**
 * The parts of one version.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<out E = never> extends Omit<Upstream.Options, "version"> {
  /**
   * The transport of this version: a pool of its own, that is opened by `load` and closed by `unload`. Default: the
   * transport that all versions share.
   */
  readonly transport?: Layer.Layer<Transport.Transport, E> | undefined
}

/**
 * How long a version may take to finish its calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface DrainOptions {
  /** Default 30 s, which is how long a call of the standard policy may take. */
  readonly within?: Time.Input | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = { within: Duration.seconds(30) } as const satisfies DrainOptions

/**
 * Why a version could not be loaded, switched to, drained or unloaded.
 *
 * - `unknown`: no version has this name
 * - `loaded`: there is one with this name already
 * - `loading`: its transport is being built
 * - `unloading`: it is on its way out
 * - `active`: it gets the new calls, so it never runs dry
 * - `busy`: it still had calls in flight when the time was over
 *
 * @category schemas
 * @since 0.1.0
 */
export const Why = Schema.Literals(["unknown", "loaded", "loading", "unloading", "active", "busy"])

const inWords: { readonly [W in typeof Why.Type]: string } = {
  unknown: "is not loaded",
  loaded: "is loaded already",
  loading: "is still being loaded",
  unloading: "is being unloaded",
  active: "is the active one; switch to another first",
  busy: "still had calls in flight when the time to drain was over"
}

/**
 * A change of versions that was refused. Nothing was changed by it.
 *
 * @category errors
 * @since 0.1.0
 */
export class VersionError extends Schema.TaggedError<VersionError>()("VersionError", {
  upstream: Schema.String,
  version: Schema.String,
  why: Why,
  /** Calls of this version that were in flight. */
  inFlight: Schema.Int,
  /** The versions that were loaded. */
  loaded: Schema.Array(Schema.String)
}) {
  override get message(): string {
    const figures = this.why === "busy" ? ` (${this.inFlight})` : ""
    return (
      `Upstream ${this.upstream}: version ${JSON.stringify(this.version)} ${inWords[this.why]}${figures}; ` +
      `loaded: ${this.loaded.map((version) => JSON.stringify(version)).join(", ")}`
    )
  }
}

/**
 * The state of a loaded version at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Loaded {
  readonly version: string
  /** Whether new calls go to it. */
  readonly isActive: boolean
  /** Calls through `current` that began here and have not ended. */
  readonly inFlight: number
  readonly snapshot: UpstreamRegistry.Snapshot
}

/**
 * The versions of one upstream.
 *
 * @category models
 * @since 0.1.0
 */
export interface UpstreamVersions {
  readonly name: string
  /**
   * The upstream to call. A call goes to the version that is active when it begins, and stays there; `policy`, `stages`,
   * `snapshot` and `reload` are the active version's.
   */
  readonly current: Upstream.Upstream
  /** Makes another version ready beside the present ones. It gets no calls yet. */
  readonly load: <E = never>(
    version: string,
    options: Options<E> & Upstream.Where
  ) => Effect.Effect<void, E | VersionError>
  /** Sends the calls from now on to a version; those in flight finish where they began. To the active one is no change. */
  readonly switch: (version: string) => Effect.Effect<void, VersionError>
  /** Waits until a version that is not active has no calls in flight. */
  readonly drain: (version: string, options?: DrainOptions) => Effect.Effect<void, VersionError>
  /**
   * Drains a version, takes it out of the registry, and closes its transport. When it does not run dry in time, it stays as it
   * is, and the error says how many calls are left. A caller that goes away while it drains leaves it loaded, too.
   */
  readonly unload: (version: string, options?: DrainOptions) => Effect.Effect<void, VersionError>
  /** The versions that there are, in the order in which they were loaded. Looking changes nothing. */
  readonly list: Effect.Effect<ReadonlyArray<Loaded>>
}

/** A version that is ready. */
interface Version {
  readonly name: string
  readonly upstream: Upstream.Upstream
  readonly scope: Scope.Closeable
  inFlight: number
  isUnloading: boolean
  /** A caller that waits for the last call to end, or for news that it never will. */
  readonly waiting: Set<() => void>
}

/** The state that the versions of one upstream share. */
interface State {
  readonly upstream: string
  /** `undefined` as long as it is being loaded. */
  readonly versions: Map<string, Version | undefined>
  active: Version
}

const versionError = (state: Pick<State, "upstream" | "versions">, version: string, why: typeof Why.Type) =>
  new VersionError({
    upstream: state.upstream,
    version,
    why,
    inFlight: state.versions.get(version)?.inFlight ?? 0,
    loaded: [...state.versions].flatMap(([name, ready]) => (ready === undefined ? [] : [name]))
  })

/** A version that may be changed now. */
const found = (state: State, version: string): Effect.Effect<Version, VersionError> =>
  Effect.suspend(() => {
    const ready = state.versions.get(version)
    if (ready === undefined) {
      return Effect.fail(versionError(state, version, state.versions.has(version) ? "loading" : "unknown"))
    }
    return ready.isUnloading ? Effect.fail(versionError(state, version, "unloading")) : Effect.succeed(ready)
  })

const foundIdle = (state: State, version: string): Effect.Effect<Version, VersionError> =>
  Effect.flatMap(found(state, version), (ready) =>
    ready === state.active ? Effect.fail(versionError(state, version, "active")) : Effect.succeed(ready)
  )

const wake = (version: Version): void => {
  for (const resume of version.waiting) resume()
}

/** Runs a call on the version that is active now, which counts it until it has ended in any way. */
const counted = <A, E, R>(
  state: State,
  call: (upstream: Upstream.Upstream) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let version: Version | undefined
    // counted inside of the effect that counts it back, so that no interruption can come between the two
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        version = state.active
        version.inFlight++
        return call(version.upstream)
      }),
      () => {
        if (version !== undefined && --version.inFlight === 0) wake(version)
        return undefined
      }
    )
  })

/** The same for a call whose answer is streamed, which is counted until its body has ended. */
const countedStream = <A, E, R>(
  state: State,
  site: CallSite,
  call: (upstream: Upstream.Upstream) => Effect.Effect<A, E, R>
): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    let version: Version | undefined
    const leave = (): void => {
      const left = version
      version = undefined
      if (left !== undefined && --left.inFlight === 0) wake(left)
    }
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        const { upstream } = (version = state.active)
        version.inFlight++
        return askingAs({ site, onEnded: leave }, () => call(upstream))
      }),
      (exit) => {
        if (Exit.isFailure(exit)) leave()
        return undefined
      }
    )
  })

/** Waits until a version has no calls in flight. */
const drained = (
  state: State,
  version: Version,
  options: DrainOptions | undefined
): Effect.Effect<void, VersionError> =>
  Effect.suspend(() => {
    const isOver = (): Effect.Effect<void, VersionError> | undefined => {
      if (version === state.active) return Effect.fail(versionError(state, version.name, "active"))
      return version.inFlight === 0 ? Effect.void : undefined
    }
    let look: (() => void) | undefined
    return Effect.callback<void, VersionError>((resume) => {
      look = () => {
        const over = isOver()
        if (over !== undefined) resume(over)
      }
      version.waiting.add(look)
      // asked when the end of a call can be told: a fiber may give way to others in between
      look()
    }).pipe(
      Effect.timeoutOrElse({
        duration: Time.of("UpstreamVersions: within", options?.within ?? defaults.within),
        orElse: () => Effect.fail(versionError(state, version.name, "busy"))
      }),
      Effect.onExit(() => Effect.sync(() => void (look && version.waiting.delete(look))))
    )
  })

/** The upstream whose calls go to the active version. */
const makeCurrent = (state: State): Upstream.Upstream => {
  const method = (verb: "get" | "head" | "post" | "put" | "patch" | "delete"): Method =>
    // path and options are handed on as they came, and only the type of `Method` says their result
    ((...request: Parameters<Untyped>) =>
      counted(state, (upstream) => (upstream[verb] as Untyped)(...request))) as Method
  const streaming = (verb: keyof StreamingMethods): StreamingMethod => {
    const helper = (...request: Parameters<UntypedStreaming>) => {
      const { site } = whoAsks(helper)
      // path and options are handed on as they came
      return countedStream(state, site, ({ streaming }) => (streaming[verb] as UntypedStreaming)(...request))
    }
    return helper
  }
  return {
    name: state.upstream,
    get policy() {
      return state.active.upstream.policy
    },
    get stages() {
      return state.active.upstream.stages
    },
    stagesAt: (origin) => state.active.upstream.stagesAt(origin),
    snapshot: Effect.suspend(() => state.active.upstream.snapshot),
    reload: (policy) => Effect.suspend(() => state.active.upstream.reload(policy)),
    get: method("get"),
    head: method("head"),
    post: method("post"),
    put: method("put"),
    patch: method("patch"),
    delete: method("delete"),
    streaming: {
      get: streaming("get"),
      post: streaming("post"),
      put: streaming("put"),
      patch: streaming("patch"),
      delete: streaming("delete")
    }
  }
}

/** A request helper, its types forgotten. */
type Untyped = (path: string, options?: object) => Effect.Effect<unknown, CallError, unknown>

/** A streaming helper, likewise. */
type UntypedStreaming = (path: string, options?: object) => Effect.Effect<StreamedAnswer, CallError, Scope.Scope>

/**
 * Makes an upstream with its first version, which is active. All versions close with the scope.
 *
 * To have it as a service, give `current` to the class that `Upstream.Service` makes:
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Upstream, UpstreamVersions } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", {}) {}
 *
 * const layer = Layer.effect(
 *   Stock,
 *   Effect.map(UpstreamVersions.make("stock", { version: "1", baseUrl: "https://stock.internal" }), (versions) => versions.current)
 * )
 *
 * const script = ScriptedTransport.layer({ "*": [ScriptedTransport.status(200, { body: "3 left" })] })
 * const program = Stock.use((stock) => stock.get("/items")).pipe(Effect.provide(Layer.provide(layer, script)))
 * console.log((await Effect.runPromise(program)).text) // => 3 left
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E = never>(
  name: string,
  first: Options<E> & Upstream.Where & { readonly version: string }
): Effect.Effect<UpstreamVersions, E, Transport.Transport | Scope.Scope> =>
  Effect.gen(function* () {
    const scope = yield* Effect.scope
    const shared = yield* Transport.Transport
    const registry = yield* UpstreamRegistry.Current
    const versions = new Map<string, Version | undefined>()

    const build = <E2>(
      version: string,
      { transport, ...options }: Options<E2> & Upstream.Where,
      ofVersion: Scope.Closeable
    ): Effect.Effect<Version, E2> =>
      Effect.gen(function* () {
        // a memo map of its own: the same layer given twice is two pools, or a rotated one would be the old one
        const carries =
          transport === undefined
            ? shared
            : Context.get(
                yield* Layer.buildWithMemoMap(transport, Layer.makeMemoMapUnsafe(), ofVersion),
                Transport.Transport
              )
        const upstream = yield* Effect.suspend(() => Upstream.make(name, { ...options, version })).pipe(
          Effect.provideService(Transport.Transport, carries),
          Effect.provideService(UpstreamRegistry.Current, registry),
          Effect.provideService(Scope.Scope, ofVersion)
        )
        return { name: version, upstream, scope: ofVersion, inFlight: 0, isUnloading: false, waiting: new Set() }
      })

    /** Builds a version in a scope of its own, or leaves no trace of it. */
    const loaded = <E2>(version: string, options: Options<E2> & Upstream.Where): Effect.Effect<Version, E2> =>
      Effect.uninterruptibleMask((restore) =>
        Effect.gen(function* () {
          versions.set(version, undefined)
          const ofVersion = yield* Scope.fork(scope)
          const ready = yield* Effect.onExit(restore(build(version, options, ofVersion)), (exit) => {
            if (Exit.isSuccess(exit)) return Effect.void
            versions.delete(version)
            return Scope.close(ofVersion, exit)
          })
          versions.set(version, ready)
          return ready
        })
      )

    const { version, ...options } = first
    const state: State = { upstream: name, versions, active: yield* loaded(version, options) }

    return {
      name,
      current: makeCurrent(state),
      load: <E2 = never>(version: string, options: Options<E2> & Upstream.Where) =>
        Effect.suspend((): Effect.Effect<void, E2 | VersionError> => {
          if (!versions.has(version)) return Effect.asVoid(loaded(version, options))
          return Effect.fail(versionError(state, version, versions.get(version) === undefined ? "loading" : "loaded"))
        }),
      switch: (version) =>
        Effect.map(found(state, version), (next) => {
          state.active = next
          // a caller that waits for it to run dry would wait for ever now
          wake(next)
        }),
      drain: (version, options) => Effect.flatMap(foundIdle(state, version), (idle) => drained(state, idle, options)),
      unload: (version, options) =>
        Effect.uninterruptibleMask((restore) =>
          Effect.gen(function* () {
            const idle = yield* foundIdle(state, version)
            idle.isUnloading = true
            yield* Effect.onExit(restore(drained(state, idle, options)), (exit) =>
              Effect.sync(() => {
                if (Exit.isFailure(exit)) idle.isUnloading = false
              })
            )
            versions.delete(version)
            yield* Scope.close(idle.scope, Exit.void)
          })
        ),
      list: Effect.suspend(() =>
        Effect.forEach(
          [...versions.values()].filter((version) => version !== undefined),
          (version): Effect.Effect<Loaded> =>
            Effect.map(version.upstream.snapshot, (snapshot) => ({
              version: version.name,
              isActive: version === state.active,
              inFlight: version.inFlight,
              snapshot
            }))
        )
      )
    } satisfies UpstreamVersions
  })
