// A CPU profile of the measured phase alone: what it takes to start a process and to warm up is not in it.

import { writeFileSync } from "node:fs"
import { Session } from "node:inspector/promises"

/** Begins to profile, when a file is given to write it to; what it gives ends it. */
export const startProfile = async (file: string | undefined): Promise<() => Promise<void>> => {
  if (file === undefined) return async () => {}
  const session = new Session()
  session.connect()
  await session.post("Profiler.enable")
  await session.post("Profiler.setSamplingInterval", { interval: 250 })
  await session.post("Profiler.start")
  return async () => {
    const { profile } = await session.post("Profiler.stop")
    session.disconnect()
    writeFileSync(file, JSON.stringify(profile))
  }
}
