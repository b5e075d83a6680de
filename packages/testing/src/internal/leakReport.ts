/** The leaks, in words: merged, counted, and put for the reader of a test's output. */

import type { Kind, Leak } from "./leak.ts"

/** One thing that was left. */
export interface Left {
  readonly kind: Kind
  readonly what: string
  readonly where: ReadonlyArray<string>
}

/** Merges leaks that are alike: the same thing, from the same place. The order is that of the first of each. */
export const merged = (left: ReadonlyArray<Left>): ReadonlyArray<Leak> => {
  const leaks = new Map<string, Leak>()
  for (const { kind, what, where } of left) {
    const key = JSON.stringify([kind, what, where])
    const count = (leaks.get(key)?.count ?? 0) + 1
    leaks.set(key, { kind, what, where, count })
  }
  return [...leaks.values()]
}

/** The report of a failed check. */
export const report = (leaks: ReadonlyArray<Leak>, waited: string): string => {
  const count = leaks.reduce((sum, leak) => sum + leak.count, 0)
  const title = `LeakCheck: ${count} ${count === 1 ? "thing is" : "things are"} left ${waited} after the effect ended`
  return [title, ...leaks.map(line)].join("\n")
}

const line = ({ count, kind, what, where }: Leak): string =>
  [`  ${kind}: ${count === 1 ? "" : `${count} × `}${what}`, ...where.map((place) => `      ${place}`)].join("\n")

/** The pause before the next look: it doubles from 1 ms, as goleak's does, and is never longer than 100 ms. */
export const pauseMillis = (looks: number): number => Math.min(2 ** looks, 100)

const mostPlaces = 4

/** Frames of Node and of the engine stand above everything that is made. */
const isNodes = (frame: string): boolean => /\bnode:|<anonymous>\)$/.test(frame)

/** The place where Effect runs a fiber: frames below it have only resumed it, and say nothing about where something came from. */
const isRunLoop = (frame: string): boolean => /[\\/]node_modules[\\/](@effect[\\/]vitest|effect)[\\/]/.test(frame)

/**
 * The frames of a stack that say where something was made, innermost first: those of the program, or, where there are none,
 * those of the packages that it uses. The caller of the check is not part of it: the stack ends at `end`, too.
 */
export const placesOf = (stack: string | undefined, end: string): ReadonlyArray<string> => {
  const frames = (stack ?? "").split("\n").flatMap((text) => {
    const frame = text.trim()
    return frame.startsWith("at ") ? [frame] : []
  })
  const last = frames.findIndex((frame) => isRunLoop(frame) || frame.includes(end))
  const made = frames.slice(0, last === -1 ? frames.length : last).filter((frame) => !isNodes(frame))
  const own = made.filter((frame) => !/[\\/]node_modules[\\/]/.test(frame))
  return (own.length === 0 ? made : own).slice(0, mostPlaces)
}
