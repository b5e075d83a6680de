import type { Encoded, Given } from "./encodeRequest.ts"

const schemaNumbers = new WeakMap<object, number>()
let schemas = 0

/** A number for each schema: schemas have no name that tells them apart. */
const schemaNumber = (schema: object | undefined): number => {
  if (schema === undefined) return 0
  const known = schemaNumbers.get(schema)
  if (known !== undefined) return known
  schemas++
  schemaNumbers.set(schema, schemas)
  return schemas
}

/** What makes two reads equal: where they go, what they ask with, and what is made of the answer. */
export const flightKey = (method: string, request: Encoded, given: Given): string => {
  const headers = Object.entries(request.headers)
    .filter(([name]) => name !== "x-request-id")
    .map(([name, value]) => `${name}: ${value}`)
    .toSorted()
  const rejections = (given.rejections ?? []).map(({ entry, schema }) => `${entry.code} ${schemaNumber(schema)}`)
  return JSON.stringify([
    method,
    request.path,
    headers,
    schemaNumber(given.decode),
    given.expectedStatus ?? [],
    rejections
  ])
}
