import { cockatielStack } from "../cockatielStack.ts"
import type { PromiseContender } from "./contender.ts"

export const contender: PromiseContender = {
  kind: "promise",
  around: async (operation) => {
    const { stack } = cockatielStack()
    return () => stack.execute(operation)
  }
}
