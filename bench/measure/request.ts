// So many requests in flight for a while, first to warm up, then measured.

import { Agent, get } from "node:http"
import { createHistogram } from "node:perf_hooks"
import { setTimeout as sleep } from "node:timers/promises"
import type { Client, Target } from "../request/contender.ts"
import { measureCpu, type Phase, startPhase } from "./cpu.ts"
import { startProfile } from "./profile.ts"

export interface RequestFigures {
  /** CPU of the client process for each request. */
  readonly cpuMicros: number
  readonly perSecond: number
  readonly p50Millis: number
  readonly p99Millis: number
  readonly noise: number
}

/** What the server's process has used since it started, asked over a connection of its own. */
const serverMicros = async (origin: string, agent: Agent): Promise<number> => {
  const text = await new Promise<string>((resolve, reject) => {
    get(`${origin}/cpu`, { agent }, (response) => {
      let text = ""
      response.setEncoding("utf8").on("data", (chunk: string) => (text += chunk))
      response.on("end", () => resolve(text)).on("error", reject)
    }).on("error", reject)
  })
  const { system, user }: NodeJS.CpuUsage = JSON.parse(text)
  return user + system
}

const untilOver = async (phase: Phase): Promise<void> => {
  const isOver = startPhase(phase)
  while (!isOver()) await sleep(20)
}

export const measureRequests = async (
  client: Client,
  target: Target,
  options: { readonly warm: Phase; readonly measured: Phase; readonly profile?: string | undefined }
): Promise<RequestFigures> => {
  const latencies = createHistogram()
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  let running = true
  let measuring = false
  const meter = {
    running: () => running,
    record: (started: number) => {
      if (measuring) latencies.record(Math.max(1, Math.round((performance.now() - started) * 1000)))
    }
  }
  const workers = Promise.all(Array.from({ length: target.connections }, () => client.work(meter)))
  const measured = async (): Promise<RequestFigures> => {
    await untilOver(options.warm)
    const serverBefore = await serverMicros(target.origin, agent)
    const endProfile = await startProfile(options.profile)
    const used = measureCpu()
    measuring = true
    await untilOver(options.measured)
    measuring = false
    const server = (await serverMicros(target.origin, agent)) - serverBefore
    const { elapsedMicros, micros, noise } = used(server)
    await endProfile()
    return {
      cpuMicros: micros / latencies.count,
      perSecond: (latencies.count / elapsedMicros) * 1e6,
      p50Millis: latencies.percentile(50) / 1000,
      p99Millis: latencies.percentile(99) / 1000,
      noise
    }
  }
  // workers end when they are told to; one that ends earlier has failed, and its error is the sample's
  const figures = await Promise.race([measured(), workers.then(() => Promise.reject(new Error("the workers ended")))])
  running = false
  await workers
  agent.destroy()
  return figures
}
