import type * as Fiber from "effect/Fiber"
import * as Random from "effect/Random"

/** 64 random bits; `Random` is the fiber's, so that a test can foretell them. */
export const randomHex = (fiber: Fiber.Fiber<unknown, unknown>): string => {
  const random = fiber.getRef(Random.Random)
  const half = () =>
    Math.floor(random.nextDoubleUnsafe() * 2 ** 32)
      .toString(16)
      .padStart(8, "0")
  return half() + half()
}
