/** The business errors that a call declared. */

import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"
import { Entry } from "../outcome/errorEntry.ts"
import { Carried } from "./carried.ts"

/**
 * Business: the response is one of the business errors that the call declared, at any status.
 *
 * @category errors
 * @since 0.1.0
 */
export class BusinessRejected extends Schema.TaggedError<BusinessRejected>()("BusinessRejected", {
  /** The entry of the catalogue that the response matched: its code, summary, nature and what to answer. */
  entry: Entry,
  /** Status of the response; `200` when the error came in an envelope. */
  status: Schema.Int,
  /** The decoded business error. Encoded, no deeper than `Nesting.maxCarriedLevels`. */
  error: Carried
}) {
  override get message() {
    return oneLine(`${this.entry.summary} (${this.entry.code}, status ${this.status})`)
  }
}
