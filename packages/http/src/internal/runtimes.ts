/** What the engine knows of an upstream, by the upstream that its users have. */

import type { Upstream } from "../Upstream.ts"
import type { Runtime } from "./runtime.ts"

export const runtimes = new WeakMap<Upstream, Runtime>()
