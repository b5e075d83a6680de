import * as Effect from "effect/Effect"

/** Whether a dual `run` got the effect itself, and not only its options. */
export const isDataFirst = (given: IArguments): boolean => Effect.isEffect(given[0])
