/** A member in a process of its own: does what it is told, and ends with who tells it. */
import { Effect } from "effect"
import * as Member from "./member.ts"
import type { Command, Reply } from "./server.ts"

const reply = (message: Reply): void => void process.send?.(message)

const program = Effect.gen(function* () {
  const member = yield* Member.make(Number(process.argv[2]))
  process.on("message", ({ command, id }: { readonly id: number; readonly command: Command }) => {
    const done: Effect.Effect<unknown> =
      command._tag === "Call" ? member.call(command.upstream) : member.burst(command.which, command.calls)
    void Effect.runPromise(Effect.map(done, (value) => reply({ id, value })))
  })
  reply({ id: 0, value: "ready" })
  yield* Effect.callback<void>((resume) => {
    process.once("disconnect", () => resume(Effect.void))
  })
})

await Effect.runPromise(Effect.scoped(program))
