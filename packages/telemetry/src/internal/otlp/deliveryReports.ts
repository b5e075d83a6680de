/** The log's lines about drops: when they begin, why, when they are over, and how much was dropped at the end. */

import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { shownUrl } from "./deliveryAttempt.ts"
import { type DropReason, dropReasons } from "./deliveryQueue.ts"
import { DropEpisode } from "./dropEpisode.ts"
import type { Signal } from "./otlpSlice.ts"

/** The names of a signal's items in a line of text. */
const plurals: { readonly [S in Signal]: string } = { traces: "spans", metrics: "metric points", logs: "log records" }

export interface ReportSettings {
  readonly signal: Signal
  readonly url: URL
  readonly maxBytes: number
}

export class DeliveryReports {
  lastFailure: string | undefined = undefined
  readonly #maxBytes: number
  readonly #plural: string
  readonly #url: string
  readonly #episode = new DropEpisode()

  constructor({ maxBytes, signal, url }: ReportSettings) {
    this.#maxBytes = maxBytes
    this.#plural = plurals[signal]
    this.#url = shownUrl(url)
  }

  /** Says so when drops begin. */
  dropped(reason: DropReason, items: number, queuedBytes: number, nowMillis: number): Effect.Effect<void> {
    if (!this.#episode.noteDropped(nowMillis, reason, items)) return Effect.void
    return Effect.logWarning(
      `Otlp: ${this.#plural} for ${this.#url} are being dropped (${reason}): ${this.#explain(reason, queuedBytes)}. ` +
        `Further drops are counted, not logged`
    )
  }

  /** Says so when it is the end of drops. */
  arrived(nowMillis: number): Effect.Effect<void> {
    const over = this.#episode.noteArrived(nowMillis)
    if (over === undefined) return Effect.void
    const reasons = dropReasons.flatMap((reason) => {
      const items = over.dropped.get(reason)
      return items === undefined ? [] : [`${reason} ${items}`]
    })
    const total = [...over.dropped.values()].reduce((sum, items) => sum + items, 0)
    return Effect.logInfo(
      `Otlp: ${this.#plural} arrive again at ${this.#url}; ${total} were dropped in ` +
        `${Duration.format(Duration.seconds(Math.ceil(over.millis / 1000)))} (${reasons.join(", ")})`
    )
  }

  /** Says what was left when there was no time any more. */
  shutDown(items: number): Effect.Effect<void> {
    return Effect.logWarning(
      `Otlp: ${items} ${this.#plural} were dropped at shutdown: ` +
        `${this.lastFailure ?? "there was no time to send them"} (${this.#url})`
    )
  }

  #explain(reason: DropReason, queuedBytes: number): string {
    switch (reason) {
      case "overflow": {
        const last = this.lastFailure === undefined ? "the receiver is too slow" : `last failure: ${this.lastFailure}`
        return `the queue is full with ${queuedBytes} bytes, ${last}`
      }
      case "oversized":
        return `one alone is more than the ${this.#maxBytes} bytes that may wait`
      case "unencodable":
        return "they cannot be encoded"
      case "shutdown":
        return "the exporter is closed"
      default:
        return this.lastFailure ?? "the receiver did not say why"
    }
  }
}
