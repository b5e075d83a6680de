/** The headers and cookies of an answer that has none. */

import type * as Transport from "../../Transport.ts"

// what an answer has where nothing came, the same for all of them

export const noCookies: ReadonlyArray<string> = []

export const noHeaders: Transport.Headers = {}
