/** Data of others within an error: as deep as an error carries it, so that it can be encoded and printed wherever it came from. */

import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Nesting from "../../Nesting.ts"
import { type Problem, type ProblemEncoded, problemSchema } from "../outcome/problemSchema.ts"

/** Data of others within an error: as deep as an error carries it, so that it can be encoded and printed wherever it came from. */
export const Carried: Schema.Codec<unknown> = Schema.Unknown.pipe(
  Schema.decodeTo(
    Schema.Unknown,
    SchemaTransformation.transform({
      decode: (value: unknown) => Nesting.cut(value),
      encode: (value: unknown) => Nesting.cut(value)
    })
  )
)

/** The members as {@link Carried}; the members of the standard itself have no depth. */
const carriedProblem = <P extends Problem>(problem: P): P =>
  // cutting changes extensions only, whose type is unknown
  Nesting.cut(problem) as P

export const CarriedProblem: Schema.Codec<Problem, ProblemEncoded> = problemSchema.pipe(
  Schema.decodeTo(
    Schema.toType(problemSchema),
    SchemaTransformation.transform({ decode: carriedProblem, encode: carriedProblem })
  )
)
