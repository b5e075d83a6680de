/**
 * Ten thousand calls to a server that is killed and comes back every second: what the policy promises to keep is kept, what it
 * must not do twice is done at most once, and nothing grows.
 */
import type { ChildProcess } from "node:child_process"
import { execFile, fork } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { assert, describe, it } from "vitest"
import { median } from "../support/calling.ts"
import { freePort } from "../support/program.ts"

interface Figures {
  readonly calls: number
  readonly retried: number
  readonly lost: ReadonlyArray<string>
  readonly acknowledged: ReadonlyArray<number>
  readonly failedPosts: Readonly<Record<string, number>>
  readonly heapMegabytes: ReadonlyArray<number>
  readonly handles: ReadonlyArray<number>
  readonly left: string
}

const lifeMillis = 1_000
const fewestDeaths = 5

const start = async (port: number, ledger: string): Promise<ChildProcess> => {
  const child = fork(fileURLToPath(new URL("endurance/server.ts", import.meta.url)), [String(port), ledger], {
    execArgv: []
  })
  const outcome = await Promise.race([
    once(child, "message").then(() => "listening"),
    once(child, "exit").then(([code]) => `ended with ${String(code)}`)
  ])
  if (outcome !== "listening") throw new Error(`the server did not start: ${outcome}`)
  return child
}

const kill = async (child: ChildProcess): Promise<void> => {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, "exit")
  child.kill("SIGKILL")
  await gone
}

/** Keeps a server on the port that dies every second, until it is stopped; then says how often it died. */
const mortalServer = async (port: number, ledger: string) => {
  const stopping = new AbortController()
  let deaths = 0
  let living = await start(port, ledger)
  const untilStopped = (): Promise<boolean> => delay(lifeMillis, true, { signal: stopping.signal }).catch(() => false)
  const lives = (async () => {
    while (await untilStopped()) {
      await kill(living)
      deaths += 1
      living = await start(port, ledger)
    }
  })()
  // told to whoever stops it
  lives.catch(() => {})
  return {
    stop: async (): Promise<number> => {
      stopping.abort()
      try {
        await lives
      } finally {
        await kill(living)
      }
      return deaths
    }
  }
}

const execute = promisify(execFile)

const third = (figures: ReadonlyArray<number>, which: 0 | 2): number => {
  const length = Math.floor(figures.length / 3)
  return median(figures.slice(which * length, (which + 1) * length))
}

describe("endurance", () => {
  it("10 000 calls to a server that dies every second: nothing promised is lost, nothing is done twice, nothing grows", async () => {
    const folder = await mkdtemp(join(tmpdir(), "endurance-"))
    try {
      const ledger = join(folder, "ledger")
      const port = await freePort()
      const server = await mortalServer(port, ledger)
      const begun = performance.now()
      const program = fileURLToPath(new URL("endurance/calls.ts", import.meta.url))
      let deaths = 0
      const { stdout } = await execute(process.execPath, ["--expose-gc", program, `http://127.0.0.1:${port}`], {
        timeout: 150_000
      }).finally(async () => {
        deaths = await server.stop()
      })
      const seconds = (performance.now() - begun) / 1_000
      // what the program prints
      const figures = JSON.parse(stdout) as Figures
      const applied = (await readFile(ledger, "utf8"))
        .split("\n")
        .filter((id) => id !== "")
        .map(Number)
      const distinct = new Set(applied)
      const unrecorded = figures.acknowledged.filter((id) => !distinct.has(id))
      const heap = [third(figures.heapMegabytes, 0), third(figures.heapMegabytes, 2)] as const
      const handles = [third(figures.handles, 0), third(figures.handles, 2)] as const
      const posts = figures.calls / 5
      console.log(
        [
          `endurance: ${figures.calls} calls in ${seconds.toFixed(1)} s, the server died ${deaths} times, ${figures.retried} retries`,
          `  GET   ${figures.calls - posts} made, ${figures.lost.length} lost`,
          `  POST  ${posts} made, ${figures.acknowledged.length} answered, ${distinct.size} applied, ` +
            `${applied.length - distinct.size} twice; failed: ${JSON.stringify(figures.failedPosts)}`,
          `  heap  ${heap[0].toFixed(1)} MB in the first third, ${heap[1].toFixed(1)} MB in the last`,
          `  handles  ${handles[0]} in the first third, ${handles[1]} in the last, "${figures.left}" after it`
        ].join("\n")
      )
      assert.isAtLeast(deaths, fewestDeaths, "the server dies while calls are made")
      assert.isAbove(figures.retried, 0, "calls meet its deaths")
      assert.deepStrictEqual(figures.lost, [], "what the policy promised to keep")
      assert.strictEqual(applied.length, distinct.size, "a POST is applied at most once")
      assert.deepStrictEqual(unrecorded, [], "what was answered was applied")
      assert.isBelow(heap[1], heap[0] + 2, "megabytes")
      // all 64 connections and their timers come and go with the server
      assert.isBelow(handles[1], handles[0] + 40)
      assert.strictEqual(figures.left, "", "nothing stays when the transport is closed")
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  }, 180_000)
})
