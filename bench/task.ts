// What a sample is told, and what it answers.

import type { CallFigures } from "./measure/call.ts"
import type { Phase } from "./measure/cpu.ts"
import type { HeapFigures } from "./measure/heap.ts"
import type { RequestFigures } from "./measure/request.ts"
import type { Target } from "./request/contender.ts"

interface Timed {
  readonly contender: string
  readonly warm: Phase
  readonly measured: Phase
  /** Where to write a CPU profile of the measured phase. */
  readonly profile?: string | undefined
}

export type Task =
  | (Timed & { readonly section: "request"; readonly target: Target })
  | (Timed & { readonly section: "call" | "refusal" })
  | { readonly section: "heap"; readonly contender: string; readonly calls: number }

export type Figures = RequestFigures | CallFigures | HeapFigures
