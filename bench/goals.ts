// The figures to reach, and which row each is read from. A stage that is new in the standard policy is in these rows as
// soon as it is; a contender that a goal waits for gets the id that is named here.

import type { Summary } from "./summary.ts"

export interface Goal {
  readonly figure: string
  readonly goal: number
  readonly unit: string
  /** `undefined` while nothing measures it. */
  readonly got: number | undefined
  readonly bestPeer: { readonly title: string; readonly got: number } | undefined
}

interface Definition<Row> {
  readonly figure: string
  readonly goal: number
  readonly unit: string
  readonly rows: ReadonlyArray<Row>
  readonly value: (row: Row) => number | undefined
  readonly own: string
  /** Who does comparable work; peers whose ids are not here would win by doing less. */
  readonly peers: ReadonlyArray<string>
}

const judge = <Row extends { readonly id: string; readonly title: string }>(definition: Definition<Row>): Goal => {
  const { figure, goal, own, peers, rows, unit, value } = definition
  const ownRow = rows.find(({ id }) => id === own)
  const best = rows
    .filter(({ id }) => peers.includes(id))
    .flatMap((row) => {
      const got = value(row)
      return got === undefined ? [] : [{ title: row.title, got }]
    })
    .toSorted((a, b) => a.got - b.got)[0]
  return { figure, goal, unit, got: ownRow === undefined ? undefined : value(ownRow), bestPeer: best }
}

export const goals = (summary: Summary): ReadonlyArray<Goal> => [
  judge({
    figure: "standard policy, body decoded, spans off",
    goal: 1.5,
    unit: "× bare undici",
    rows: summary.request,
    value: (row) => row.ratio,
    own: "holdfast-standard-decode",
    peers: ["cockatiel", "effect-policies"]
  }),
  judge({
    figure: "the same, spans and metrics recorded",
    goal: 2.3,
    unit: "× bare undici",
    rows: summary.request,
    value: (row) => row.ratio,
    own: "holdfast-standard-decode-spans-metrics",
    peers: ["effect-policies-spans"]
  }),
  judge({
    figure: "policy around an in-memory call",
    goal: 2500,
    unit: "ns",
    rows: summary.call,
    value: (row) => row.added,
    own: "holdfast-standard",
    peers: ["cockatiel", "effect-parts", "effect-parts-breaker"]
  }),
  judge({
    figure: "refusal by an open circuit",
    goal: 1000,
    unit: "ns",
    rows: summary.refusal,
    value: (row) => row.nanos,
    own: "holdfast-breaker",
    peers: ["cockatiel-breaker", "effect-breaker"]
  }),
  judge({
    figure: "heap that the policy adds to a call in flight",
    goal: 3584,
    unit: "bytes",
    rows: summary.heap,
    value: (row) => row.added,
    own: "holdfast-standard",
    peers: ["cockatiel", "effect-parts", "effect-parts-breaker"]
  })
]

export const verdict = (goal: Goal): "met" | "missed" | "not measured" =>
  goal.got === undefined ? "not measured" : goal.got <= goal.goal ? "met" : "missed"
