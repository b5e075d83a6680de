/** Facts that policies standing by themselves tell when they happen, and do not remember: waits and retries. */

import type { Registered } from "@holdfast/core/PolicyRegistry"
import type { Event as RetryEvent } from "@holdfast/core/Retry"
import * as Duration from "effect/Duration"
import { attemptErrorType } from "./errorType.ts"
import type { Labels, Owner, Table } from "./series.ts"

export interface PolicyRecorderOptions {
  /** How long the series of policies that have left are still there to be read. */
  readonly keepMillis: number
  /** A clock that only goes forward. */
  readonly nowMillis: () => number
}

export interface PolicyRecorder {
  /** Listens to policies that have come. */
  readonly arrived: (registered: Registered) => void
  readonly left: (registered: Registered) => void
  /** Ends all listening. */
  readonly close: () => void
}

/** The series of one name, and what takes them out of the registry. */
class PolicyRecord implements Owner {
  readonly isBeyond = false
  readonly labels: Labels
  living = 0
  leftAtMillis: number | undefined = undefined
  private removals: Array<() => void> = []
  private readonly onRead: () => void

  constructor(name: string, onRead: (record: PolicyRecord) => void) {
    this.labels = { "holdfast.policy": name }
    this.onRead = () => onRead(this)
  }

  holds(remove: () => void): void {
    this.removals.push(remove)
  }

  wasRead(): void {
    if (this.leftAtMillis !== undefined) this.onRead()
  }

  remove(): void {
    for (const remove of this.removals) remove()
    this.removals = []
  }
}

export const makePolicyRecorder = (table: Table, { keepMillis, nowMillis }: PolicyRecorderOptions): PolicyRecorder => {
  const records = new Map<string, PolicyRecord>()
  const listening = new Map<Registered, ReadonlyArray<() => void>>()

  const forgetIfDue = (record: PolicyRecord): void => {
    if (record.leftAtMillis === undefined || nowMillis() - record.leftAtMillis < keepMillis) return
    for (const [name, known] of records) if (known === record) records.delete(name)
    record.remove()
  }

  const recordOf = (name: string): PolicyRecord => {
    const known = records.get(name)
    if (known !== undefined) return known
    const record = new PolicyRecord(name, forgetIfDue)
    records.set(name, record)
    return record
  }

  const waited = (record: PolicyRecord, stage: string, wait: Duration.Duration): void =>
    void table
      .histogram("holdfast.queue.duration", { ...record.labels, "holdfast.stage": stage }, record)
      .series.record(Duration.toSeconds(wait))

  const retried = (record: PolicyRecord, event: RetryEvent): void => {
    if (event._tag === "GaveUp") {
      const labels = { ...record.labels, "holdfast.retry_stopped": event.givenUp.stopped }
      table.sum("holdfast.retry.stops", labels, record).series.value++
      return
    }
    const labels = { ...record.labels, "error.type": attemptErrorType(event.reason) }
    table.sum("holdfast.retries", labels, record).series.value++
    const delaySeconds = Duration.toSeconds(event.scheduled.delay)
    table.histogram("holdfast.retry.delay", record.labels, record).series.record(delaySeconds)
  }

  const listen = ({ policies: { bulkhead, rateLimit, retry } }: Registered, record: PolicyRecord) => {
    const stops: Array<() => void> = []
    if (bulkhead !== undefined) {
      stops.push(
        bulkhead.events.subscribe((event) => {
          if (event._tag === "BulkheadGranted") waited(record, "bulkhead", event.waited)
          // a caller refused at once never waited
          else if (event._tag === "BulkheadRefused" && !event.observed && !Duration.isZero(event.waited)) {
            waited(record, "bulkhead", event.waited)
          }
        })
      )
    }
    if (rateLimit !== undefined) {
      stops.push(
        rateLimit.events.subscribe((event) => {
          if (event._tag === "RateLimitGranted") waited(record, "rateLimit", event.waited)
        })
      )
    }
    if (retry !== undefined) stops.push(retry.events.subscribe((event) => retried(record, event)))
    return stops
  }

  return {
    arrived: (registered) => {
      for (const record of records.values()) forgetIfDue(record)
      const { bulkhead, rateLimit, retry } = registered.policies
      if ((bulkhead ?? rateLimit ?? retry) === undefined) return
      const record = recordOf(registered.name)
      record.living++
      record.leftAtMillis = undefined
      listening.set(registered, listen(registered, record))
    },
    left: (registered) => {
      const stops = listening.get(registered)
      if (stops !== undefined) {
        for (const stop of stops) stop()
        listening.delete(registered)
        const record = records.get(registered.name)
        if (record !== undefined && --record.living === 0) record.leftAtMillis = nowMillis()
      }
      for (const record of records.values()) forgetIfDue(record)
    },
    close: () => {
      for (const stops of listening.values()) for (const stop of stops) stop()
      listening.clear()
    }
  }
}
