// Which tests of `test/` hold a module. A shell around a socket keeps most of its promises only against a real peer, so it would be
// unjust to judge it by its package's own tests alone. The quickest file, and the one that is most about it, comes first.

import { matchesGlob } from "node:path"

export interface Holding {
  /** Modules, from the root. */
  readonly modules: string
  /** Names of files in `test/`, or files of a package's own, from the root. */
  readonly tests: ReadonlyArray<string>
}

const of =
  (owner: string) =>
  (names: string, ...tests: ReadonlyArray<string>): Holding => ({ modules: `packages/${owner}/src/${names}.ts`, tests })

/** It goes through all of the transport, in seconds. */
const wholeTransport = "packages/node/test/NodeTransport.test.ts"

const node = of("node")
const telemetry = of("telemetry")

export const holdings: ReadonlyArray<Holding> = [
  node("internal/*/http2Wire", "connections", "pool", "wire", "answers"),
  node("internal/*/{http1Wire,interimResponses}", "wire", "connections", "transport", "answers"),
  node(
    "internal/*/{exchange,exchangeReasons,incomingResponse}",
    wholeTransport,
    "connections",
    "pool",
    "wire",
    "transport",
    "bodies",
    "answers"
  ),
  node("internal/*/{exchangeTimers,phaseMarks,requestHead}", wholeTransport, "pool", "transport", "bodies"),
  node(
    "internal/*/{exchanges,pool,pools,connection}",
    wholeTransport,
    "pool",
    "connections",
    "transport",
    "interruption"
  ),
  node("internal/*/poolMetrics", "pool"),
  node("internal/*/upload", "wire", "connections", "transport", "bodies"),
  node("internal/*/{wire,responseHead}", "connections", "pool", "answers"),
  node("internal/*/{decoding,streamedBody,gathering}", "bodies", "answers"),
  node("internal/*/{connect,dial,tlsClient,secure}", "addresses", "pool", "tls"),
  node("internal/*/tunnel", "proxy"),
  node("NodeTransport", "transport", "pool", "tls"),
  node("Proxy", "proxy"),
  node("NameResolver", "names"),
  telemetry(
    "{Otlp,internal/otlp/{otlpDelivery,deliveryAttempt,deliveryPace,deliveryReports,deliveryMetrics,exportPieces}}",
    "otlp"
  )
]

/**
 * Tests that set the environment of their process for what is no JavaScript: OpenSSL reads it, and in a thread `process.env` is a copy.
 */
export const ofOwnProcess: ReadonlyArray<string> = ["packages/node/test/tlsSystemCa.test.ts"]

/** The tests that hold a module from outside its package, from the root. */
export const heldBy = (module: string): ReadonlyArray<string> =>
  holdings
    .filter(({ modules }) => matchesGlob(module, modules))
    .flatMap(({ tests }) => tests.map((name) => (name.includes("/") ? name : `test/${name}.test.ts`)))
