/** The defaults of `HttpPolicy` itself. Users know them as `HttpPolicy.defaults`; they are here for the schema, which that module reads. */

import * as Duration from "effect/Duration"

export const defaults = {
  deadline: Duration.seconds(30),
  attemptTimeout: Duration.seconds(10),
  nonIdempotent: "never",
  refusals: "fail",
  redirects: { max: 5, insecure: "refuse", traceHeaders: "drop" },
  limits: {
    responseBytes: 16 * 1024 * 1024,
    errorBytes: 16 * 1024,
    drainBytes: 256 * 1024,
    drainTime: Duration.seconds(1)
  }
} as const
