import { assert, describe, it } from "@effect/vitest"
import { Effect, Logger } from "effect"
import type { DropReason } from "../src/internal/otlp/deliveryQueue.ts"
import { DeliveryReports } from "../src/internal/otlp/deliveryReports.ts"

/** What is logged, in order. */
const logged = (program: (reports: DeliveryReports) => Effect.Effect<void>) =>
  Effect.gen(function* () {
    const lines: Array<string> = []
    const reports = new DeliveryReports({
      signal: "traces",
      url: new URL("https://user:secret@collector.test:4318/v1/traces?key=secret"),
      maxBytes: 1000
    })
    yield* program(reports).pipe(
      Effect.provide(Logger.layer([Logger.make(({ logLevel, message }) => void lines.push(`${logLevel} ${message}`))]))
    )
    return lines
  })

const where = "https://collector.test:4318/v1/traces"

const begun = (reason: DropReason, why: string) =>
  `Warn Otlp: spans for ${where} are being dropped (${reason}): ${why}. Further drops are counted, not logged`

describe("what the log says of drops", () => {
  it.effect.each([
    ["overflow", undefined, "the queue is full with 77 bytes, the receiver is too slow"],
    ["overflow", "status 503", "the queue is full with 77 bytes, last failure: status 503"],
    ["oversized", "status 503", "one alone is more than the 1000 bytes that may wait"],
    ["unencodable", "status 503", "they cannot be encoded"],
    ["shutdown", "status 503", "the exporter is closed"],
    ["refused", "status 400", "status 400"],
    ["exhausted", undefined, "the receiver did not say why"]
  ] as const)("why they begin: %s after %s", ([reason, lastFailure, why]) =>
    Effect.gen(function* () {
      const lines = yield* logged((reports) => {
        reports.lastFailure = lastFailure
        return reports.dropped(reason, 3, 77, 0)
      })
      assert.deepStrictEqual(lines, [begun(reason, why)])
    })
  )

  it.effect("that they begin, once, and that they are over, with how many and for how long", () =>
    Effect.gen(function* () {
      const lines = yield* logged((reports) =>
        Effect.gen(function* () {
          yield* reports.arrived(0)
          yield* reports.dropped("refused", 3, 0, 1000)
          yield* reports.dropped("overflow", 4, 0, 1500)
          yield* reports.dropped("refused", 5, 0, 2000)
          for (let second = 3; second <= 600; second++) yield* reports.arrived(second * 1000)
        })
      )
      assert.lengthOf(lines, 2)
      assert.strictEqual(lines[0], begun("refused", "the receiver did not say why"))
      assert.match(
        lines[1] ?? "",
        new RegExp(
          `^Info Otlp: spans arrive again at ${where}; 12 were dropped in [\\dms ]+ \\(overflow 4, refused 8\\)$`
        )
      )
    })
  )

  it.effect("what was left at the end, and why", () =>
    Effect.gen(function* () {
      const lines = yield* logged((reports) =>
        Effect.gen(function* () {
          yield* reports.shutDown(2)
          reports.lastFailure = "status 503"
          yield* reports.shutDown(3)
        })
      )
      assert.deepStrictEqual(lines, [
        `Warn Otlp: 2 spans were dropped at shutdown: there was no time to send them (${where})`,
        `Warn Otlp: 3 spans were dropped at shutdown: status 503 (${where})`
      ])
    })
  )
})
