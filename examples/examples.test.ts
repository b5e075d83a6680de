// Every example that has a `main.ts` prints what its first lines promise, run as a user would run it.

import { spawnSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"

const root = join(import.meta.dirname, "..")

/** Draws on a terminal, and has a test of its own. */
const drawn = new Set(["bad-day"])

const examples = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && !drawn.has(entry.name))
  .map((entry) => `examples/${entry.name}/main.ts`)
  .filter((file) => existsSync(join(root, file)))

/** The lines under `// prints:`, to the end of the comment; none without that heading. */
const promisedBy = (source: string): string | undefined =>
  /^\/\/ prints:\n((?:\/\/.*\n)+)/m.exec(source)?.[1]?.replace(/^\/\/ ?/gm, "")

const timeout = 60_000

describe("examples", () => {
  it("are there", () => {
    expect(examples).not.toEqual([])
  })

  it.each(examples)("%s prints what it promises", { timeout: timeout + 5000 }, (file) => {
    const promised = promisedBy(readFileSync(join(root, file), "utf8"))
    expect(promised, `${file} has no "// prints:" block`).toBeDefined()

    const { error, signal, status, stderr, stdout } = spawnSync(process.execPath, [file], {
      cwd: root,
      encoding: "utf8",
      timeout,
      killSignal: "SIGKILL"
    })
    expect({ error, signal, status, stderr, stdout }).toEqual({
      error: undefined,
      signal: null,
      status: 0,
      stderr: "",
      stdout: promised
    })
  })
})
