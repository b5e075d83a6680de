// Medians of the rounds. What compares two contenders is made in each round first, where both met the same machine, and
// the median taken of that.

import type { CallFigures } from "./measure/call.ts"
import type { HeapFigures } from "./measure/heap.ts"
import type { RequestFigures } from "./measure/request.ts"
import type { Samples } from "./rounds.ts"
import { median, spread } from "./statistics.ts"

interface Row {
  readonly id: string
  readonly title: string
  /** The part of the machine that other processes used. */
  readonly noise: number
  /** How far the rounds of the first figure lie apart, as a part of their median. */
  readonly spread: number
}

export interface RequestRow extends Row {
  readonly cpuMicros: number
  /** CPU, over that of the floor. */
  readonly ratio: number
  readonly perSecond: number
  readonly p50Millis: number
  readonly p99Millis: number
}

export interface CallRow extends Row {
  readonly nanos: number
  /** What is left when the floor is taken away; `undefined` for a floor, and where there is none. */
  readonly added: number | undefined
}

export interface HeapRow extends Row {
  readonly bytes: number
  /** What is left when a bare promise that waits is taken away. */
  readonly added: number
}

/** `compare` of a contender's figure and its floor's, in each round. */
const againstFloor = <Figures>(
  all: ReadonlyArray<Samples<Figures>>,
  samples: Samples<Figures>,
  floor: string | undefined,
  figure: (figures: Figures) => number,
  compare: (own: number, floor: number) => number
): number | undefined => {
  const floors = all.find(({ id }) => id === floor)
  if (floors === undefined) return undefined
  return median(
    samples.rounds.flatMap((figures, round) => {
      const base = floors.rounds[round]
      return base === undefined ? [] : [compare(figure(figures), figure(base))]
    })
  )
}

const rowOf = <Figures extends { readonly noise: number }>(
  { id, rounds, title }: Samples<Figures>,
  figure: (figures: Figures) => number
): Row => ({
  id,
  title,
  noise: median(rounds.map(({ noise }) => noise)),
  spread: spread(rounds.map(figure))
})

export const requestRows = (all: ReadonlyArray<Samples<RequestFigures>>): ReadonlyArray<RequestRow> =>
  all.map((samples) => {
    const middle = (figure: (figures: RequestFigures) => number) => median(samples.rounds.map(figure))
    const cpu = (figures: RequestFigures) => figures.cpuMicros
    return {
      ...rowOf(samples, cpu),
      cpuMicros: middle(cpu),
      ratio: againstFloor(all, samples, samples.floor, cpu, (own, floor) => own / floor) ?? 1,
      perSecond: middle((figures) => figures.perSecond),
      p50Millis: middle((figures) => figures.p50Millis),
      p99Millis: middle((figures) => figures.p99Millis)
    }
  })

export const callRows = (all: ReadonlyArray<Samples<CallFigures>>): ReadonlyArray<CallRow> =>
  all.map((samples) => {
    const nanos = (figures: CallFigures) => figures.nanos
    return {
      ...rowOf(samples, nanos),
      nanos: median(samples.rounds.map(nanos)),
      added: againstFloor(all, samples, samples.floor, nanos, (own, floor) => own - floor)
    }
  })

export const heapRows = (all: ReadonlyArray<Samples<HeapFigures>>): ReadonlyArray<HeapRow> =>
  all.map((samples) => {
    const bytes = (figures: HeapFigures) => figures.bytes
    return {
      ...rowOf(samples, bytes),
      bytes: median(samples.rounds.map(bytes)),
      added: againstFloor(all, samples, "promise", bytes, (own, floor) => own - floor) ?? 0
    }
  })

export interface Summary {
  readonly request: ReadonlyArray<RequestRow>
  readonly call: ReadonlyArray<CallRow>
  readonly refusal: ReadonlyArray<CallRow>
  readonly heap: ReadonlyArray<HeapRow>
}
