import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"

interface Figures {
  readonly burst: number
  readonly origins: number
  readonly before: number
  readonly full: number
  readonly idle: number
  readonly most: number
  readonly idleAgain: number
}

/** As a test of the file that asks for it. */
export const holdsNoIdleOrigins = (count: number): void => {
  describe("the heap", () => {
    const title = `is where it was once ${count} origins that were called once are idle`
    it(title, { timeout: 180_000 }, async () => {
      const program = fileURLToPath(new URL("program.ts", import.meta.url))
      const { stdout } = await promisify(execFile)(process.execPath, ["--expose-gc", program, String(count)])
      // what the program prints
      const { before, burst, full, idle, idleAgain, most, origins } = JSON.parse(stdout) as Figures
      const kilobytes = ((full - before) * 1024) / burst
      console.log(
        `heap: ${before} MB before; ${full} MB with ${burst} origins at once (${kilobytes.toFixed(1)} KB each), ${idle} MB once idle; ` +
          `at most ${most} MB while ${origins} came and went, ${idleAgain} MB once idle`
      )
      assert.isAbove(full, before + 20, "the program measures what it should")
      assert.isBelow(kilobytes, 18, "an endpoint that was called once has no latencies to keep")
      assert.isBelow(idle, before + 10)
      assert.isBelow(most, before + 60)
      assert.isBelow(idleAgain, before + 10)
    })
  })
}
