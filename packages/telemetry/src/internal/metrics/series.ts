/** The series of the metrics: how many there may be, and where observations beyond that go. */

import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import { type Attribute, catalogue, type Definition, type MetricName } from "./catalogue.ts"

/** The labels that tell one series of a metric from another. */
export type Labels = { readonly [A in Attribute]?: string }

/** The names of the metrics of some kinds. */
export type NamesOf<Kind extends Definition["kind"]> = {
  [N in MetricName]: (typeof catalogue)[N]["kind"] extends Kind ? N : never
}[MetricName]

export type SumName = NamesOf<"counter" | "upDownCounter">
export type HistogramName = NamesOf<"histogram">

/** A sum of one label set. Its owner adds to it, and the registry reads it when somebody exports. */
export class Sum {
  value = 0
  readonly isMonotonic: boolean

  constructor(isMonotonic: boolean) {
    this.isMonotonic = isMonotonic
  }

  state(): Metric.CounterState<number> {
    return { count: this.value, incremental: this.isMonotonic }
  }
}

/** An observation that a trace tells more of. */
export interface Exemplar {
  readonly value: number
  readonly traceId: string
  readonly spanId: string
  readonly epochMillis: number
}

/** A histogram's state in the registry, with the last exemplar of each bucket, the one above all boundaries at the end. */
export interface ExemplifiedState extends Metric.HistogramState {
  readonly exemplars?: ReadonlyArray<Exemplar | undefined>
}

/** A histogram of one label set. */
export class Distribution {
  private readonly boundaries: ReadonlyArray<number>
  private readonly counts: Array<number>
  private count = 0
  private sum = 0
  private min = Infinity
  private max = -Infinity
  private exemplars: Array<Exemplar | undefined> | undefined = undefined

  constructor(boundaries: ReadonlyArray<number>) {
    this.boundaries = boundaries
    this.counts = boundaries.map(() => 0)
  }

  /**
   * Takes what is no number, or below zero, for a fault of a clock: it would spoil the sum for ever. Gives the place of the bucket, or -1
   * for a value that was not taken.
   */
  record(value: number): number {
    if (!(value >= 0 && value < Infinity)) return -1
    const { boundaries, counts } = this
    const last = boundaries.length
    let low = 0
    let high = last
    while (low < high) {
      const middle = (low + high) >>> 1
      if (value <= (boundaries[middle] ?? Infinity)) high = middle
      else low = middle + 1
    }
    if (low < last) counts[low] = (counts[low] ?? 0) + 1
    this.count++
    this.sum += value
    if (value < this.min) this.min = value
    if (value > this.max) this.max = value
    return low
  }

  /** Keeps the facts of the last observation of a bucket. */
  exemplify(bucket: number, exemplar: Exemplar): void {
    this.exemplars ??= [...this.boundaries, Infinity].map(() => undefined)
    this.exemplars[bucket] = exemplar
  }

  /** Buckets are cumulative, as the registry has them. */
  state(): ExemplifiedState {
    let cumulated = 0
    const buckets = this.boundaries.map((boundary, index): [number, number] => {
      cumulated += this.counts[index] ?? 0
      return [boundary, cumulated]
    })
    const isEmpty = this.count === 0
    return {
      buckets,
      count: this.count,
      sum: this.sum,
      min: isEmpty ? 0 : this.min,
      max: isEmpty ? 0 : this.max,
      ...(this.exemplars === undefined ? undefined : { exemplars: [...this.exemplars] })
    }
  }
}

/** A series, and whether it stands for its label set alone. */
export interface Opened<S> {
  readonly series: S
  readonly isOwn: boolean
}

/** Whom series belong to: they leave with it. */
export interface Owner {
  /** One of the many that have no room: all that it asks for is the series for the rest. */
  readonly isBeyond: boolean
  /** Called with a function that takes a series out of the registry. */
  readonly holds: (remove: () => void) => void
  /** Called when a series was read. */
  readonly wasRead: () => void
}

/** The places for series of one metric, for figures that are registered elsewhere. */
export interface Room {
  /** Takes a place; `false` when all are taken. */
  readonly take: () => boolean
  readonly give: () => void
  /** Counts what has no place in the series for the rest. */
  readonly addToRest: (count: number) => void
}

/** The series of the metrics, each metric with a bound. */
export interface Table {
  /** The sum of this label set, or the one that takes what is beyond the bound. */
  readonly sum: (name: SumName, labels: Labels, owner: Owner) => Opened<Sum>
  readonly histogram: (name: HistogramName, labels: Labels, owner: Owner) => Opened<Distribution>
  /** The places of a metric, for counts that are kept elsewhere: they share its bound, and its series for the rest. */
  readonly room: (name: SumName) => Room
  /** From now on a series leaves the registry once it has been read. */
  readonly close: () => void
}

