// The floors: the operation alone, awaited and in a fiber.

import type { EffectContender, PromiseContender } from "./contender.ts"

export const promise: PromiseContender = { kind: "promise", around: async (operation) => operation }

export const fiber: EffectContender = { kind: "effect", around: async (operation) => ({ call: () => operation }) }
