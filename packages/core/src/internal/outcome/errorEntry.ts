/** The schema of a row of an error catalogue. */

import * as Schema from "effect/Schema"

/** A row of a catalogue, as a schema: a business rejection carries its own over a wire. */
export const Entry = Schema.Struct({
  code: Schema.String,
  domain: Schema.String,
  layer: Schema.Literals(["name", "connection", "tls", "http", "client", "application"]),
  nature: Schema.Literals(["transient", "throttle", "timeout", "refusal", "caller", "permanent"]),
  severity: Schema.Literals(["info", "warning", "error", "critical"]),
  retryable: Schema.Boolean,
  applied: Schema.Literals(["no", "maybe"]),
  answerStatus: Schema.Int,
  summary: Schema.String,
  advice: Schema.String
})
