/** When the figures of living upstreams are read, and which series they have. */

import type * as PolicyRegistry from "@holdfast/core/PolicyRegistry"
import { type Registered, snapshotsOf } from "@holdfast/http/UpstreamRegistry"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import { catalogue } from "./catalogue.ts"
import { Holdings } from "./holdings.ts"
import { policyReadings } from "./policyReadings.ts"
import { type ReadSeries, ReadSeriesTable } from "./readSeries.ts"
import { attributesOf, type Room, type SumName } from "./series.ts"
import type { ReadName, Reading } from "./stageReadings.ts"
import { upstreamReadings } from "./upstreamReadings.ts"

const nothing = (): void => {}

/**
 * The figures that living upstreams have, and policies that stand by themselves, in the metric registry: they are read from them when
 * somebody exports, once when they come, and once when they leave.
 */
export interface UpstreamGauges {
  /** Adds an upstream; gives the names that it has now. One that cannot be read is not added. */
  readonly add: (upstream: Registered) => ReadonlyArray<string>
  readonly remove: (upstream: Registered) => void
  /** Adds policies. One that is registered several times under one name is read, and counted, once. */
  readonly addPolicies: (policies: PolicyRegistry.Registered) => void
  readonly removePolicies: (policies: PolicyRegistry.Registered) => void
  /**
   * Somebody exports. A client without a name has no figure before its first call, so that nobody would come to read one and
   * find the others.
   */
  readonly look: () => void
  readonly close: () => void
}

export interface GaugeOptions {
  /** Of one metric that is a gauge. */
  readonly maxSeries: number
  /** The places of a metric that counts. */
  readonly roomOf: (name: SumName) => Room
  /** How long counts of an upstream that has left are still there to be read. */
  readonly keepMillis: number
  /** A clock that only goes forward. */
  readonly nowMillis: () => number
}

/** The places of the series of a gauge. */
const makeGaugeRoom = (maxSeries: number): Room => {
  let taken = 0
  return {
    take: () => taken < maxSeries && ++taken > 0,
    give: () => void taken--,
    addToRest: nothing
  }
}

const policiesOf = ({ policies }: PolicyRegistry.Registered) =>
  Object.entries(policies) as ReadonlyArray<
    [kind: string, policy: { readonly snapshot?: Effect.Effect<unknown> } | undefined]
  >

/**
 * An export reads many figures, and one look at the upstreams serves them all: it holds until a figure is read a second time,
 * or the export's turn is over. Figures that a new policy adds or takes away change from the next export on.
 */
export const makeUpstreamGauges = (
  context: Context.Context<never>,
  { keepMillis, maxSeries, nowMillis, roomOf }: GaugeOptions
): UpstreamGauges => {
  /** The reader of each upstream, and of each policy, that lives. */
  const living = new Map<object, () => ReadonlyArray<Reading>>()
  const policies = new Holdings()
  const gaugeRooms = new Map<ReadName, Room>()
  const runSync = Effect.runSyncExitWith(context)
  let isClosed = false
  let round = 0
  let isFresh = false

  const kindOf = (name: ReadName) => catalogue[name].kind

  const roomIn = (name: ReadName): Room => {
    const known = gaugeRooms.get(name)
    if (known !== undefined) return known
    // a name that is no gauge is one that sums
    const room = kindOf(name) === "gauge" ? makeGaugeRoom(maxSeries) : roomOf(name as SumName)
    gaugeRooms.set(name, room)
    return room
  }

  const show = (series: ReadSeries): (() => void) => {
    const { labels, name } = series.reading
    const { description } = catalogue[name]
    const attributes = attributesOf(name, labels)
    const current = (): number => {
      // the last export comes when everything is closed, and is to have what was counted
      if (isClosed) series.remove?.()
      else {
        if (!isFresh || series.readIn === round) refresh()
        series.readIn = round
      }
      return series.value
    }
    const registration = series.isCounter
      ? Metric.registerUnsafe(Metric.counter(name, { description, attributes, incremental: true }), context, {
          get: () => ({ count: current(), incremental: true }),
          update: nothing,
          modify: nothing
        })
      : Metric.registerUnsafe(Metric.gauge(name, { description, attributes }), context, {
          get: () => ({ value: current() }),
          update: nothing,
          modify: nothing
        })
    return registration.remove.bind(registration)
  }

  const table = new ReadSeriesTable({ kindOf, roomOf: roomIn, show, keepMillis, nowMillis })

  const readAll = (): void => {
    for (const [who, readings] of living) table.note(who, readings())
    table.expire()
  }

  const refresh = (): void => {
    readAll()
    round++
    isFresh = true
    queueMicrotask(() => {
      isFresh = false
    })
  }

  const enter = (who: object, readings: () => ReadonlyArray<Reading>, now: ReadonlyArray<Reading>): void => {
    living.set(who, readings)
    isFresh = false
    table.expire()
    table.note(who, now)
  }

  const exit = (who: object): void => {
    const readings = living.get(who)
    if (readings === undefined) return
    living.delete(who)
    isFresh = false
    // its counts up to now are not lost
    table.note(who, readings())
    table.forget(who)
    table.expire()
  }

  const snapshotsNow = (upstream: Registered) => {
    const exit = runSync(snapshotsOf(upstream))
    return Exit.isSuccess(exit) ? exit.value : undefined
  }

  /** The figures of one of the policies of a name. */
  const policyReader = (name: string, kind: string, snapshot: Effect.Effect<unknown>) => (): ReadonlyArray<Reading> => {
    const exit = runSync(snapshot)
    return Exit.isSuccess(exit) ? policyReadings({ name, [kind]: exit.value }) : []
  }

  return {
    add: (upstream) => {
      const snapshots = snapshotsNow(upstream)
      if (snapshots === undefined) return []
      enter(
        upstream,
        () => snapshotsNow(upstream)?.flatMap(upstreamReadings) ?? [],
        snapshots.flatMap(upstreamReadings)
      )
      return snapshots.map(({ name }) => name)
    },
    remove: exit,
    addPolicies: (registered) => {
      const { name } = registered
      for (const [kind, policy] of policiesOf(registered)) {
        const snapshot = policy?.snapshot
        if (policy === undefined || snapshot === undefined) continue
        policies.take(name, policy, () => {
          const who = {}
          const readings = policyReader(name, kind, snapshot)
          enter(who, readings, readings())
          return () => exit(who)
        })
      }
    },
    removePolicies: (registered) => {
      for (const [, policy] of policiesOf(registered)) if (policy !== undefined) policies.give(registered.name, policy)
    },
    look: () => {
      if (!isFresh && !isClosed) refresh()
    },
    close: () => {
      readAll()
      isClosed = true
      for (const who of living.keys()) table.forget(who)
      living.clear()
    }
  }
}
