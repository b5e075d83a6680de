/** What the day is like just now: one line that changes on a terminal, a line for each patch elsewhere. */
import { Console, Effect } from "effect"
import { day, dayMillis } from "./day.ts"
import { Meter } from "./meter.ts"

const width = 24

export const progress = Effect.gen(function* () {
  const meter = yield* Meter
  const live = process.stdout.isTTY === true
  for (const [index, patch] of day.entries()) {
    if (!live) {
      yield* Console.log(`  ${patch.name}`)
      yield* Effect.sleep(patch.millis)
      continue
    }
    const steps = Math.ceil(patch.millis / 100)
    for (let step = 0; step < steps; step++) {
      const { calls, millis } = yield* meter.finished
      const failed = calls.filter((call) => call.error !== undefined).length
      const done = Math.min(width, Math.round((millis / dayMillis) * width))
      const bar = `${"█".repeat(done)}${"░".repeat(width - done)}`
      process.stdout.write(`\r\x1b[2K  ${bar}  ${calls.length} calls, ${failed} failed — ${patch.name}`)
      yield* Effect.sleep(patch.millis / steps)
    }
    if (index === day.length - 1) process.stdout.write("\r\x1b[2K")
  }
}).pipe(
  Effect.onInterrupt(() =>
    Effect.sync(() => {
      if (process.stdout.isTTY === true) process.stdout.write("\r\x1b[2K")
    })
  )
)