const nothing = (): void => {}

const nobody: Owner = { isBeyond: true, holds: nothing, wasRead: nothing }

const overflow: Labels = { "otel.metric.overflow": "true" }

/** The series of one metric. One that several owners have opened stays until the last of them leaves. */
class Family<S> {
  private readonly known = new Map<
    string,
    { readonly series: S; readonly owners: Array<Owner>; readonly remove: () => void }
  >()
  private rest: S | undefined = undefined
  /** Places that series registered elsewhere have taken. */
  private reserved = 0
  private readonly maxSeries: number
  private readonly register: (labels: Labels, owner: Owner) => readonly [S, Metric.Registration]

  constructor(maxSeries: number, register: (labels: Labels, owner: Owner) => readonly [S, Metric.Registration]) {
    this.maxSeries = maxSeries
    this.register = register
  }

  open(labels: Labels, owner: Owner): Opened<S> {
    const key = JSON.stringify(Object.entries(labels).sort())
    let known = this.known.get(key)
    if (known === undefined) {
      if (owner.isBeyond || this.isFull()) return { series: this.forTheRest(), isOwn: false }
      const [series, registration] = this.register(labels, owner)
      const remove = () => {
        this.known.delete(key)
        registration.remove()
      }
      known = { series, owners: [], remove }
      this.known.set(key, known)
    }
    const { owners, remove, series } = known
    if (!owners.includes(owner)) {
      owners.push(owner)
      owner.holds(() => {
        owners.splice(owners.indexOf(owner), 1)
        if (owners.length === 0) remove()
      })
    }
    return { series, isOwn: true }
  }

  reserve(): boolean {
    if (this.isFull()) return false
    this.reserved++
    return true
  }

  release(): void {
    this.reserved--
  }

  forTheRest(): S {
    this.rest ??= this.register(overflow, nobody)[0]
    return this.rest
  }

  /** The series for the rest is one of them. */
  private isFull(): boolean {
    return this.known.size + this.reserved >= this.maxSeries - 1
  }
}

/**
 * The series of a metric registry. A metric has at most `maxSeries` of them, the one for the rest among them, as
 * OpenTelemetry's SDK counts.
 *
 * They are registered with state of their own and not updated through the registry: an update there looks its key up in the
 * registry's map each time, and one that comes late would bring back a series that has left.
 */
export const makeTable = (
  context: Context.Context<never>,
  maxSeries: number,
  /** Called when any series was read. */
  wasRead: () => void = nothing
): Table => {
  const sums = new Map<SumName, Family<Sum>>()
  const histograms = new Map<HistogramName, Family<Distribution>>()
  let isClosed = false

  const register = <State>(
    metric: Metric.Metric<number, State>,
    series: { readonly state: () => State },
    owner: Owner
  ): Metric.Registration => {
    const registration = Metric.registerUnsafe(metric, context, {
      get: () => {
        // the last export comes when everything is closed, and is to have it
        if (isClosed) registration.remove()
        else {
          wasRead()
          owner.wasRead()
        }
        return series.state()
      },
      update: nothing,
      modify: nothing
    })
    return registration
  }

  const sumFamily = (name: SumName): Family<Sum> => {
    const { description, kind } = catalogue[name]
    const incremental = kind === "counter"
    return new Family(maxSeries, (labels, owner) => {
      const series = new Sum(incremental)
      const metric = Metric.counter(name, { description, attributes: attributesOf(name, labels), incremental })
      return [series, register(metric, series, owner)]
    })
  }

  const histogramFamily = (name: HistogramName): Family<Distribution> => {
    const { boundaries, description } = catalogue[name]
    return new Family(maxSeries, (labels, owner) => {
      const series = new Distribution(boundaries)
      const metric = Metric.histogram(name, { description, attributes: attributesOf(name, labels), boundaries })
      return [series, register(metric, series, owner)]
    })
  }

  return {
    sum: (name, labels, owner) => familyIn(sums, name, sumFamily).open(labels, owner),
    histogram: (name, labels, owner) => familyIn(histograms, name, histogramFamily).open(labels, owner),
    room: (name) => {
      const family = familyIn(sums, name, sumFamily)
      return {
        take: () => family.reserve(),
        give: () => family.release(),
        addToRest: (count) => void (family.forTheRest().value += count)
      }
    },
    close: () => {
      isClosed = true
    }
  }
}

const familyIn = <N, F>(families: Map<N, F>, name: N, make: (name: N) => F): F => {
  const known = families.get(name)
  if (known !== undefined) return known
  const family = make(name)
  families.set(name, family)
  return family
}

/** Exporters read the unit from an attribute. */
export const attributesOf = (name: MetricName, labels: Labels): Record<string, string> => ({
  ...labels,
  unit: catalogue[name].unit
})
