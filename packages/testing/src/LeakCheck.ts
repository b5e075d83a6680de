/**
 * Asserts that nothing is left after a piece of code: no socket, server, timer, fiber or permit that was not there before.
 *
 * **When to use**: in the test of any code that opens or holds something: a client, a pool, a layer, a policy, an interruption.
 * It works under `TestClock` and without: its waits are in real time.
 *
 * **What it is not**: a heap profiler. It knows nothing of memory, files, child processes, workers and event listeners.
 *
 * Leftovers get a little time to go away, because a socket that is closed is gone a few turns later. The check looks again
 * after pauses that grow from 1 ms to 100 ms, and after `within` it dies with {@link LeaksFound}, whose message names the
 * leaks and where they came from, as far as that is known.
 *
 * **Gotchas**
 *
 * - Close everything inside that must be gone: a connection pool keeps its idle connections until its layer closes, so
 *   provide `NodeTransport.layer` inside the effect, and close scopes with `Effect.scoped`. With a pool that outlives the
 *   effect, `ignore: ["socket"]` leaves the rest of the check.
 * - The effect runs in a fiber of its own. Its children (`Effect.forkChild`) end with it as ever; only fibers that were
 *   detached, or forked into a scope that outlives it, are found. A fiber that was begun with `Effect.runFork`, or by a
 *   `ManagedRuntime`, is not of this effect and is not seen.
 * - Other work in the process does not disturb it: only sockets, servers and timers count that the effect itself made,
 *   directly or through its children. An accepted connection belongs to the code that started the server. If a library makes
 *   something for the effect in a callback that it registered before, that is not seen; `madeBy: "anyone"` sees it, with all that
 *   the rest of the process makes meanwhile. {@link snapshot} counts for the whole process too.
 * - Timers that do not keep the process alive (`timer.unref()`) are not leaks; neither are those of fake timers.
 * - The place of a socket is the stack at the moment of its making: for a pool that connects later, that names the pool, and the span.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { LeakCheck } from "holdfast/testing"
 *
 * const poll = Effect.acquireUseRelease(
 *   Effect.sync(() => setInterval(() => {}, 1_000)),
 *   () => Effect.sync(() => console.log("polled")),
 *   (timer) => Effect.sync(() => clearInterval(timer))
 * )
 * await Effect.runPromise(LeakCheck.around(poll)) // => polled
 *
 * const careless = Effect.sync(() => void setTimeout(() => {}, 300))
 * const [, leaks] = await Effect.runPromise(LeakCheck.find(careless, { within: "50 millis" }))
 * console.log(leaks.map(({ count, kind, what }) => `${count} ${kind}: ${what}`)) // => [ '1 timer: timer of 300ms' ]
 * ```
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { dual } from "effect/Function"
import * as Scheduler from "effect/Scheduler"
import { stackless } from "@holdfast/core/Stackless"
import * as UpstreamRegistry from "@holdfast/http/UpstreamRegistry"
import type { FiberWatch } from "./internal/fiberWatch.ts"
import { watchFibers } from "./internal/fiberWatch.ts"
import type { Held, Kind, Leak } from "./internal/leak.ts"
import { merged, pauseMillis, report } from "./internal/leakReport.ts"
import { heldBy, remembering, risen } from "./internal/permitWatch.ts"
import type { ResourceWatch } from "./internal/resourceWatch.ts"
import { openStandardStreams, watchResources } from "./internal/resourceWatch.ts"
import * as Time from "@holdfast/core/Time"

export type { Held, Kind, Leak } from "./internal/leak.ts"

/**
 * How a check looks.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long, in real time, leftovers may take to go away. Zero looks once. Default 500 ms. */
  readonly within?: Time.Input | undefined
  /** Leaks that do not count here: kinds, or any for which the predicate holds. Default none. */
  readonly ignore?: ReadonlyArray<Kind> | ((leak: Leak) => boolean) | undefined
  /**
   * Policies to look at, by the name that the report gives them: `{ ledger: bulkhead.snapshot }`. Those of upstreams are
   * looked at by themselves, as long as the effect does not provide a registry of its own.
   */
  readonly permits?: { readonly [name: string]: Effect.Effect<Held> } | undefined
  /**
   * Whose sockets, servers and timers count: the effect's own, or any that the process made from its start until the check
   * is over. Default `effect`.
   */
  readonly madeBy?: "effect" | "anyone" | undefined
  /** Whether to note where sockets, servers and timers are made, which costs each of them some microseconds. Default true. */
  readonly stacks?: boolean | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  within: Duration.millis(500),
  ignore: [],
  permits: {},
  madeBy: "effect",
  stacks: true
} as const satisfies Options

