// Mutants that no test can tell from the original, each with the reason. One that is not found any more is told of.

import type { Mutant } from "./mutants.ts"

export interface Explanation {
  /** From the root. */
  readonly file: string
  /** A line of the module, without its indentation. */
  readonly line: string
  /** What becomes of what, as a run prints it; none for every mutant of the line that is listed by its result alone. */
  readonly mutants: ReadonlyArray<readonly [before: string, after: string]>
  readonly why: string
}

export const explanations: ReadonlyArray<Explanation> = []

export const explains = (explanation: Explanation, file: string, mutant: Mutant): boolean =>
  explanation.file === file &&
  explanation.line === mutant.lineText &&
  explanation.mutants.some(
    ([before, after]) => before === inOneLine(mutant.before) && after === inOneLine(mutant.after)
  )

export const inOneLine = (text: string): string => text.replace(/\s+/g, " ")
