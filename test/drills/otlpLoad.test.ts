import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"

interface Sides {
  readonly without: number
  readonly exporting: number
}

interface Figures {
  readonly calls: number
  readonly p50: Sides
  readonly p99: Sides
  readonly microseconds: Sides
  readonly megabytes: number
  readonly made: number
  readonly arrived: number
  readonly stats: {
    readonly offered: number
    readonly arrived: number
    readonly pending: number
    readonly dropped: Readonly<Record<string, number>>
  }
}

/** `OTLP_LOAD_SECONDS=60` for the whole minute, which takes two. */
const seconds = Number(process.env["OTLP_LOAD_SECONDS"] ?? 5)

/** So small that it overflows in the short run too. */
const queueBytes = 524_288

describe("the OTLP exporter under a thousand calls a second", () => {
  const title = `holds up none of them, takes no more memory than its queue and counts every span that it loses, while a receiver hangs for ${seconds} s`
  it(title, { timeout: 60_000 + seconds * 4_000 }, async () => {
    const program = fileURLToPath(new URL("otlpLoad/load.ts", import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [
      "--expose-gc",
      program,
      String(seconds),
      String(queueBytes)
    ])
    // what the program prints last; before it stands the warning about drops
    const figures = JSON.parse(stdout.trim().split("\n").at(-1) ?? "") as Figures
    const { arrived, calls, made, megabytes, microseconds, p50, p99, stats } = figures
    const dropped = Object.values(stats.dropped).reduce((total, items) => total + items, 0)
    const show = ({ exporting, without }: Sides, unit: string) =>
      `${exporting.toFixed(1)} ${unit} (${without.toFixed(1)} ${unit} when nobody exports)`
    console.log(
      `${calls} calls; p50 ${show(p50, "ms")}, p99 ${show(p99, "ms")}, processor ${show(microseconds, "µs")}; ` +
        `${megabytes.toFixed(1)} MB more; ${made} spans made, ${arrived} arrived, ${dropped} dropped`
    )
    assert.isAbove(calls, seconds * 500, "the load is what it should be")
    assert.isAbove(made, calls * 1.5, "a call has a span, and its attempt has one")
    assert.isAbove(dropped, 0, "the queue overflows")
    assert.strictEqual(dropped, made - arrived)
    assert.deepInclude(stats, { offered: made, arrived, pending: 0 })
    assert.isBelow(megabytes, 12)
    // the machine may be busy with other things, which processor time knows least of
    assert.isBelow(microseconds.exporting, 1.5 * microseconds.without)
    assert.isBelow(p99.exporting, Math.max(3 * p99.without, p99.without + 60))
    assert.strictEqual(stdout.split("\n").filter((line) => line.includes("are being dropped")).length, 1)
  })
})
