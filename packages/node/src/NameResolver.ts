/**
 * How the names of hosts become addresses: a bounded cache before the system's resolver, name servers, or a look-up of your
 * own.
 *
 * **When to use**: to give a test names that no server knows (`layerStatic`), to ask other name servers than the system does,
 * to keep answers longer or shorter, or to see what is cached. Without any of it a transport makes a resolver of its own, as
 * `make()` does.
 *
 * **What it is not**: a DNS library. It knows addresses, no other records. Nor service discovery: a look-up of your own can be
 * that.
 *
 * **Gotchas**: the system's resolver gives no time to live, so its answers are kept for `timeToLive`. Its look-ups run on
 * the four threads that Node also reads files with, and cannot be called off: one that takes too long is left to its end, with
 * no second one for the same host beside it. Name servers that are asked directly know nothing of `/etc/hosts` and of search
 * domains, and are asked for absolute names only.
 *
 * A name that has no address is an answer, and kept for `negativeTimeToLive`. A resolver that is down gives no answer: its
 * last addresses are given on meanwhile, for up to `staleFor` (RFC 8767).
 *
 * ```ts
 * import { Effect } from "effect"
 * import { NameResolver } from "holdfast/node"
 *
 * const program = Effect.gen(function*() {
 *   const resolver = yield* NameResolver.Current
 *   return yield* resolver?.resolve("payments.internal") ?? Effect.succeed([])
 * })
 *
 * const names = NameResolver.layerStatic({ "payments.internal": ["127.0.0.1", "::1"] })
 * console.log(await Effect.runPromise(program.pipe(Effect.provide(names))))
 * // => [ { address: '127.0.0.1', family: 4 }, { address: '::1', family: 6 } ]
 * ```
 *
 * @since 0.1.0
 */

import * as dns from "node:dns"
import { isIP } from "node:net"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Deadline from "@holdfast/core/Deadline"
import { stackless } from "@holdfast/core/Stackless"
import type * as AddressOrder from "./internal/connect/addressOrder.ts"
import { distinct } from "./internal/connect/addressOrder.ts"
import * as Cache from "./internal/names/nameCache.ts"
import * as Sources from "./internal/names/nameSources.ts"
import * as Time from "@holdfast/core/Time"

/**
 * An address of a host, as Node takes it: `{ address: "127.0.0.1", family: 4 }`.
 *
 * @category models
 * @since 0.1.0
 */
export type Address = AddressOrder.Address

/**
 * A name could not be turned into addresses. `code` is Node's: `ENOTFOUND` and `ENODATA` say that the name has none,
 * `EAI_AGAIN`, `ESERVFAIL`, `ETIMEOUT` and others that nobody could tell, `ECANCELLED` that the resolver was closed.
 *
 * @category errors
 * @since 0.1.0
 */
export class NameResolutionError extends Schema.TaggedError<NameResolutionError>()("NameResolutionError", {
  host: Schema.String,
  code: Schema.String
}) {
  override get message() {
    return `${this.host}: the name could not be resolved [${this.code}]`
  }
}

/**
 * The answer of a look-up of your own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  readonly addresses: ReadonlyArray<Address>
  /** How long it may be kept, within the floor and the ceiling. Left out, it is kept for the `timeToLive` of the options. */
  readonly timeToLive?: Time.Input | undefined
}

/**
 * Where names are looked up: `"system"` is the resolver of every other program on the machine (`getaddrinfo`: `/etc/hosts`,
 * search domains, name servers); `servers` are asked directly, as `"10.0.0.2"`, `"10.0.0.2:5353"` or `"[fd00::2]:53"`; a
 * function looks up by itself, is interrupted at the `timeout`, and says by a code whether the name has no address or nobody
 * could tell.
 *
 * @category models
 * @since 0.1.0
 */
export type Source =
  | "system"
  | { readonly servers: ReadonlyArray<string> }
  | ((host: string) => Effect.Effect<Answer, NameResolutionError>)

/**
 * Where names are looked up, and how long the answers are kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Where names are looked up. Default `"system"`. */
  readonly source?: Source | undefined
  /** How long an answer without a time to live of its own is kept; zero looks up for each connection. Default 10 s. */
  readonly timeToLive?: Time.Input | undefined
  /** An answer is kept no shorter than this, even if it says less. Default 1 s. */
  readonly minTimeToLive?: Time.Input | undefined
  /** An answer is kept no longer than this, even if it says more. Default 5 min. */
  readonly maxTimeToLive?: Time.Input | undefined
  /** How long it is remembered that a name has no address. Default 1 s. */
  readonly negativeTimeToLive?: Time.Input | undefined
  /** For how long after its time to live an answer is given while the resolver is down; zero never does. Default 1 h. */
  readonly staleFor?: Time.Input | undefined
  /** How long a caller waits for a new answer where there is an old one. Default 1.8 s, as RFC 8767 §5 has it. */
  readonly staleWait?: Time.Input | undefined
  /** While old answers are given: how often the resolver is tried again, in the background. Default 5 s. */
  readonly recheckInterval?: Time.Input | undefined
  /**
   * A name that is asked for this long before its answer expires, or less, is looked up anew in the background; at most half
   * of the time to live. Default zero: never before.
   */
  readonly refreshAhead?: Time.Input | undefined
  /** Hosts that are remembered; one more puts out the one that was not asked for the longest. At least 1; default 1000. */
  readonly maxEntries?: number | undefined
  /** How long a caller waits for a look-up. Default 5 s. */
  readonly timeout?: Time.Input | undefined
}

/**
 * The defaults of the options.
 *
 * @category defaults
 * @since 0.1.0
 */
export const defaults = {
  source: "system",
  timeToLive: Duration.seconds(10),
  minTimeToLive: Duration.seconds(1),
  maxTimeToLive: Duration.minutes(5),
  negativeTimeToLive: Duration.seconds(1),
  staleFor: Duration.hours(1),
  staleWait: Duration.millis(1800),
  recheckInterval: Duration.seconds(5),
  refreshAhead: Duration.zero,
  maxEntries: 1000,
  timeout: Duration.seconds(5)
} as const satisfies Options

/**
 * The record of one host.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly host: string
  /** None when the state is `negative`. */
  readonly addresses: ReadonlyArray<Address>
  /**
   * `fresh` within its time to live; `stale` after it, to be given only while the resolver is down; `negative` when the name
   * has no address.
   */
  readonly state: "fresh" | "stale" | "negative"
  /** The code that said that the name has no address; only when the state is `negative`. */
  readonly code: string | undefined
  /** Since the look-up. */
  readonly age: Duration.Duration
  /** Until it is looked up anew; zero when it is stale. */
  readonly expiresIn: Duration.Duration
  /** Times that it was given without a wait. */
  readonly hits: number
  /** Callers that had to wait for a look-up of this host, since it is remembered. */
  readonly misses: number
}

/**
 * The state of a resolver at one instant.
 *
 * @category models
 * @since 0.1.0
 */
export interface Snapshot {
  /** From the host that was not asked for the longest to the one asked for last. */
  readonly entries: ReadonlyArray<Entry>
  /** Look-ups under way. */
  readonly lookUps: number
  /** Callers that were answered without a wait, since the resolver was made. */
  readonly hits: number
  /** Callers that had to wait for a look-up, since the resolver was made. */
  readonly misses: number
  /** Hosts that were put out for others, since the resolver was made. */
  readonly evictions: number
}

/**
 * Turns names into addresses.
 *
 * @category models
 * @since 0.1.0
 */
export interface NameResolver {
  /**
   * The addresses of a host, at least one, both families by turns. An IP address, with or without the brackets of a URL, stands for
   * itself and is never asked for. Callers that ask for one host at a time share one look-up; one that is interrupted leaves
   * it to the others.
   */
  readonly resolve: (host: string) => Effect.Effect<ReadonlyArray<Address>, NameResolutionError>
  /** The present records. Reading it changes nothing. */
  readonly snapshot: Effect.Effect<Snapshot>
}

/**
 * The resolver in force. `undefined`, the default, means that each transport makes one of its own, as `make()` does.
 *
 * @category references
 * @since 0.1.0
 */
export const Current: Context.Reference<NameResolver | undefined> = Context.Reference<NameResolver | undefined>(
  "@holdfast/node/NameResolver/Current",
  { defaultValue: () => undefined }
)

const millis = (name: string, given: Time.Input, isZeroFine: boolean): number => {
  const value = Time.millis(`NameResolver: ${name}`, given)
  if (!(value > 0 || (isZeroFine && value === 0)) || value === Infinity) {
    const wanted = isZeroFine ? "zero or longer" : "longer than zero"
    throw new RangeError(`NameResolver: ${name} must be ${wanted} and finite, got ${value}ms`)
  }
  return value
}

const limitsOf = (options: Options): Cache.Limits => {
  const maxEntries = options.maxEntries ?? defaults.maxEntries
  if (!(Number.isInteger(maxEntries) && maxEntries >= 1)) {
    throw new RangeError(`NameResolver: maxEntries must be a whole number of at least 1, got ${maxEntries}`)
  }
  const limits = {
    maxEntries,
    minTimeToLiveMillis: millis("minTimeToLive", options.minTimeToLive ?? defaults.minTimeToLive, true),
    maxTimeToLiveMillis: millis("maxTimeToLive", options.maxTimeToLive ?? defaults.maxTimeToLive, true),
    timeToLiveMillis: millis("timeToLive", options.timeToLive ?? defaults.timeToLive, true),
    negativeTimeToLiveMillis: millis(
      "negativeTimeToLive",
      options.negativeTimeToLive ?? defaults.negativeTimeToLive,
      true
    ),
    staleForMillis: millis("staleFor", options.staleFor ?? defaults.staleFor, true),
    recheckMillis: millis("recheckInterval", options.recheckInterval ?? defaults.recheckInterval, false),
    refreshAheadMillis: millis("refreshAhead", options.refreshAhead ?? defaults.refreshAhead, true)
  }
  if (limits.minTimeToLiveMillis > limits.maxTimeToLiveMillis) {
    throw new RangeError(
      `NameResolver: minTimeToLive must not be longer than maxTimeToLive, got ${limits.minTimeToLiveMillis}ms and ${limits.maxTimeToLiveMillis}ms`
    )
  }
  return limits
}

/** Name servers, asked in this order. */
const resolverOf = (servers: ReadonlyArray<string>, timeoutMillis: number): dns.Resolver => {
  if (servers.length === 0) throw new RangeError("NameResolver: servers must hold at least one, got none")
  // two rounds, of which the second waits twice as long: the whole is over when the caller gives up
  const resolver = new dns.Resolver({
    timeout: Math.max(1, Math.floor(timeoutMillis / (3 * servers.length))),
    tries: 2
  })
  for (const server of servers) {
    try {
      resolver.setServers([server])
    } catch {
      throw new RangeError(
        `NameResolver: servers must be addresses such as 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53, got ${server}`
      )
    }
  }
  resolver.setServers(servers)
  return resolver
}

/** An IP address that is written as a host. */
const literalOf = (host: string): Address | undefined => {
  const address = host.startsWith("[") && host.endsWith("]") ? host.slice(1, -1) : host
  const family = isIP(address)
  return family === 4 || family === 6 ? { address, family } : undefined
}

const failure = (host: string, code: string): NameResolutionError =>
  stackless(() => new NameResolutionError({ host, code }))

/** RFC 6761 §6.3: never a question to a name server, which might answer it with any address. */
const isLocalhost = (host: string): boolean => /(^|\.)localhost\.?$/.test(host)

const loopback: Sources.Found = {
  addresses: [
    { address: "127.0.0.1", family: 4 },
    { address: "::1", family: 6 }
  ],
  timeToLiveMillis: undefined
}

/** How a host is looked up, and the scope that ends all of it. */
interface Ready {
  readonly lookUp: (host: string) => Effect.Effect<Sources.Found, Sources.NotFound>
  readonly close: () => void
}

const readyOf = (source: Source, timeoutMillis: number): Ready => {
  // a look-up that cannot be called off goes on behind the callers that have given up, and its result is kept
  if (source === "system") return { lookUp: Sources.askSystem, close: () => {} }
  const bounded = Effect.timeoutOrElse({
    duration: timeoutMillis,
    orElse: () => Effect.fail<Sources.NotFound>({ code: "ETIMEOUT" })
  })
  if (typeof source === "object") {
    const resolver = resolverOf(source.servers, timeoutMillis)
    const ask = Sources.askServers(resolver)
    return {
      lookUp: (host) => (isLocalhost(host) ? Effect.succeed(loopback) : bounded(ask(host))),
      close: () => resolver.cancel()
    }
  }
  return {
    lookUp: (host) =>
      Effect.suspend(() => source(host)).pipe(
        Effect.map(({ addresses, timeToLive }): Sources.Found => ({
          addresses: distinct(addresses),
          timeToLiveMillis: timeToLive === undefined ? undefined : Time.millis("NameResolver: timeToLive", timeToLive)
        })),
        bounded
      ),
    close: () => {}
  }
}

/**
 * Makes a resolver with a cache of its own. Look-ups under way end with the scope, and their callers fail with
 * `ECANCELLED`.
 *
 * Throws a `RangeError` that names the option which is out of range.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Effect.Effect<NameResolver, never, Scope.Scope> => {
  const limits = limitsOf(options)
  const timeoutMillis = millis("timeout", options.timeout ?? defaults.timeout, false)
  const staleWaitMillis = Math.min(millis("staleWait", options.staleWait ?? defaults.staleWait, true), timeoutMillis)
  const source = options.source ?? defaults.source
  // tells of a bad server now, and not when the layer is built
  readyOf(source, timeoutMillis)
  return Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => makeCached(readyOf(source, timeoutMillis), limits, timeoutMillis, staleWaitMillis)),
      ({ close }) => close
    ),
    ({ resolver }) => resolver
  )
}

type Flight = Deferred.Deferred<Cache.Entry, NameResolutionError>

const makeCached = (
  source: Ready,
  limits: Cache.Limits,
  timeoutMillis: number,
  staleWaitMillis: number
): { readonly resolver: NameResolver; readonly close: Effect.Effect<void> } => {
  const state = Cache.makeNameCacheState(limits)
  const flights = new Map<string, Flight>()
  const fibers = new Set<Fiber.Fiber<Sources.Found, Sources.NotFound>>()
  let isClosed = false

  /** The consequences of the end of a look-up, for the cache and for the waiting callers. */
  const landed = (
    host: string,
    exit: Exit.Exit<Sources.Found, Sources.NotFound>,
    nowMillis: number
  ): Effect.Effect<Cache.Entry, NameResolutionError> => {
    if (exit._tag === "Success" && exit.value.addresses.length > 0) {
      const { addresses, timeToLiveMillis } = exit.value
      return Effect.succeed(Cache.answered(state, host, addresses, timeToLiveMillis, nowMillis))
    }
    const reason = exit._tag === "Success" ? undefined : exit.cause.reasons.find(({ _tag }) => _tag !== "Interrupt")
    if (reason?._tag === "Die") {
      Cache.failed(state, host, nowMillis)
      return Effect.die(reason.defect)
    }
    const code = exit._tag === "Success" ? "ENODATA" : reason?._tag === "Fail" ? reason.error.code : "ECANCELLED"
    if (Sources.isNegative(code)) Cache.missing(state, host, code, nowMillis)
    else Cache.failed(state, host, nowMillis)
    return Effect.fail(failure(host, code))
  }

  /** Starts a look-up that belongs to none of its callers: it goes on when they leave, and its answer is kept. */
  const start = (caller: Fiber.Fiber<unknown, unknown>, host: string): Flight => {
    const flight: Flight = Deferred.makeUnsafe()
    flights.set(host, flight)
    const clock = caller.getRef(Clock.Clock)
    const context = Context.add(caller.context, Deadline.Current, undefined)
    const fiber = Effect.runForkWith(context)(source.lookUp(host))
    fibers.add(fiber)
    fiber.addObserver((exit) => {
      fibers.delete(fiber)
      flights.delete(host)
      Deferred.doneUnsafe(flight, landed(host, exit, Deadline.nowMillisUnsafe(clock)))
    })
    return flight
  }

  /** Waits for the look-up of a host, no longer than anybody should; then an old answer is better than none. */
  const waitFor = (
    host: string,
    flight: Flight,
    clock: Clock.Clock
  ): Effect.Effect<ReadonlyArray<Address>, NameResolutionError> => {
    const nowMillis = (): number => Deadline.nowMillisUnsafe(clock)
    const hasOld = Cache.fallback(state, host, nowMillis()) !== undefined
    return Deferred.await(flight).pipe(
      Effect.timeoutOrElse({
        duration: hasOld ? staleWaitMillis : timeoutMillis,
        orElse: () =>
          Effect.suspend(() => {
            Cache.overdue(state, host, nowMillis())
            return Effect.fail(failure(host, "ETIMEOUT"))
          })
      }),
      Effect.catch((error) => {
        const old = Cache.fallback(state, host, nowMillis())
        return old === undefined ? Effect.fail(error) : Effect.succeed(old)
      }),
      Effect.map(Cache.take)
    )
  }

  const resolve: NameResolver["resolve"] = (name) => {
    const literal = literalOf(name)
    if (literal !== undefined) return Effect.succeed([literal])
    // Node takes the empty name for an address that is not there
    if (name === "") return Effect.fail(failure(name, "ENOTFOUND"))
    const host = name.toLowerCase()
    return Effect.withFiber((caller) => {
      if (isClosed) return Effect.fail(failure(host, "ECANCELLED"))
      const clock = caller.getRef(Clock.Clock)
      const decision = Cache.ask(state, host, Deadline.nowMillisUnsafe(clock))
      if (decision._tag === "Known") {
        const { known } = decision.entry
        const answer =
          "code" in known ? Effect.fail(failure(host, known.code)) : Effect.succeed(Cache.take(decision.entry))
        if (decision.lookUp) start(caller, host)
        return answer
      }
      const running = decision.lookUp ? undefined : flights.get(host)
      return waitFor(host, running ?? start(caller, host), clock)
    })
  }

  const snapshot: NameResolver["snapshot"] = Effect.clockWith((clock) => {
    const nowMillis = Deadline.nowMillisUnsafe(clock)
    return Effect.succeed({
      entries: [...state.entries.values()]
        .filter(({ goneAtMillis }) => nowMillis < goneAtMillis)
        .map((entry) => entryOf(entry, nowMillis)),
      lookUps: flights.size,
      hits: state.hits,
      misses: state.misses,
      evictions: state.evictions
    })
  })

  const close = Effect.suspend(() => {
    isClosed = true
    source.close()
    return Fiber.interruptAll(fibers)
  })

  return { resolver: { resolve, snapshot }, close }
}

const entryOf = (entry: Cache.Entry, nowMillis: number): Entry => {
  const { bornMillis, expiresAtMillis, hits, host, known, misses } = entry
  const isNegative = "code" in known
  return {
    host,
    addresses: isNegative ? [] : known.addresses,
    state: isNegative ? "negative" : nowMillis < expiresAtMillis ? "fresh" : "stale",
    code: isNegative ? known.code : undefined,
    age: Duration.millis(Math.max(0, nowMillis - bornMillis)),
    expiresIn: Duration.millis(Math.max(0, expiresAtMillis - nowMillis)),
    hits,
    misses
  }
}

/**
 * A resolver that everything below shares.
 *
 * Throws a `RangeError` as `make` does.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<never> => Layer.effect(Current, make(options))

/**
 * A resolver that knows these hosts and no others, gives their addresses in this order, and never asks anybody: for tests, and
 * for names that must not depend on a server. An unknown host fails with `ENOTFOUND`.
 *
 * Throws a `RangeError` that names a text that is no IP address, or a host without any.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerStatic = (hosts: { readonly [host: string]: ReadonlyArray<string> }): Layer.Layer<never> =>
  Layer.succeed(Current, makeStatic(hosts))

const makeStatic = (hosts: { readonly [host: string]: ReadonlyArray<string> }): NameResolver => {
  const keyOf = (host: string): string => host.toLowerCase().replace(/\.$/, "")
  const known = new Map<string, { readonly addresses: ReadonlyArray<Address>; hits: number }>()
  for (const [host, given] of Object.entries(hosts)) {
    if (given.length === 0) throw new RangeError(`NameResolver: ${host} must have at least one address, got none`)
    const addresses = given.map((address) => {
      const literal = literalOf(address)
      if (literal === undefined) {
        throw new RangeError(`NameResolver: the addresses of ${host} must be IP addresses, got ${address}`)
      }
      return literal
    })
    known.set(keyOf(host), { addresses, hits: 0 })
  }
  const counts = { hits: 0, misses: 0 }
  return {
    resolve: (host) =>
      Effect.suspend(() => {
        const literal = literalOf(host)
        if (literal !== undefined) return Effect.succeed([literal])
        const found = known.get(keyOf(host))
        if (found === undefined) {
          counts.misses++
          return Effect.fail(failure(host, "ENOTFOUND"))
        }
        counts.hits++
        found.hits++
        return Effect.succeed(found.addresses)
      }),
    snapshot: Effect.sync(() => ({
      entries: [...known].map(([host, { addresses, hits }]) => ({
        host,
        addresses,
        state: "fresh" as const,
        code: undefined,
        age: Duration.zero,
        expiresIn: Duration.infinity,
        hits,
        misses: 0
      })),
      lookUps: 0,
      hits: counts.hits,
      misses: counts.misses,
      evictions: 0
    }))
  }
}