/**
 * The defect of a check that found something. Its message is the report.
 *
 * @category errors
 * @since 0.1.0
 */
export class LeaksFound extends Error {
  override readonly name = "LeaksFound"
  readonly leaks: ReadonlyArray<Leak>

  constructor(leaks: ReadonlyArray<Leak>, waited: Duration.Duration) {
    super(report(leaks, Duration.format(waited)))
    this.leaks = leaks
  }
}

interface Settings {
  readonly within: Duration.Duration
  readonly isLeak: (leak: Leak) => boolean
  readonly permits: { readonly [name: string]: Effect.Effect<Held> }
  readonly ofEveryone: boolean
  readonly stacks: boolean
}

const settingsOf = (options: Options = {}): Settings => {
  const within = Time.of("LeakCheck: within", options.within ?? defaults.within)
  const millis = Duration.toMillis(within)
  if (!(millis >= 0 && millis < Infinity)) {
    throw new RangeError(`LeakCheck: within must be finite and not negative, got ${String(options.within)}`)
  }
  const madeBy = options.madeBy ?? defaults.madeBy
  if (madeBy !== "effect" && madeBy !== "anyone") {
    throw new RangeError(`LeakCheck: madeBy must be "effect" or "anyone", got ${String(madeBy)}`)
  }
  const ignore: Options["ignore"] = options.ignore ?? defaults.ignore
  return {
    within,
    isLeak: typeof ignore === "function" ? (leak) => !ignore(leak) : ({ kind }) => !ignore.includes(kind),
    permits: options.permits ?? defaults.permits,
    ofEveryone: madeBy === "anyone",
    stacks: options.stacks ?? defaults.stacks
  }
}

/**
 * Runs an effect and gives its result, once nothing is left of it. Otherwise dies with {@link LeaksFound}; when the effect
 * has failed as well, the cause holds both. One that is interrupted is not checked.
 *
 * Throws a `RangeError` for an option that is out of range.
 *
 * @category checks
 * @since 0.1.0
 */
export const around: {
  (options?: Options): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  <A, E, R>(self: Effect.Effect<A, E, R>, options?: Options): Effect.Effect<A, E, R>
} = dual(
  (given) => Effect.isEffect(given[0]),
  <A, E, R>(self: Effect.Effect<A, E, R>, options?: Options): Effect.Effect<A, E, R> => {
    const settings = settingsOf(options)
    return Effect.flatMap(checked(self, settings), ([exit, leaks]): Effect.Effect<A, E> => {
      if (leaks.length === 0) return exit
      // its stack would be that of the check, which says nothing: the places are in the report
      const found = Cause.die(stackless(() => new LeaksFound(leaks, settings.within)))
      return Effect.failCause(Exit.isFailure(exit) ? Cause.combine(exit.cause, found) : found)
    })
  }
)

/**
 * The same without an error: gives the effect's result, and the leaks. An effect that fails, fails, whether it left
 * something or not.
 *
 * @category checks
 * @since 0.1.0
 */
export const find: {
  (
    options?: Options
  ): <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<readonly [value: A, leaks: ReadonlyArray<Leak>], E, R>
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: Options
  ): Effect.Effect<readonly [value: A, leaks: ReadonlyArray<Leak>], E, R>
} = dual(
  (given) => Effect.isEffect(given[0]),
  <A, E, R>(
    self: Effect.Effect<A, E, R>,
    options?: Options
  ): Effect.Effect<readonly [value: A, leaks: ReadonlyArray<Leak>], E, R> =>
    Effect.flatMap(checked(self, settingsOf(options)), ([exit, leaks]) =>
      Effect.map(exit, (value) => [value, leaks] as const)
    )
)

/**
 * How many there are of each countable thing: the resources that keep the process alive, by Node's name for them
 * (`TCPSocketWrap`, `TCPServerWrap`, `Timeout`, `PipeWrap`), and the permits in the upstreams of the registry in force.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  readonly [what: string]: number
}

/**
 * Counts, for the whole process. Looking changes nothing, and nothing has to be wrapped: for the begin and the end of a file
 * of tests, or of a run.
 *
 * ```ts
 * import { Effect } from "effect"
 * import { LeakCheck } from "holdfast/testing"
 *
 * const before = await Effect.runPromise(LeakCheck.snapshot)
 * const timer = setTimeout(() => {}, 1_000)
 * console.log(LeakCheck.difference(before, await Effect.runPromise(LeakCheck.snapshot))) // => { Timeout: 1 }
 * clearTimeout(timer)
 * console.log(LeakCheck.difference(before, await Effect.runPromise(LeakCheck.snapshot))) // => {}
 * ```
 *
 * @category counts
 * @since 0.1.0
 */
