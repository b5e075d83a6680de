/** Which reads are equal, so that they share one flight. */

import type { Criticality } from "@holdfast/core/Criticality"
import type { Encoded, Given } from "../request/encodeRequest.ts"
import type { Overrides } from "../policy/policyModel.ts"

const numbers = new WeakMap<object, number>()
let numbered = 0

/** A number for each schema, policy and set of overrides: they have no name that tells them apart. */
const numberOf = (nameless: object | undefined): number => {
  if (nameless === undefined) return 0
  const known = numbers.get(nameless)
  if (known !== undefined) return known
  numbered++
  numbers.set(nameless, numbered)
  return numbered
}

/** Whose read it is. */
export interface Reader {
  readonly method: string
  readonly template: string
  /** The part of the policy that is not of this call. */
  readonly policy: object
  readonly overrides: Overrides | undefined
  readonly criticality: Criticality
  /** All headers that are sent for this caller, but for the names of an attempt. */
  readonly headers: { readonly [name: string]: string }
}

/**
 * The key by which two reads are equal: where they go, what is sent with them, and what is made of the answer; and how they are tried,
 * since a stage that sheds a caller who matters little must not shed another with it.
 */
export const flightKey = (reader: Reader, request: Encoded, given: Given): string => {
  const headers = Object.entries(reader.headers)
    .filter(([name]) => name !== "x-request-id")
    .map(([name, value]) => `${name}: ${value}`)
    .toSorted()
  const rejections = (given.rejections ?? []).map(({ entry, schema }) => `${entry.code} ${numberOf(schema)}`)
  return JSON.stringify([
    reader.method,
    // another template of the same path may be another operation of the policy
    reader.template,
    request.path,
    headers,
    numberOf(given.read ?? given.decode),
    given.expectedStatus ?? [],
    rejections,
    numberOf(reader.policy),
    numberOf(reader.overrides),
    reader.criticality
  ])
}
