import type { Failure } from "./load.ts"

/** A bare client gives any status as an answer; an answer of the proxy that the backend was not asked for is none. */
export const statusFailure = (status: number | undefined): Failure | undefined =>
  status === 200 ? undefined : { why: String(status), isRefusal: false }

export const codeOf = (error: unknown): string => {
  if (!(error instanceof Error)) return String(error)
  return "code" in error && typeof error.code === "string" ? error.code : error.name
}
