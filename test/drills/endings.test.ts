/**
 * The drill of endings: a server that writes its answers byte by byte ends them in every way there is, whole and cut, framed and coded in
 * every way. What comes of each is held to rules that were written down without a look at what the transport does.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { certificates } from "../support/certificates.ts"
import { allCases, nameOf } from "./endings/cases.ts"
import type { Case } from "./endings/cases.ts"
import { rehearse } from "./endings/rehearsal.ts"
import type { Outcome } from "./endings/rehearsal.ts"
import { tableOf } from "./endings/table.ts"

const atOnce = 32

describe("an answer", () => {
  const only = process.env["HOLDFAST_ENDINGS"] ?? ""
  const cases = allCases().filter((each) => nameOf(each).includes(only))

  it.live(
    "is told as it ended, however it ended, and leaves its connection as it must be",
    () =>
      Effect.gen(function* () {
        const made = yield* certificates
        const rows = yield* Effect.forEach(
          cases,
          (given) =>
            Effect.map(Effect.scoped(rehearse(given, made)), (outcome): readonly [Case, Outcome] => [given, outcome]),
          { concurrency: atOnce }
        )
        console.log(tableOf(rows))
        const wrong = rows.flatMap(([given, outcome]) =>
          outcome.wrong.length === 0 ? [] : [`${nameOf(given)}: ${outcome.wrong.join("; ")}`]
        )
        for (const line of wrong) console.log(line)
        assert.strictEqual(wrong.length, 0)
      }),
    300_000
  )
})
