/** The series of figures that are read, the bound of their number, and the series for the rest. */

import type { catalogue } from "./catalogue.ts"
import type { Room } from "./series.ts"
import type { ReadName, Reading } from "./stageReadings.ts"

/** One figure: one metric, one label set. */
export class ReadSeries {
  readonly key: string
  readonly reading: Reading
  readonly isCounter: boolean
  /** The latest value of each upstream or policy that has this figure, in the order in which they came. */
  readonly latest = new Map<object, number>()
  /** Of a counter: all that was ever counted. */
  private total = 0
  /** Of a counter: how much of that went to the series for the rest, while this one had no place. */
  private inRest = 0
  /** Takes it out of the registry; none while it has no place there. */
  remove: (() => void) | undefined = undefined
  leftAtMillis = 0
  /** The round that it was last read in. */
  readIn = -1

  constructor(key: string, reading: Reading, isCounter: boolean) {
    this.key = key
    this.reading = reading
    this.isCounter = isCounter
  }

  /**
   * A counter only goes up: an upstream that counts anew, because its policy was reloaded or because it came back, goes on where it
   * was, and two of one name are counted together.
   */
  note(whose: object, value: number): void {
    const last = this.latest.get(whose) ?? 0
    this.total += value >= last ? value - last : value
    this.latest.set(whose, value)
  }

  /** Its counts for the series for the rest, since the last time. */
  spill(): number {
    const more = this.total - this.inRest
    this.inRest = this.total
    return more
  }

  /** Of two gauges that are the same to a reader, the one that came first counts. */
  get value(): number {
    if (this.isCounter) return this.total - this.inRest
    for (const value of this.latest.values()) return value
    return 0
  }
}

export interface ReadSeriesOptions {
  readonly kindOf: (name: ReadName) => (typeof catalogue)[ReadName]["kind"]
  readonly roomOf: (name: ReadName) => Room
  /** Puts it into the registry; gives what takes it out. */
  readonly show: (series: ReadSeries) => () => void
  /** How long a counter that nobody adds to any more is kept. */
  readonly keepMillis: number
  readonly nowMillis: () => number
}

/**
 * Every series, by upstreams and policies. One that comes or leaves costs as much as it has figures, whatever else is there.
 *
 * A counter without a place is counted in the series for the rest; a gauge without one is not shown, since the values of many make no
 * value of one. A place that becomes free goes to the one that waited longest, which counts from there on.
 */
export class ReadSeriesTable {
  private readonly options: ReadSeriesOptions
  private readonly known = new Map<string, ReadSeries>()
  private readonly waiting = new Map<ReadName, Set<ReadSeries>>()
  private readonly held = new Map<object, ReadonlySet<ReadSeries>>()
  /** Counters that nobody adds to, in the order in which they were left. */
  private readonly leaving = new Set<ReadSeries>()

  constructor(options: ReadSeriesOptions) {
    this.options = options
  }

  /** All the figures that something has now. It leaves the series of figures that it has no more. */
  note(whose: object, readings: ReadonlyArray<Reading>): void {
    const values = new Map<ReadSeries, number>()
    for (const reading of readings) {
      const series = this.seriesOf(reading)
      const before = values.get(series)
      if (before === undefined) values.set(series, reading.value)
      else if (series.isCounter) values.set(series, before + reading.value)
    }
    const had = this.held.get(whose)
    this.held.set(whose, new Set(values.keys()))
    for (const [series, value] of values) {
      series.note(whose, value)
      this.leaving.delete(series)
      this.place(series)
    }
    if (had !== undefined) for (const series of had) if (!values.has(series)) this.leave(whose, series)
  }

  /** Something leaves. Its counts stay. */
  forget(whose: object): void {
    const had = this.held.get(whose) ?? []
    this.held.delete(whose)
    for (const series of had) this.leave(whose, series)
  }

  /** Counters that were kept long enough leave. */
  expire(): void {
    const { keepMillis, nowMillis } = this.options
    for (const series of this.leaving) {
      if (nowMillis() - series.leftAtMillis < keepMillis) return
      this.leaving.delete(series)
      this.drop(series)
    }
  }

  private seriesOf(reading: Reading): ReadSeries {
    const key = JSON.stringify([reading.name, reading.labels])
    const known = this.known.get(key)
    if (known !== undefined) return known
    const series = new ReadSeries(key, reading, this.options.kindOf(reading.name) === "counter")
    this.known.set(key, series)
    return series
  }

  /** Gives it a place where there is one. */
  private place(series: ReadSeries): void {
    if (series.remove !== undefined) return
    const { name } = series.reading
    const room = this.options.roomOf(name)
    const waiting = this.waiting.get(name)
    if (room.take()) {
      waiting?.delete(series)
      series.remove = this.options.show(series)
      return
    }
    if (waiting === undefined) this.waiting.set(name, new Set([series]))
    else waiting.add(series)
    if (series.isCounter) room.addToRest(series.spill())
  }

  private leave(whose: object, series: ReadSeries): void {
    series.latest.delete(whose)
    if (series.latest.size > 0) return
    // the counts of a series without a place are in the series for the rest
    if (!series.isCounter || series.remove === undefined) return this.drop(series)
    series.leftAtMillis = this.options.nowMillis()
    this.leaving.add(series)
  }

  private drop(series: ReadSeries): void {
    const { name } = series.reading
    this.known.delete(series.key)
    this.waiting.get(name)?.delete(series)
    if (series.remove === undefined) return
    series.remove()
    this.options.roomOf(name).give()
    for (const next of this.waiting.get(name) ?? []) return this.place(next)
  }
}
