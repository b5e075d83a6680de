/** What the servers are made to do while the clients call: the scenarios of the drill, as data. */
import type { Load } from "./load.ts"
import type { ServerName } from "./realServer.ts"
import type { Protocol } from "./setting.ts"

export interface Scenario {
  readonly name: string
  readonly server: ServerName | "hangs up" | "ends HTTP/2"
  readonly protocols: ReadonlyArray<Protocol>
  readonly load: Load
  /** Of a real server. */
  readonly directives?: ReadonlyArray<string>
  readonly reloadEveryMillis?: number
  /** Of one of ours: milliseconds after which it hangs up, answers after which it says goodbye. */
  readonly after?: number
  /** Hardly any load: it runs beside others of its kind. */
  readonly isQuiet?: boolean
  /** Whether the server itself gives up requests that it has taken. */
  readonly abandons?: boolean
}

/** More calls than there is time for. */
const manyCalls = 1_000_000

/**
 * Callers that call one after the other until the time is over. They wait for the backend most of the time: what a client's answers are
 * compared by is then how long it keeps its callers waiting, and not what it takes of a busy processor.
 */
const steady = (millis: number, workMillis: number): Load => ({
  callers: 32,
  clients: 1,
  workMillis,
  bound: { millis, calls: manyCalls }
})

/** An answer takes longer than the callers of a round differ: each finds a connection that has rested as long as its own. */
const roundWorkMillis = 80

const inRounds = (pauseMillis: readonly [from: number, to: number], clients: number, left = 0): Load => ({
  callers: 32,
  clients,
  workMillis: roundWorkMillis,
  bound: { millis: 8_000, calls: manyCalls },
  rounds: { pauseMillis, left }
})

/** What came first in a round has rested some tens of milliseconds longer than what came last. */
const aroundASecond = [970, 1_005] as const
/** Apache looks for what is over a tenth of a second late. */
const aroundApachesSecond = [960, 1_090] as const

const fastCalls: Load = { callers: 8, clients: 1, workMillis: 0, bound: { millis: 10_000, calls: 15_000 } }

interface OfServer {
  readonly server: ServerName
  readonly directives: ReadonlyArray<string>
  readonly protocols?: ReadonlyArray<Protocol>
}

const both = ["1.1", "2"] as const

const reloads: ReadonlyArray<Scenario> = (["nginx", "haproxy", "apache"] as const).map((server) => ({
  name: "reload under load",
  server,
  protocols: server === "nginx" ? (["1.1", "1.1 TLS", "2"] as const) : both,
  load: steady(7_000, 30),
  reloadEveryMillis: 1_500,
  // its HTTP/2 sessions end with an error while requests are at the backend
  abandons: server === "apache"
}))

const limits: ReadonlyArray<Scenario> = (
  [
    { server: "nginx", directives: ["keepalive_requests 20;"], protocols: ["1.1", "1.1 TLS", "2"] },
    { server: "apache", directives: ["MaxKeepAliveRequests 20"] }
  ] satisfies ReadonlyArray<OfServer>
).map(({ directives, protocols = both, server }: OfServer) => ({
  name: "20 requests a connection",
  server,
  protocols,
  directives,
  load: steady(4_000, 20)
}))

/** After each answer, said beforehand over HTTP/1.1 and with a GOAWAY over HTTP/2. */
const single: ReadonlyArray<Scenario> = (
  [
    { server: "nginx", directives: ["keepalive_requests 1;"], protocols: ["2"] },
    { server: "nginx", directives: ["keepalive_timeout 0;"] },
    { server: "haproxy", directives: ["option httpclose"], protocols: ["1.1"] },
    { server: "haproxy", directives: ["option http-server-close"], protocols: ["2"] }
  ] satisfies ReadonlyArray<OfServer>
).map(({ directives, protocols = both, server }: OfServer) => ({
  name: (directives[0] ?? "").replace(";", ""),
  server,
  protocols,
  directives,
  load: steady(3_000, 20)
}))

const idleCloses: ReadonlyArray<Scenario> = (
  [
    { server: "nginx", directives: ["keepalive_timeout 1s;"], protocols: ["1.1", "1.1 TLS", "2"] },
    { server: "haproxy", directives: ["timeout http-keep-alive 1s"] },
    { server: "apache", directives: ["KeepAliveTimeout 1"] }
  ] satisfies ReadonlyArray<OfServer>
).flatMap(({ directives, protocols = both, server }: OfServer) =>
  protocols.map((protocol) => ({
    name: "idle close met exactly",
    server,
    protocols: [protocol],
    directives,
    isQuiet: true,
    // over HTTP/2 only the first call of a round can meet the close: so there are more clients
    load: inRounds(server === "apache" ? aroundApachesSecond : aroundASecond, protocol === "2" ? 8 : 1)
  }))
)

/** A connection that nothing was asked over is ended with a 408 that answers no request. */
const unused: Scenario = {
  name: "408 on an unused connection",
  server: "haproxy",
  protocols: ["1.1"],
  directives: ["timeout http-request 1s", "timeout http-keep-alive 10s"],
  isQuiet: true,
  load: inRounds(aroundASecond, 1, 16)
}

const defaults: ReadonlyArray<Scenario> = (["nginx", "apache"] as const).map((server) => ({
  name: "default limits, 15 000 calls",
  server,
  protocols: both,
  load: fastCalls
}))

const rude: ReadonlyArray<Scenario> = [
  ...[0, 1, 5].map((after): Scenario => ({
    name: `${after} ms after each answer`,
    server: "hangs up",
    protocols: ["1.1"],
    after,
    load: steady(3_000, 20)
  })),
  ...[1, 20].map((after): Scenario => ({
    name: after === 1 ? "after each answer" : `after ${after} answers`,
    server: "ends HTTP/2",
    protocols: ["2"],
    after,
    load: steady(3_000, 20)
  }))
]

export const scenarios: ReadonlyArray<Scenario> = [
  ...reloads,
  ...limits,
  ...single,
  ...rude,
  ...defaults,
  ...idleCloses,
  unused
]
