// So many calls that wait for an answer: what the heap grew by.

import { setImmediate as turn } from "node:timers/promises"
import type { Calls } from "../call/contender.ts"
import { measureCpu } from "./cpu.ts"

export interface HeapFigures {
  /** Of the heap, for each call in flight. */
  readonly bytes: number
  readonly noise: number
}

const settledHeap = async (): Promise<number> => {
  for (let count = 0; count < 4; count++) {
    await turn()
    globalThis.gc?.()
  }
  return process.memoryUsage().heapUsed
}

export const measureHeap = async (
  answered: Calls,
  unanswered: Calls & { readonly held: Array<unknown> },
  calls: number
): Promise<HeapFigures> => {
  if (globalThis.gc === undefined) throw new Error("start it with --expose-gc")
  // compiled code and inline caches are on the heap too
  await answered.run(5000)
  const used = measureCpu()
  const before = await settledHeap()
  const started = unanswered.start(calls)
  const after = await settledHeap()
  const { noise } = used()
  if (started.length !== calls || unanswered.held.length !== calls) {
    throw new Error(`${unanswered.held.length} of ${started.length} calls reached the operation`)
  }
  return { bytes: (after - before) / calls, noise }
}
