/** The caller that asks for a stream, whatever passes the request on. */

import { type CallSite, callSite } from "./callSite.ts"

/** The facts of a caller that asks for a stream, besides the request. */
export interface Asking {
  readonly site: CallSite
  /** Runs once the call is over: it failed, or its body has ended. More than once is the same as once. */
  readonly onEnded?: (() => void) | undefined
}

let current: Asking | undefined

/** Asks in somebody's name: what hands a request on is not who asked for it. */
export const askingAs = <A>(asking: Asking, ask: () => A): A => {
  const outer = current
  current = asking
  try {
    return ask()
  } finally {
    current = outer
  }
}

/** The caller of `helper` now. */
export const whoAsks = (helper: Function): Asking => current ?? { site: callSite(helper) }
