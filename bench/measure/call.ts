// One call after the other, first to warm up, then measured.

import { setImmediate as turn } from "node:timers/promises"
import type { Calls } from "../call/contender.ts"
import { measureCpu, type Phase, startPhase } from "./cpu.ts"
import { startProfile } from "./profile.ts"

export interface CallFigures {
  /** CPU of the process for each call. */
  readonly nanos: number
  readonly noise: number
}

const batch = 500

export const measureCalls = async (
  calls: Calls,
  options: { readonly warm: Phase; readonly measured: Phase; readonly profile?: string | undefined }
): Promise<CallFigures> => {
  const run = async (phase: Phase): Promise<number> => {
    const isOver = startPhase(phase)
    let count = 0
    while (!isOver()) {
      await calls.run(batch)
      count += batch
      // what waits for the event loop, timers and finalizers, gets its turn as it does in a program
      await turn()
    }
    return count
  }
  await run(options.warm)
  const endProfile = await startProfile(options.profile)
  const used = measureCpu()
  const count = await run(options.measured)
  const { micros, noise } = used()
  await endProfile()
  return { nanos: (micros * 1000) / count, noise }
}
