/** The measurements of a pool, and their names. */

import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type { Protocol } from "./connection.ts"
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

/** As OpenTelemetry's conventions have them, in seconds. */
const connectionSeconds = [0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300]

/** The gauges of a pool in the metric registry. */
export interface PoolMetrics {
  /** A connection was closed. */
  readonly connectionClosed: (protocol: Protocol, millis: number) => void
  /** Takes all of it out. */
  readonly forget: () => void
}

/** Puts a pool in the metric registry: gauges that are read when somebody exports them, and how long its connections lived. */
export const registerPool = (
  context: Context.Context<never>,
  pool: { readonly upstream: string; readonly host: string; readonly port: string; readonly figures: () => PoolFigures }
): PoolMetrics => {
  const labels = { "holdfast.upstream": pool.upstream, "server.address": pool.host, "server.port": pool.port }
  const registered = poolGauges.map(({ attributes, description, name, read, unit }) =>
    Metric.registerUnsafe(
      Metric.gauge(name, { description, attributes: { ...labels, unit, ...attributes } }),
      context,
      { get: () => ({ value: read(pool.figures()) }), update: nothing, modify: nothing }
    )
  )
  const durations = new Map<Protocol, Metric.Histogram<number>>()
  const durationOf = (protocol: Protocol): Metric.Histogram<number> => {
    const known = durations.get(protocol)
    if (known !== undefined) return known
    const made = Metric.histogram("http.client.connection.duration", {
      description: "How long connections lived, told when they are closed",
      boundaries: connectionSeconds,
      attributes: { ...labels, "network.protocol.version": protocol === "http/2" ? "2" : "1.1", unit: "s" }
    })
    durations.set(protocol, made)
    return made
  }
  return {
    connectionClosed: (protocol, millis) => durationOf(protocol).updateUnsafe(millis / 1000, context),
    forget: () => {
      for (const registration of registered) registration.remove()
      for (const duration of durations.values()) Metric.removeUnsafe(duration, context)
    }
  }
}
