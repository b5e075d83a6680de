import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer } from "effect"
import { Bulkhead, Deadline, HttpPolicy, type Time, Upstream } from "holdfast"
import { NameResolver, NodeTransport } from "holdfast/node"
import { Metrics } from "holdfast/telemetry"
import { LeakCheck, ScriptedTransport } from "holdfast/testing"

/** Runs what takes a time, wherever it says that it is none: when it is called, or when its layer is built. */
const running = (make: () => unknown): Effect.Effect<unknown, unknown> =>
  Effect.suspend(() => {
    const made = make()
    // those that give a layer look at their options when it is built
    return Layer.isLayer(made) ? Layer.build(made as unknown as Layer.Layer<never, unknown>) : Effect.succeed(made)
  }).pipe(Effect.scoped)

type Taking = (time: Time.Input) => unknown

const options: ReadonlyArray<readonly [name: string, take: Taking]> = [
  ["HttpPolicy: deadline", (deadline) => HttpPolicy.make({ deadline })],
  ["HttpPolicy: bulkhead.maxWait", (maxWait) => HttpPolicy.make({ bulkhead: { maxWait } })],
  ["Bulkhead: maxWait", (maxWait) => Bulkhead.make({ maxWait })],
  ["NodeTransport: connectTimeout", (connectTimeout) => NodeTransport.layer({ connectTimeout })],
  ["NodeTransport: keepAlive", (keepAlive) => NodeTransport.layer({ keepAlive })],
  ["NameResolver: staleFor", (staleFor) => NameResolver.layer({ staleFor })],
  ["Metrics: keepFor", (keepFor) => Metrics.layer({ keepFor })],
  ["ScriptedTransport: after", (delay) => ScriptedTransport.after(delay, ScriptedTransport.status(200))],
  ["ScriptedTransport: pause", (time) => ScriptedTransport.pause(time)],
  ["LeakCheck: within", (within) => LeakCheck.around(Effect.void, { within })],
  ["Deadline.within: the budget", (time) => Effect.runSync(Deadline.within(Effect.void, time))],
  [
    "Upstream stock: unreadAfter",
    (unreadAfter) => Upstream.make("stock", { baseUrl: "https://stock.internal", unreadAfter })
  ]
]

describe("a time that an option takes", () => {
  for (const [name, take] of options) {
    it.live(`${name}: what is none is refused, with the option's name, what was got and what would be right`, () =>
      Effect.gen(function* () {
        // whoever writes no TypeScript can give anything
        const exit = yield* Effect.exit(running(() => take("soon" as Time.Input)))
        assert.isTrue(Exit.isFailure(exit))
        if (Exit.isFailure(exit)) {
          assert.include(
            Cause.pretty(exit.cause),
            `RangeError: ${name} must be a time, such as "2 seconds", got "soon"`
          )
        }
      })
    )

    it.live(`${name}: what is one is taken in all the ways in which it is written`, () =>
      Effect.forEach(["20s", "20 seconds", "PT20S", 20_000, "0m 20s"] as const, (time) => running(() => take(time)), {
        discard: true
      })
    )
  }
})
