// Every check that there is.

import { boundaries } from "./boundaries.ts"
import { docs } from "./docs.ts"
import { effect } from "./effect.ts"
import { format } from "./format.ts"
import { generated } from "./generated.ts"
import { lint } from "./lint.ts"
import { pack } from "./pack.ts"
import { prose } from "./prose.ts"
import type { Check } from "./report.ts"
import { types } from "./types.ts"
import { drill, examples, integration, unit } from "./vitest.ts"

/** In the order in which they start: the cheap ones first, so that a slip shows in seconds. */
export const checks: ReadonlyArray<Check> = [
  format,
  lint,
  boundaries,
  generated,
  prose,
  types,
  effect,
  pack,
  unit,
  docs,
  integration,
  examples,
  drill
]
