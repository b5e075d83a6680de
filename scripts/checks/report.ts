// What every check gives back, and how each is declared.

export interface Report {
  readonly passed: number
  readonly failed: number
  readonly skipped: number
  /** A few words for the check's one line: `143 files`. */
  readonly summary: string
  /** Everything that is needed to mend it. Shown only when something failed. */
  readonly output: string
}

export interface Check {
  readonly name: string
  /** What passing it means, for `npm test -- --help`. */
  readonly promise: string
  /** Runs with nothing beside it: it measures time, or uses every core by itself. */
  readonly alone: boolean
  /** Takes minutes: run by its name, or with `--all`. What it says is shown whatever comes of it. */
  readonly isLong?: boolean
  readonly run: (args: ReadonlyArray<string>) => Promise<Report>
}

/** A check that is one thing: it holds or it does not. */
export const verdict = (holds: boolean, summary: string, output: string): Report => ({
  passed: holds ? 1 : 0,
  failed: holds ? 0 : 1,
  skipped: 0,
  summary,
  output
})

/** There is nothing to look at yet. Said aloud, because a check over nothing proves nothing. */
export const nothingYet = (what: string): Report => ({
  passed: 0,
  failed: 0,
  skipped: 1,
  summary: `no ${what} yet`,
  output: ""
})

export const count = (amount: number, singular: string, plural = `${singular}s`): string =>
  `${amount} ${amount === 1 ? singular : plural}`
