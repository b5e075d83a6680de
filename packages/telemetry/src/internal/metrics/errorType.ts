/** The value of the attribute `error.type` for a failure. */

import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type { Reason } from "@holdfast/core/Reason"

/** The value for a failure without a name of its own. */
export const other = "_OTHER"

/** As spans have it: the status where that is the failure, the catalogue's code otherwise. */
export const attemptErrorType = (reason: Reason | undefined): string => {
  if (reason === undefined) return other
  const { code, domain } = ErrorCatalog.of(reason)
  return domain === "status" && "status" in reason ? String(reason.status) : code
}

export const callErrorType = (reason: Reason | undefined): string =>
  reason === undefined ? other : ErrorCatalog.of(reason).code
