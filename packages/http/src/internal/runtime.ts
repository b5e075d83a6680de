import type { Failure } from "@holdfast/core/Outcome"
import type { Reason } from "@holdfast/core/Reason"
import type { RetryBudget } from "@holdfast/core/RetryBudget"
import type { HttpPolicy } from "../HttpPolicy.ts"
import type { Rejection } from "../Rejection.ts"
import type { Transport } from "../Transport.ts"

/** What the pipeline knows of an upstream. */
export interface Runtime {
  readonly name: string
  readonly policy: HttpPolicy
  readonly budget: RetryBudget | undefined
  readonly transport: Transport["Service"]
  readonly origin: string
  readonly endpoint: string
  /** Path of the base URL, without a slash at its end. */
  readonly basePath: string
  readonly headers: { readonly [name: string]: string }
  readonly rejections: ReadonlyArray<Rejection<unknown>>
  readonly classify: ((reason: Reason, usual: Failure) => Failure) | undefined
  readonly propagateTrace: boolean
  readonly visibleQuery: ReadonlyArray<string>
}
