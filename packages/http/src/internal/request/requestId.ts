/** How an identifier of a request is made. */

import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"

const hexOfByte: ReadonlyArray<string> = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

/** 32 bits as eight digits. A table, because `toString(16)` was a tenth of the cost of a call. */
const hex = (bits: number): string =>
  `${hexOfByte[bits >>> 24]}${hexOfByte[(bits >>> 16) & 255]}${hexOfByte[(bits >>> 8) & 255]}${hexOfByte[bits & 255]}`

/** 64 random bits; `Random` is the fiber's, so that a test can foretell them. */
export const randomHex = (fiber: Fiber.Fiber<unknown, unknown>): string => {
  const random = fiber.getRef(Random.Random)
  return hex((random.nextDoubleUnsafe() * 2 ** 32) >>> 0) + hex((random.nextDoubleUnsafe() * 2 ** 32) >>> 0)
}
