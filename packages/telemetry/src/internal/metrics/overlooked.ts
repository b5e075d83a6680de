/** Whether calls pass the metrics by, and what is said of it: once, and only as long as no call at all was recorded. */

/** A program that starts may make calls before its layers are all there. */
const patienceMillis = 60_000

export interface Overlooked {
  /** A call began that nobody observes; gives what is to be said now. */
  readonly passed: (call: { readonly upstream: string; readonly operation: string }) => string | undefined
  /** The metrics end; gives what was not said yet. */
  readonly atEnd: () => string | undefined
}

export const makeOverlooked = (hasHeard: () => boolean, nowMillis: () => number): Overlooked => {
  const beganMillis = nowMillis()
  let calls = 0
  let last = ""
  let isSaid = false
  const say = (): string | undefined => {
    if (isSaid || calls === 0 || hasHeard()) return undefined
    isSaid = true
    const many = calls === 1 ? "1 call that nobody observes was" : `${calls} calls that nobody observes were`
    return (
      `Metrics.layer() has recorded no call, and ${many} made since, the last of them ${last}; ` +
      "provide it to the program that makes the calls, or below the layers of its upstreams"
    )
  }
  return {
    passed: ({ operation, upstream }) => {
      if (isSaid) return undefined
      calls++
      last = `${operation} of ${upstream}`
      return nowMillis() - beganMillis >= patienceMillis ? say() : undefined
    },
    atEnd: say
  }
}
