/**
 * The page, made in pieces: between two of them the rest of the process gets its turn. A page of ten thousand histograms
 * would hold it for most of a second.
 */

import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Stream from "effect/Stream"
import { Families, type Format, type Snapshot } from "./prometheusText.ts"

/** Metrics that are read, or put in their families, in one turn. */
const metricsPerTurn = 200

/** Characters of a piece: 2 ms of work, or so. */
const charactersPerTurn = 131_072

const isHistogram = ({ type }: { readonly type: string }): boolean => type === "Histogram"

/**
 * Every metric of the registry, as it was read. All but the histograms are read in one turn, because figures that are read together are
 * looked up together; histograms have most of the work, and each is whole in itself.
 */
const snapshots: Effect.Effect<ReadonlyArray<Snapshot>> = Effect.gen(function* () {
  const context = yield* Effect.context<never>()
  const entries = [...(yield* Metric.MetricRegistry).values()]
  const read = entries.map((entry) => (isHistogram(entry) ? undefined : snapshotOf(entry, context)))
  let sinceTurn = 0
  for (const [index, entry] of entries.entries()) {
    if (read[index] !== undefined) continue
    if (++sinceTurn % metricsPerTurn === 0) yield* Effect.yieldNow
    read[index] = snapshotOf(entry, context)
  }
  return read.filter((snapshot) => snapshot !== undefined)
})

type Entry = typeof Metric.MetricRegistry.Service extends Map<string, infer E> ? E : never

const snapshotOf = ({ hooks, ...meta }: Entry, context: Context.Context<never>): Snapshot => ({
  ...meta,
  state: hooks.get(context)
})

/** The page in a format, piece by piece. */
export const pagePieces = (format: Format): Stream.Stream<string> =>
  Stream.unwrap(
    Effect.gen(function* () {
      const families = new Families()
      for (const [index, metric] of (yield* snapshots).entries()) {
        if (index % metricsPerTurn === metricsPerTurn - 1) yield* Effect.yieldNow
        families.add(metric)
      }
      return Stream.fromIterable(families.pieces(format, charactersPerTurn), { chunkSize: 1 }).pipe(
        Stream.mapEffect((piece) => Effect.as(Effect.yieldNow, piece))
      )
    })
  )

/** The page as one text. */
export const wholePage = (format: Format): Effect.Effect<string> => Stream.mkString(pagePieces(format))
