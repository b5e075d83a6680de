/** What every log line and the span of a request that came in say of its identity. Spans of calls use the same names. */
export const identityAttributes = (identity: {
  readonly id: string
  readonly tags: { readonly [name: string]: string }
}): Record<string, string> => {
  const attributes: Record<string, string> = { "holdfast.request_id": identity.id }
  for (const name of Object.keys(identity.tags)) attributes[`holdfast.tag.${name}`] = identity.tags[name] ?? ""
  return attributes
}
