/** The headers and cookies of an answer that has none. */

import type * as Transport from "../../Transport.ts"

// the empty fields of an answer, the same for all answers

export const noCookies: ReadonlyArray<string> = []

export const noHeaders: Transport.Headers = {}
