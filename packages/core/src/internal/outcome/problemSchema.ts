// The lenient codec of RFC 9457 §3.1. `effect/http/ProblemDetails` has the same one, and loads Effect's HTTP server with it, no module of
// which is stable: every program that calls an upstream would pay for that. A test holds the two together.

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"

export const contentType = "application/problem+json"

/** A problem without a type: it says no more than its status (RFC 9457 §4.2.1). */
const blankType = "about:blank"

/** A problem details object: the five standard members, and extensions. */
export interface Problem {
  readonly type: string
  readonly status?: number
  readonly title?: string
  readonly detail?: string
  readonly instance?: string
  readonly [extension: string]: unknown
}

/** As it is sent, where `type` may be left out. */
export interface ProblemEncoded {
  readonly type?: string
  readonly status?: number
  readonly title?: string
  readonly detail?: string
  readonly instance?: string
  readonly [extension: string]: unknown
}

/** A member of the wrong type is as good as none. */
const member = <S extends Schema.Constraint>(schema: S) =>
  Schema.optionalKey(schema).pipe(Schema.catchDecoding(() => Effect.succeedNone))

const type = Schema.String.pipe(
  Schema.withDecodingDefaultKey(Effect.succeed(blankType)),
  Schema.catchDecoding(() => Effect.succeedSome(blankType))
)

export const problemSchema: Schema.Codec<Problem, ProblemEncoded> = Schema.StructWithRest(
  Schema.Struct({
    type,
    status: member(Schema.Number),
    title: member(Schema.String),
    detail: member(Schema.String),
    instance: member(Schema.String)
  }),
  [Schema.Record(Schema.String, Schema.Unknown)]
)
