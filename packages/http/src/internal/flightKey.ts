import type { Encoded, Given } from "./encodeRequest.ts"
import type { Overrides } from "./policyModel.ts"

const numbers = new WeakMap<object, number>()
let numbered = 0

/** A number for each schema and each set of overrides: they have no name that tells them apart. */
const numberOf = (nameless: object | undefined): number => {
  if (nameless === undefined) return 0
  const known = numbers.get(nameless)
  if (known !== undefined) return known
  numbered++
  numbers.set(nameless, numbered)
  return numbered
}

/** What makes two reads equal: where they go, what they ask with, and what is made of the answer; and how they are tried. */
export const flightKey = (method: string, request: Encoded, given: Given, overrides: Overrides | undefined): string => {
  const headers = Object.entries(request.headers)
    .filter(([name]) => name !== "x-request-id")
    .map(([name, value]) => `${name}: ${value}`)
    .toSorted()
  const rejections = (given.rejections ?? []).map(({ entry, schema }) => `${entry.code} ${numberOf(schema)}`)
  return JSON.stringify([
    method,
    request.path,
    headers,
    numberOf(given.decode),
    given.expectedStatus ?? [],
    rejections,
    numberOf(overrides)
  ])
}
