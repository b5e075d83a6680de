/** When the figures of living upstreams are read, and which series they have. */

import type * as PolicyRegistry from "@holdfast/core/PolicyRegistry"
import { type Registered, snapshotsOf } from "@holdfast/http/UpstreamRegistry"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import { catalogue } from "./catalogue.ts"
import { policyReadings } from "./policyReadings.ts"
import { attributesOf } from "./series.ts"
import { UpstreamCounters } from "./upstreamCounters.ts"
import type { Reading } from "./stageReadings.ts"
import { upstreamReadings } from "./upstreamReadings.ts"

/** A figure that is in the registry. */
interface Gauge {
  readonly registration: Metric.Registration
  value: number
  /** The round that it was last read in. */
  readIn: number
}

const nothing = (): void => {}

/**
 * The figures that living upstreams have, and policies that stand by themselves, in the metric registry: they are read from them when
 * somebody exports.
 */
export interface UpstreamGauges {
  /** Adds an upstream; gives the names that it has now. One that cannot be read is not added. */
  readonly add: (upstream: Registered) => ReadonlyArray<string>
  readonly addPolicies: (policies: PolicyRegistry.Registered) => void
  readonly remove: (left: Registered | PolicyRegistry.Registered) => void
  /**
   * Somebody exports. A client without a name has no figure before its first call, so that nobody would come to read one and
   * find the others.
   */
  readonly look: () => void
  readonly close: () => void
}

export interface GaugeOptions {
  readonly maxSeries: number
  /** How long counts of an upstream that has left are still there to be read. */
  readonly keepMillis: number
  /** A clock that only goes forward. */
  readonly nowMillis: () => number
}

/**
 * An export reads many figures, and one look at the upstreams serves them all: it holds until a figure is read a second time,
 * or the export's turn is over. Figures that a new policy adds or takes away change from the next export on.
 */
export const makeUpstreamGauges = (
  context: Context.Context<never>,
  { keepMillis, maxSeries, nowMillis }: GaugeOptions
): UpstreamGauges => {
  /** The reader of each upstream that lives. */
  const living = new Map<object, () => ReadonlyArray<Reading>>()
  const counters = new UpstreamCounters(keepMillis)
  let isClosed = false
  const gauges = new Map<string, Gauge>()
  const runSync = Effect.runSyncExitWith(context)
  let round = 0
  let isFresh = false

  const snapshotsNow = (upstream: Registered) => {
    const exit = runSync(snapshotsOf(upstream))
    return Exit.isSuccess(exit) ? exit.value : undefined
  }

  const readAll = (): Map<string, Reading> => {
    const found = new Map<string, Reading>()
    const noted = new Map<string, Set<object>>()
    const counts = new Map<string, number>()
    for (const [upstream, readings] of living) {
      for (const reading of readings()) {
        const key = JSON.stringify([reading.name, reading.labels])
        const isCounter = catalogue[reading.name].kind === "counter"
        const who = noted.get(key)
        if (who === undefined && !found.has(key)) {
          const count = counts.get(reading.name) ?? 0
          if (count >= maxSeries && !(isCounter && counters.has(key))) continue
          counts.set(reading.name, count + 1)
        }
        if (isCounter) {
          counters.note(key, upstream, reading)
          if (who === undefined) noted.set(key, new Set([upstream]))
          else who.add(upstream)
        }
        // of two gauges that are the same to a reader, the one that came first counts
        else if (!found.has(key)) found.set(key, reading)
      }
    }
    for (const [key, reading] of counters.readings(
      nowMillis(),
      (key, upstream) => noted.get(key)?.has(upstream) === true
    )) {
      found.set(key, reading)
    }
    return found
  }

  const refresh = (): void => {
    const found = readAll()
    for (const [key, { registration }] of gauges) {
      if (found.has(key)) continue
      registration.remove()
      gauges.delete(key)
    }
    for (const [key, reading] of found) {
      const known = gauges.get(key)
      if (known === undefined) gauges.set(key, register(reading))
      else known.value = reading.value
    }
    round++
  }

  const refreshForRound = (): void => {
    refresh()
    isFresh = true
    queueMicrotask(() => {
      isFresh = false
    })
  }

  const register = ({ labels, name, value }: Reading): Gauge => {
    const { description, kind } = catalogue[name]
    const attributes = attributesOf(name, labels)
    const current = (): number => {
      if (isClosed) {
        // the last export comes when everything is closed, and is to have what was counted
        gauge.registration.remove()
        return gauge.value
      }
      if (!isFresh || gauge.readIn === round) refreshForRound()
      gauge.readIn = round
      return gauge.value
    }
    const registration =
      kind === "counter"
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
    const gauge: Gauge = { registration, value, readIn: round }
    return gauge
  }

  const enter = (who: object, readings: () => ReadonlyArray<Reading>): void => {
    living.set(who, readings)
    isFresh = false
    refresh()
  }

  return {
    add: (upstream) => {
      const snapshots = snapshotsNow(upstream)
      if (snapshots === undefined) return []
      enter(upstream, () => snapshotsNow(upstream)?.flatMap(upstreamReadings) ?? [])
      return snapshots.map(({ name }) => name)
    },
    addPolicies: (policies) =>
      enter(policies, () => {
        const exit = runSync(policies.snapshot)
        return Exit.isSuccess(exit) ? policyReadings(exit.value) : []
      }),
    remove: (upstream) => {
      if (!living.has(upstream)) return
      // its counts up to now are not lost
      refresh()
      living.delete(upstream)
      refresh()
    },
    look: () => {
      if (!isFresh) refreshForRound()
    },
    close: () => {
      refresh()
      living.clear()
      refresh()
      isClosed = true
    }
  }
}
