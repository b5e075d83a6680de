/** Where an origin leads, in the attributes of OpenTelemetry's conventions. */
export interface EndpointLabels {
  readonly "server.address": string
  readonly "server.port": string
  readonly "url.scheme": string
}

export const endpointLabels = (origin: string): EndpointLabels => {
  const url = URL.parse(origin)
  const isSecure = url?.protocol === "https:"
  return {
    // a bare IPv6 address, as the conventions have it
    "server.address": (url?.hostname ?? origin).replace(/^\[|\]$/g, ""),
    "server.port": url === null || url.port === "" ? (isSecure ? "443" : "80") : url.port,
    "url.scheme": isSecure ? "https" : "http"
  }
}
