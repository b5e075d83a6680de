import { Scheduler } from "effect"

/** Interrupts the fiber that runs by it once it has made so many steps. */
export const interruptingAfter = (operations: number): Scheduler.Scheduler => {
  const scheduler = new Scheduler.MixedScheduler()
  let made = 0
  return {
    executionMode: "async",
    makeDispatcher: () => scheduler.makeDispatcher(),
    shouldYield: (fiber) => {
      made++
      if (made === operations) fiber.interruptUnsafe()
      return false
    }
  }
}
