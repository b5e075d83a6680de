/** Facts that policies standing by themselves tell when they happen, and do not remember: waits and retries. */

import type { Registered } from "@holdfast/core/PolicyRegistry"
import type { Event as RetryEvent } from "@holdfast/core/Retry"
import * as Duration from "effect/Duration"
import { attemptErrorType } from "./errorType.ts"
import { Holdings } from "./holdings.ts"
import type { Labels, Owner, Table } from "./series.ts"

export interface PolicyRecorderOptions {
  /** How long the series of policies that have left are still there to be read. */
  readonly keepMillis: number
  /** A clock that only goes forward. */
  readonly nowMillis: () => number
}

export interface PolicyRecorder {
  /** Listens to policies that have come. One that is registered several times under one name is heard, and counted, once. */
  readonly arrived: (registered: Registered) => void
  readonly left: (registered: Registered) => void
  /** Ends all listening. */
  readonly close: () => void
}

/** The series of one name, and what takes them out of the registry. */
class PolicyRecord implements Owner {
  readonly isBeyond = false
  readonly name: string
  readonly labels: Labels
  living = 0
  leftAtMillis: number | undefined = undefined
  private removals: Array<() => void> = []
  private readonly onRead: () => void

  constructor(name: string, onRead: (record: PolicyRecord) => void) {
    this.name = name
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
  const listening = new Holdings()
  /** Records without living policies, in the order of their departure. */
  const leaving = new Set<PolicyRecord>()

  const isDue = ({ leftAtMillis }: PolicyRecord): boolean =>
    leftAtMillis !== undefined && nowMillis() - leftAtMillis >= keepMillis

  const forgetIfDue = (record: PolicyRecord): void => {
    if (!isDue(record)) return
    leaving.delete(record)
    records.delete(record.name)
    record.remove()
  }

  const expire = (): void => {
    for (const record of leaving) {
      if (!isDue(record)) return
      forgetIfDue(record)
    }
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

  type Bulkhead = NonNullable<Registered["policies"]["bulkhead"]>
  type RateLimit = NonNullable<Registered["policies"]["rateLimit"]>

  const listenToBulkhead = ({ events }: Bulkhead, record: PolicyRecord) =>
    events.subscribe((event) => {
      if (event._tag === "BulkheadGranted") waited(record, "bulkhead", event.waited)
      // a caller refused at once never waited
      else if (event._tag === "BulkheadRefused" && !event.observed && !Duration.isZero(event.waited)) {
        waited(record, "bulkhead", event.waited)
      }
    })

  const listenToRateLimit = ({ events }: RateLimit, record: PolicyRecord) =>
    events.subscribe((event) => {
      if (event._tag === "RateLimitGranted") waited(record, "rateLimit", event.waited)
    })

  return {
    arrived: ({ name, policies: { bulkhead, rateLimit, retry } }) => {
      expire()
      if ((bulkhead ?? rateLimit ?? retry) === undefined) return
      const record = recordOf(name)
      record.living++
      record.leftAtMillis = undefined
      leaving.delete(record)
      if (bulkhead !== undefined) listening.take(name, bulkhead, () => listenToBulkhead(bulkhead, record))
      if (rateLimit !== undefined) listening.take(name, rateLimit, () => listenToRateLimit(rateLimit, record))
      if (retry !== undefined) {
        listening.take(name, retry, () => retry.events.subscribe((event) => retried(record, event)))
      }
    },
    left: ({ name, policies: { bulkhead, rateLimit, retry } }) => {
      const record = records.get(name)
      const heard = [bulkhead, rateLimit, retry].filter((policy) => policy !== undefined)
      for (const policy of heard) listening.give(name, policy)
      if (record !== undefined && heard.length > 0 && --record.living === 0) {
        record.leftAtMillis = nowMillis()
        leaving.add(record)
      }
      expire()
    },
    close: () => listening.close()
  }
}
