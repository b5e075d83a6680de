/** The annotations of a log line that belongs to a call. */

import * as Effect from "effect/Effect"
import type { ObservedCall } from "../../CallObserver.ts"

/** Says of whatever is logged inside of a call whose it is. */
export const annotated = <A, E, R>(call: ObservedCall, run: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.annotateLogs(run, {
    "holdfast.upstream": call.upstream,
    "holdfast.operation": call.operation,
    "holdfast.request_id": call.requestId
  })
