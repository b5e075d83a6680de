/** Which attributes name an endpoint. */

import * as Transport from "@holdfast/http/Transport"

/** Where an origin leads, in the attributes of OpenTelemetry's conventions. */
export interface EndpointLabels {
  readonly "server.address": string
  readonly "server.port": string
  readonly "url.scheme": string
}

export const endpointLabels = (origin: string): EndpointLabels => {
  // a client that is called with something else than a URL has an origin all the same
  const server = URL.canParse(origin)
    ? Transport.serverOf(origin)
    : ({ scheme: "http", host: origin, port: 80 } as const)
  return { "server.address": server.host, "server.port": String(server.port), "url.scheme": server.scheme }
}
