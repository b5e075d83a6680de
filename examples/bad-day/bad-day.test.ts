import { execFile } from "node:child_process"
import { promisify } from "node:util"
import { fileURLToPath } from "node:url"
import { assert, describe, it } from "@effect/vitest"

const main = fileURLToPath(new URL("main.ts", import.meta.url))

/** The figures of a row of the day's table: without, with policy, attempts a call. */
const figures = (output: string, name: string): { without: number; held: number; attempts: number } => {
  const row = output.split("\n").find((line) => line.startsWith(`  ${name}  `)) ?? ""
  const found = /(\d+)\s+([\d.]+) %\s+([\d.]+) %\s+([\d.]+)$/.exec(row)
  assert.isNotNull(found, `no row "${name}" in\n${output}`)
  return { without: Number(found?.[2]), held: Number(found?.[3]), attempts: Number(found?.[4]) }
}

describe("the bad day", () => {
  it("shows what the policy is worth, plain where there is no terminal", { timeout: 60_000 }, async () => {
    const { stderr, stdout } = await promisify(execFile)(process.execPath, [main], { timeout: 55_000 })
    assert.strictEqual(stderr, "")
    assert.isFalse(stdout.includes("\x1b"), "escape sequences where there is no terminal")

    const whole = figures(stdout, "the whole day")
    assert.isAbove(whole.held, whole.without + 5, "the policy is worth something over the whole day")
    const stopLess = figures(stdout, "but for the full stop")
    assert.isAbove(stopLess.held, 93)
    // compared within the day: on a busy machine the day itself is another
    assert.isAbove(stopLess.held, stopLess.without + 5, "the policy is worth something while the upstream lives")

    // what it takes to open the circuit, and its probes; without a breaker it is one and more
    const stop = figures(stdout, "a full stop")
    assert.isAbove(stop.attempts, 0)
    assert.isBelow(stop.attempts, 0.7)
    assert.isBelow(whole.attempts, 1.25)

    assert.match(stdout, /\d+ × ERR_POLICY_CIRCUIT_OPEN\n\s+orders: .+ the circuit is open \(/)
    assert.notMatch(stdout, /orders-bare: .+ the circuit is open/)
    assert.match(stdout, /breaker\s+opened [1-9]\d* times, and refused [1-9]\d* attempts/)
    assert.match(stdout, /retry\s+\d+ retries, which rescued [1-9]\d* calls/)
    assert.match(stdout, /trace [0-9a-f]{32}\n\s+orders (GET|POST) \/orders\/\{id\}/)
    assert.match(stdout, /└─ (GET|POST) \/orders\/\{id\}, resend \d/)
  })
})
