/** A real Prometheus, in a folder of its own, on 127.0.0.1 only. */
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import type { AddressInfo } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Schedule, Schema } from "effect"

export const isInstalled = (): boolean => spawnSync("prometheus", ["--version"]).status === 0

const scale = 60

const units: { readonly [unit: string]: number } = { s: 1000, m: 60_000, h: 3_600_000 }

const scaled = (duration: string): string =>
  duration.replace(
    /(\d+)([smh])/,
    (_, count: string, unit: string) => `${(Number(count) * (units[unit] ?? 0)) / scale}ms`
  )

/** The rules with a second for each of their minutes: windows, intervals and how long an alert has to hold. Thresholds stay. */
export const inSeconds = (rules: string): string =>
  rules
    .replace(/\[(\d+[smh])\]/g, (_, duration: string) => `[${scaled(duration)}]`)
    .replace(/^( *(?:for|interval): )(\d+[smh])$/gm, (_, key: string, duration: string) => `${key}${scaled(duration)}`)

const readiness = Schedule.spaced("50 millis")

const freePort = Effect.promise(async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  // a server that listens on TCP has such an address
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, "close")
  return port
})

const Answer = Schema.fromJsonString(
  Schema.Struct({
    data: Schema.Struct({
      result: Schema.Array(
        Schema.Struct({
          metric: Schema.Record(Schema.String, Schema.String),
          value: Schema.Tuple([Schema.Number, Schema.String])
        })
      )
    })
  })
)

export interface PrometheusServer {
  readonly query: (
    expr: string
  ) => Effect.Effect<ReadonlyArray<{ readonly labels: { readonly [name: string]: string }; readonly value: number }>>
  /** What it says of the last scrape, if that went wrong. */
  readonly scrapeError: Effect.Effect<string>
}

const Targets = Schema.fromJsonString(
  Schema.Struct({
    data: Schema.Struct({ activeTargets: Schema.Array(Schema.Struct({ lastError: Schema.String })) })
  })
)

/** Scrapes a target twice a second, and evaluates rules as often. */
export const startPrometheus = (target: string, rulesFile: string) =>
  Effect.gen(function* () {
    const folder = yield* Effect.acquireRelease(
      Effect.sync(() => mkdtempSync(join(tmpdir(), "holdfast-prometheus-"))),
      (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
    )
    writeFileSync(join(folder, "rules.yml"), inSeconds(readFileSync(rulesFile, "utf8")))
    writeFileSync(
      join(folder, "prometheus.yml"),
      `global: { scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms }
rule_files: [rules.yml]
scrape_configs:
  - job_name: shop
    static_configs: [{ targets: ["${target}"] }]
`
    )
    const port = yield* freePort
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(
          "prometheus",
          [
            `--config.file=${join(folder, "prometheus.yml")}`,
            `--storage.tsdb.path=${join(folder, "data")}`,
            `--web.listen-address=127.0.0.1:${port}`,
            "--log.level=error"
          ],
          { stdio: ["ignore", "ignore", "inherit"] }
        )
      ),
      (child) =>
        Effect.promise(async () => {
          if (child.exitCode !== null || child.signalCode !== null) return
          const ended = once(child, "exit")
          child.kill("SIGKILL")
          await ended
        })
    )
    const get = (path: string) =>
      Effect.tryPromise(async () => {
        const response = await fetch(`http://127.0.0.1:${port}${path}`)
        if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`)
        return response.text()
      })
    yield* get("/-/ready").pipe(Effect.retry({ times: 200, schedule: readiness }), Effect.orDie)
    const server: PrometheusServer = {
      query: (expr) =>
        Effect.flatMap(get(`/api/v1/query?query=${encodeURIComponent(expr)}`), Schema.decodeEffect(Answer)).pipe(
          Effect.map(({ data }) =>
            data.result.map(({ metric, value }) => ({ labels: metric, value: Number(value[1]) }))
          ),
          Effect.orDie
        ),
      scrapeError: Effect.flatMap(get("/api/v1/targets"), Schema.decodeEffect(Targets)).pipe(
        Effect.map(({ data }) => data.activeTargets.map(({ lastError }) => lastError).join()),
        Effect.orDie
      )
    }
    return server
  })
