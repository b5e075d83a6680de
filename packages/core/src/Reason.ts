/**
 * The reasons why a call can fail, one Schema class each.
 *
 * A `CallError` holds exactly one of them in its `reason`, so `Effect.catchReason("CallError", "NotFound", …)` picks one
 * out, and every one encodes, decodes and prints in one line.
 *
 * **When to use**: to recover from one kind of failure, or to build one in a test. **What it is not**: the judgement on a
 * reason (is it worth another try? may the request have been applied?) is data, in `ErrorCatalog`.
 *
 * **Gotchas**: reasons and `CallError` carry no stack: they are made on hot paths, and the frames would be this
 * library's. Where a call was made is said by its operation, and by the spans of `Effect.fn`.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"
import { AuthReason } from "./internal/reasons/authReasons.ts"
import { BusinessRejected } from "./internal/reasons/businessReasons.ts"
import { CodecReason } from "./internal/reasons/codecReasons.ts"
import { NetworkReason } from "./internal/reasons/networkReasons.ts"
import { PolicyReason } from "./internal/reasons/policyReasons.ts"
import { ProtocolReason } from "./internal/reasons/protocolReasons.ts"
import { StatusReason } from "./internal/reasons/statusReasons.ts"
import { type AttemptTimeout, type DeadlineExceeded, TimeReason } from "./internal/reasons/timeReasons.ts"
import { TlsReason } from "./internal/reasons/tlsReasons.ts"

export { Phase } from "./internal/reasons/transportFields.ts"
export * from "./internal/reasons/networkReasons.ts"
export * from "./internal/reasons/tlsReasons.ts"
export * from "./internal/reasons/protocolReasons.ts"
export * from "./internal/reasons/timeReasons.ts"
export * from "./internal/reasons/policyReasons.ts"
export * from "./internal/reasons/statusReasons.ts"
export * from "./internal/reasons/businessReasons.ts"
export * from "./internal/reasons/codecReasons.ts"
export * from "./internal/reasons/authReasons.ts"

/**
 * Every reason why a call can fail; the union is closed, so a `switch` over `_tag` is checked for completeness.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Reason = Schema.Union([
  ...NetworkReason.members,
  ...TlsReason.members,
  ...ProtocolReason.members,
  ...TimeReason.members,
  ...PolicyReason.members,
  ...StatusReason.members,
  BusinessRejected,
  ...CodecReason.members,
  ...AuthReason.members
])

/**
 * Every reason why a call can fail.
 *
 * @category models
 * @since 0.1.0
 */
export type Reason = typeof Reason.Type

/**
 * The name of a reason.
 *
 * @category models
 * @since 0.1.0
 */
export type Tag = Reason["_tag"]

/**
 * The failures of a transport: everything below HTTP semantics.
 *
 * @category models
 * @since 0.1.0
 */
export type TransportReason =
  | NetworkReason
  | TlsReason
  | ProtocolReason
  | Exclude<TimeReason, AttemptTimeout | DeadlineExceeded>
