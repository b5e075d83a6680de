/** The attributes of an incoming request's identity, on its span and on every log line. Spans of calls use the same names. */
export const identityAttributes = (identity: {
  readonly id: string
  readonly tags: { readonly [name: string]: string }
}): Record<string, string> => {
  const attributes: Record<string, string> = { "holdfast.request_id": identity.id }
  for (const name of Object.keys(identity.tags)) attributes[`holdfast.tag.${name}`] = identity.tags[name] ?? ""
  return attributes
}
