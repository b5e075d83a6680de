/** Which failures are one group, which example a group shows, and which group is given up when there are too many. */

import { countersAt, makeTimeSlices, type TimeSlices } from "./timeSlices.ts"

export interface Example {
  readonly of: "call" | "attempt"
  readonly message: string
  readonly requestId: string
  readonly traceId: string | undefined
  readonly spanId: string | undefined
  readonly atMillis: number
}

/** Places of the counters of a slice. */
export const counted = { calls: 0, attempts: 1 } as const

export interface Group<Severity> {
  readonly upstream: string
  readonly operation: string
  readonly code: string
  readonly severity: Severity
  readonly firstMillis: number
  readonly slices: TimeSlices
  readonly sinceMillis: number
  calls: number
  attempts: number
  lastMillis: number
  example: Example
}

export interface FailureGroups<Severity> {
  readonly maxGroups: number
  readonly startMillis: number
  /** In the order in which they were last met. */
  readonly groups: Map<string, Group<Severity>>
  /** Groups that were forgotten because there were too many. */
  forgotten: number
}

export const makeFailureGroups = <Severity>(maxGroups: number, startMillis: number): FailureGroups<Severity> => ({
  maxGroups,
  startMillis,
  groups: new Map(),
  forgotten: 0
})

export interface Failure<Severity> {
  readonly of: "call" | "attempt"
  readonly upstream: string
  readonly operation: string
  readonly code: string
  readonly severity: Severity
  /** Made only when the group wants it as its example. */
  readonly example: () => Example
}

/** A storm of failures is not to be a storm of messages: an example is shown for a second at least. */
const exampleMillis = 1000

const wantsExample = ({ example }: Group<unknown>, of: Failure<unknown>["of"], wallMillis: number): boolean =>
  // a call's says how hard it was tried, and an attempt's does not
  example.of === of ? Math.abs(wallMillis - example.atMillis) >= exampleMillis : of === "call"

/** Counts a failure; `nowMillis` is monotonic, `wallMillis` of the calendar. */
export const record = <Severity>(
  state: FailureGroups<Severity>,
  failure: Failure<Severity>,
  nowMillis: number,
  wallMillis: number
): void => {
  const key = `${failure.upstream}\n${failure.operation}\n${failure.code}`
  let group = state.groups.get(key)
  if (group === undefined) {
    if (state.groups.size >= state.maxGroups) forgetOne(state)
    group = {
      upstream: failure.upstream,
      operation: failure.operation,
      code: failure.code,
      severity: failure.severity,
      firstMillis: wallMillis,
      slices: makeTimeSlices(2),
      sinceMillis: state.forgotten === 0 ? state.startMillis : nowMillis,
      calls: 0,
      attempts: 0,
      lastMillis: wallMillis,
      example: failure.example()
    }
  } else {
    state.groups.delete(key)
    if (wantsExample(group, failure.of, wallMillis)) group.example = failure.example()
  }
  state.groups.set(key, group)
  group.lastMillis = wallMillis
  const counters = countersAt(group.slices, nowMillis)
  if (failure.of === "call") {
    group.calls++
    counters[counted.calls] = (counters[counted.calls] ?? 0) + 1
  } else {
    group.attempts++
    counters[counted.attempts] = (counters[counted.attempts] ?? 0) + 1
  }
}

const forgetOne = (state: FailureGroups<unknown>): void => {
  for (const key of state.groups.keys()) {
    state.groups.delete(key)
    state.forgotten++
    return
  }
}
