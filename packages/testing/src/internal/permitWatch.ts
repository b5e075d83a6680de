/** The permits of policies: of the upstreams of a registry, of upstreams that have left it, and of policies used alone. */

import * as Effect from "effect/Effect"
import * as StageOrder from "@holdfast/http/StageOrder"
import * as UpstreamRegistry from "@holdfast/http/UpstreamRegistry"
import type { Held } from "./leak.ts"

/** How many are held, by kind. */
export type Figures = ReadonlyMap<string, number>

/** The figures of a snapshot that must come back to their old values; everything else in one only counts up, or is a limit. */
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

const addStages = (sum: Map<string, number>, level: "call" | "attempt", of: string, snapshot: object): void => {
  for (const { around, isRemembering, name, title } of StageOrder.all) {
    if (around !== level || !isRemembering) continue
    // a snapshot has those of a stage's figures that are held under the names that they have everywhere
    add(sum, `${title} of ${of}`, (snapshot as { readonly [name: string]: Held | undefined })[name])
  }
}

const addUpstream = (sum: Map<string, number>, upstream: UpstreamRegistry.Snapshot): void => {
  const name = upstream.version === undefined ? upstream.name : `${upstream.name} ${upstream.version}`
  addStages(sum, "call", name, upstream)
  for (const endpoint of upstream.endpoints) addStages(sum, "attempt", `${name} at ${endpoint.origin}`, endpoint)
}

/** The permits that the given upstreams and probes hold. */
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

/** The kinds of which there are more than before, and by how much. */
export const risen = (before: Figures, after: Figures): ReadonlyArray<readonly [what: string, count: number]> =>
  [...after].flatMap(([what, count]) => {
    const more = count - (before.get(what) ?? 0)
    return more > 0 ? [[what, more] as const] : []
  })

/** A registry that hands on to another, and remembers upstreams that leave: nobody else could name their permits any more. */
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
