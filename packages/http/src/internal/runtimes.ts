/** What the engine knows of an upstream, by the upstream that its users have; the type of that would close an import circle. */

import type { Runtime } from "./runtime.ts"

export const runtimes = new WeakMap<object, Runtime>()
