/** Where in a program something was asked for, as the platform keeps it: its text is made when it is first read. */
export interface CallSite {
  readonly stack?: string | undefined
}

// V8 and JavaScriptCore have them, the standard library's types do not; elsewhere setting the limit does nothing
const stacks = Error as ErrorConstructor & {
  stackTraceLimit: number
  captureStackTrace?: ((target: object, below: Function) => void) | undefined
}

/** Enough to see the program's own function and who called it; each frame costs. */
const frames = 8

/** The place that calls `below` now, without the frames above it. */
export const callSite = (below: Function): CallSite => {
  const limit = stacks.stackTraceLimit
  stacks.stackTraceLimit = frames
  try {
    if (stacks.captureStackTrace === undefined) return new Error()
    const site: CallSite = {}
    stacks.captureStackTrace(site, below)
    return site
  } finally {
    stacks.stackTraceLimit = limit
  }
}

/** Frames that say nothing of the program: those of the effect runtime that runs it, and of the platform. */
const isNoise = (line: string): boolean => /[\\/]node_modules[\\/]effect[\\/]|\bnode:|\(<anonymous>\)$/.test(line)

/** The frames of the program, a line each. */
export const framesOf = (site: CallSite): string =>
  (site.stack ?? "")
    .split("\n")
    .slice(1)
    .filter((line) => !isNoise(line))
    .join("\n")
