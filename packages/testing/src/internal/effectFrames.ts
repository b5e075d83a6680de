/** Which frames of a fiber a report shows. */

import type * as Fiber from "effect/Fiber"

/** The line of a stack that names a fiber's place. */
export type Frame = NonNullable<Fiber.Fiber.Cache["stackFrame"]>

/** A chain of frames that never ends would be a fault, and a report of a hundred lines is not read. */
const mostFrames = 4

/** The spans and the `Effect.fn` around a place, innermost first, with where they were written. */
export const framesOf = (innermost: Frame | undefined): ReadonlyArray<string> => {
  const places: Array<string> = []
  for (let frame = innermost; frame !== undefined && places.length < mostFrames; frame = frame.parent) {
    const place = frame.stack()?.trim()
    places.push(place === undefined || place === "" ? `in ${frame.name}` : `in ${frame.name} ${place}`)
  }
  return places
}
