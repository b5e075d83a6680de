// cockatiel's circuit, opened by failures: alone, and in its stack.

import type { PromiseContender } from "../call/contender.ts"
import { cockatielBreaker, cockatielStack } from "../cockatielStack.ts"

const open = async (breaker: ReturnType<typeof cockatielBreaker>): Promise<void> => {
  for (let count = 0; count < 5; count++) {
    await breaker.execute(() => Promise.reject(new Error("down"))).catch(() => {})
  }
}

export const breaker: PromiseContender = {
  kind: "promise",
  around: async (operation) => {
    const breaker = cockatielBreaker()
    await open(breaker)
    return () => breaker.execute(operation)
  }
}

export const stack: PromiseContender = {
  kind: "promise",
  around: async (operation) => {
    const { breaker, stack } = cockatielStack()
    await open(breaker)
    return () => stack.execute(operation)
  }
}