export const snapshot: Effect.Effect<Snapshot> = Effect.map(heldBy(UpstreamRegistry.list, {}), (held) => {
  openStandardStreams()
  const counts = new Map<string, number>()
  for (const kind of process.getActiveResourcesInfo()) {
    // It is gone in the next turn; Effect's own scheduler has one whenever it is asked.
    if (kind !== "Immediate") counts.set(kind, (counts.get(kind) ?? 0) + 1)
  }
  return Object.fromEntries([...counts, ...held])
})

/**
 * The kinds of which there are more, and by how many; empty when there are none.
 *
 * @category counts
 * @since 0.1.0
 */
export const difference = (before: Snapshot, after: Snapshot): Snapshot =>
  Object.fromEntries(risen(new Map(Object.entries(before)), new Map(Object.entries(after))))

/** Runs an effect, and gives its exit with its leaks. */
const checked = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  settings: Settings
): Effect.Effect<readonly [exit: Exit.Exit<A, E>, leaks: ReadonlyArray<Leak>], never, R> =>
  Effect.gen(function* () {
    const context = yield* Effect.context<R>()
    const registry = remembering(yield* UpstreamRegistry.Current)
    const held = heldBy(registry.list, settings.permits)
    const before = yield* held
    const scheduler = yield* Scheduler.Scheduler
    const sleeper = yield* sleepingBefore
    return yield* Effect.acquireUseRelease(
      Effect.sync(() => ({ resources: watchResources(settings), fibers: watchFibers(scheduler) })),
      (watches) =>
        Effect.gen(function* () {
          const exit = yield* Effect.exit(
            inItsOwnFiber(
              self,
              context.pipe(
                Context.add(Scheduler.Scheduler, watches.fibers.scheduler),
                Context.add(UpstreamRegistry.Current, registry)
              ),
              watches.resources
            )
          )
          if (Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)) return [exit, []] as const
          const look = Effect.map(held, (now) => leaksOf(watches, risen(before, now)).filter(settings.isLeak))
          return [exit, yield* settled(look, settings)] as const
        }),
      ({ fibers, resources }) =>
        Effect.suspend(() => {
          resources.stop()
          fibers.stop()
          return Fiber.interrupt(sleeper)
        })
    )
  })

const liveClock = Context.get(Context.empty(), Clock.Clock)

/**
 * A test clock starts a fiber and a timer of real time with the first sleep, to warn when nobody advances it. They belong to
 * the test and not to the effect that happens to sleep first, so the first to sleep is this one.
 */
const sleepingBefore: Effect.Effect<Fiber.Fiber<void>> = Effect.gen(function* () {
  const clock = yield* Clock.Clock
  const sleep = clock === liveClock ? Effect.void : clock.sleep(Duration.infinity)
  const sleeper = yield* Effect.forkChild(sleep, { startImmediately: true })
  yield* turn
  return sleeper
})

/** A fiber that begins in the context which is watched stays in it: Effect takes it up again whenever the fiber goes on. */
const inItsOwnFiber = <A, E, R>(
  self: Effect.Effect<A, E, R>,
  context: Context.Context<R>,
  resources: ResourceWatch
): Effect.Effect<A, E> =>
  Effect.callback<A, E>((resume) => {
    const fiber = resources.run(() => Effect.runForkWith(context)(self))
    fiber.addObserver((exit) => resume(exit))
    return Fiber.interrupt(fiber)
  })

const leaksOf = (
  { fibers, resources }: { readonly fibers: FiberWatch; readonly resources: ResourceWatch },
  permits: ReadonlyArray<readonly [what: string, count: number]>
): ReadonlyArray<Leak> => [
  ...merged([...resources.left(), ...fibers.left()]),
  ...permits.map(([what, count]): Leak => ({ kind: "permit", what, count, where: [] }))
]

/** Looks until nothing is left, or `within` is over. In real time, because a test clock closes no socket. */
const settled = (look: Effect.Effect<ReadonlyArray<Leak>>, { within }: Settings): Effect.Effect<ReadonlyArray<Leak>> =>
  Effect.gen(function* () {
    const end = performance.now() + Duration.toMillis(within)
    for (let looks = 0; ; looks++) {
      // Node tells of ended resources one turn later, and a fiber that was just forked has not begun.
      yield* turn
      const leaks = yield* look
      const millisLeft = end - performance.now()
      if (leaks.length === 0 || millisLeft <= 0) return leaks
      yield* pause(Math.min(pauseMillis(looks), Math.ceil(millisLeft)))
    }
  })

/** Work that was scheduled before has had its turn. */
const turn: Effect.Effect<void> = Effect.callback((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

const pause = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })
