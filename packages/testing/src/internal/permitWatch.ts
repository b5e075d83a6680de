/** What policies hold: of the upstreams of a registry, of those that have left it, and of policies used alone. */

import * as Effect from "effect/Effect"
import * as UpstreamRegistry from "@holdfast/http/UpstreamRegistry"
import type { Held } from "./leak.ts"

/** How many are held, by what it is. */
export type Figures = ReadonlyMap<string, number>

/** The figures of a snapshot that must be back at what they were; everything else in one only counts up, or is a limit. */
const figures: { readonly [F in keyof Held]-?: string } = {
  inFlight: "in flight",
  queued: "queued",
  waiting: "waiting",
  callsInFlight: "calls in flight",
  retriesInFlight: "retries in flight",
  hedgesInFlight: "hedges in flight",
  probesOut: "probes out"
}

const names = Object.keys(figures) as ReadonlyArray<keyof Held> // the keys of a literal are all that it has

const add = (sum: Map<string, number>, owner: string, held: Held | undefined): void => {
  for (const name of names) {
    const count = held?.[name] ?? 0
    if (count > 0) sum.set(`${owner}, ${figures[name]}`, (sum.get(`${owner}, ${figures[name]}`) ?? 0) + count)
  }
}

const addUpstream = (sum: Map<string, number>, upstream: UpstreamRegistry.Snapshot): void => {
  const name = upstream.version === undefined ? upstream.name : `${upstream.name} ${upstream.version}`
  add(sum, `retry budget of ${name}`, upstream.budget)
  add(sum, `rate limit of ${name}`, upstream.rateLimit)
  add(sum, `single flight of ${name}`, upstream.singleFlight)
  for (const endpoint of upstream.endpoints) {
    const place = `${name} at ${endpoint.origin}`
    add(sum, `hedge of ${place}`, endpoint.hedge)
    add(sum, `circuit breaker of ${place}`, endpoint.breaker)
    add(sum, `bulkhead of ${place}`, endpoint.bulkhead)
    add(sum, `adaptive concurrency of ${place}`, endpoint.adaptiveConcurrency)
  }
}

/** What the given upstreams and probes hold. */
export const heldBy = (
  upstreams: Effect.Effect<ReadonlyArray<UpstreamRegistry.Snapshot>>,
  probes: { readonly [name: string]: Effect.Effect<Held> }
): Effect.Effect<Figures> =>
  Effect.gen(function* () {
    const sum = new Map<string, number>()
    for (const upstream of yield* upstreams) addUpstream(sum, upstream)
    for (const [name, probe] of Object.entries(probes)) add(sum, name, yield* probe)
    return sum
  })

/** What there is more of than there was, and by how much. */
export const risen = (before: Figures, after: Figures): ReadonlyArray<readonly [what: string, count: number]> =>
  [...after].flatMap(([what, count]) => {
    const more = count - (before.get(what) ?? 0)
    return more > 0 ? [[what, more] as const] : []
  })

/** A registry that hands on to another, and remembers those that leave: what they held, nobody else could say any more. */
export const remembering = (outer: UpstreamRegistry.UpstreamRegistry): UpstreamRegistry.UpstreamRegistry => {
  const gone = new Set<UpstreamRegistry.Registered>()
  return {
    ...outer,
    register: (upstream) =>
      Effect.andThen(
        // added first, so that it is closed last: it is never in both
        Effect.addFinalizer(() => Effect.sync(() => void gone.add(upstream))),
        outer.register(upstream)
      ),
    list: Effect.flatMap(outer.list, (living) =>
      Effect.map(Effect.forEach([...gone], UpstreamRegistry.snapshotsOf), (left) => [...living, ...left.flat()])
    )
  }
}
