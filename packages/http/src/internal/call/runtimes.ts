/** The runtime of an upstream, by the upstream that its users have: its type is above this. */

import type { Runtime } from "./runtime.ts"

export const runtimes = new WeakMap<object, Runtime>()
