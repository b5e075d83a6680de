/**
 * Answers whose bytes are altered by chance, for a minute, in a process of their own: whatever a peer sends, a call ends with an answer
 * that Node's own clients have too, or with a reason, and leaves nothing behind. `FUZZ_SEED` repeats the run of a seed.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "vitest"

const seconds = 60

const program = fileURLToPath(new URL("./conversations/run.ts", import.meta.url))

const run = (seed: string | undefined): Promise<{ readonly status: number | string | null; readonly output: string }> =>
  new Promise((resolve) => {
    const given = ["--seconds", String(seconds), ...(seed === undefined ? [] : ["--seed", seed])]
    const child = spawn(process.execPath, ["--expose-gc", program, ...given], { stdio: ["ignore", "pipe", "pipe"] })
    const kill = (): void => void child.kill("SIGKILL")
    process.once("exit", kill)
    // one that hangs says at least with which seed
    const late = setTimeout(kill, (seconds + 60) * 1000)
    let output = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += String(chunk)))
    child.once("close", (code, signal) => {
      process.off("exit", kill)
      clearTimeout(late)
      resolve({ status: code ?? signal, output })
    })
  })

describe("whatever bytes a peer sends", () => {
  it(
    "a call ends with an answer that Node's clients have too, or with a reason, and leaves nothing behind",
    async () => {
      const { output, status } = await run(process.env["FUZZ_SEED"])
      console.log(output.trimEnd())
      assert.strictEqual(status, 0, output)
    },
    (seconds + 90) * 1000
  )
})
