import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type { PoolFigures } from "./pool.ts"

interface Gauge {
  readonly name: string
  readonly description: string
  readonly unit: string
  readonly attributes?: Record<string, string>
  readonly read: (figures: PoolFigures) => number
}

/** The first two by OpenTelemetry's conventions for HTTP metrics (`http.client.open_connections`), the others our own. */
export const poolGauges: ReadonlyArray<Gauge> = [
  {
    name: "http.client.open_connections",
    description: "Connections that are open",
    unit: "{connection}",
    attributes: { "http.connection.state": "active" },
    read: ({ idle, open, retiring }) => open - idle + retiring
  },
  {
    name: "http.client.open_connections",
    description: "Connections that are open",
    unit: "{connection}",
    attributes: { "http.connection.state": "idle" },
    read: ({ idle }) => idle
  },
  {
    name: "holdfast.pool.limit",
    description: "Connections at most",
    unit: "{connection}",
    read: ({ connections }) => connections
  },
  {
    name: "holdfast.pool.opening",
    description: "Connections that are being made",
    unit: "{connection}",
    read: ({ opening }) => opening
  },
  {
    name: "holdfast.pool.retiring",
    description: "Connections that finish what they carry, and take nothing new",
    unit: "{connection}",
    read: ({ retiring }) => retiring
  },
  {
    name: "holdfast.pool.in_flight",
    description: "Exchanges that have a connection",
    unit: "{request}",
    read: ({ inFlight }) => inFlight
  },
  {
    name: "holdfast.pool.waiting",
    description: "Exchanges that wait for a connection",
    unit: "{request}",
    read: ({ waiting }) => waiting
  }
]

const nothing = (): void => {}

/** Puts a pool's gauges in the metric registry; gives what takes them out. They are read when somebody exports them. */
export const registerGauges = (
  context: Context.Context<never>,
  pool: { readonly upstream: string; readonly host: string; readonly port: string; readonly figures: () => PoolFigures }
): (() => void) => {
  const registered = poolGauges.map(({ attributes, description, name, read, unit }) =>
    Metric.registerUnsafe(
      Metric.gauge(name, {
        description,
        attributes: {
          "holdfast.upstream": pool.upstream,
          "server.address": pool.host,
          "server.port": pool.port,
          unit,
          ...attributes
        }
      }),
      context,
      { get: () => ({ value: read(pool.figures()) }), update: nothing, modify: nothing }
    )
  )
  return () => {
    for (const registration of registered) registration.remove()
  }
}
