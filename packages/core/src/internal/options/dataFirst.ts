/** Whether a dual function was called with its subject. */

import * as Effect from "effect/Effect"

/** Whether a dual `run` got the effect itself, and not only what to run one with. */
export const isDataFirst = (given: IArguments): boolean => Effect.isEffect(given[0])
