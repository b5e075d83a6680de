/** Where an upstream finds, when it is built, the policy that a file declares for it. Users know it as `PolicySource.Current`. */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type { HttpPolicy } from "./policyModel.ts"

/**
 * The owner of a policy that may be replaced while it lives: an upstream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reloadable {
  readonly name: string
  readonly policy: HttpPolicy
  readonly reload: (policy: HttpPolicy) => Effect.Effect<void>
}

/**
 * The policies that are declared outside of code, while the program runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Policies {
  /** Puts what is said of an upstream in force, and goes on to do so until the scope closes. Asked once, before any call. */
  readonly adopt: (upstream: Reloadable) => Effect.Effect<void, never, Scope.Scope>
}

/** The policies that upstreams of this context adopt; there are none unless a layer is provided. */
export const Current: Context.Reference<Policies> = Context.Reference<Policies>("@holdfast/http/PolicySource/Current", {
  defaultValue: () => ({ adopt: () => Effect.void })
})
