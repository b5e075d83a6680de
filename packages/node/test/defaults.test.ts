// What the documentation says of an option that is left out.
import { Duration } from "effect"
import { assert, it } from "@effect/vitest"
import * as CertificatePin from "../src/CertificatePin.ts"
import * as NameResolver from "../src/NameResolver.ts"
import * as NodeTransport from "../src/NodeTransport.ts"

it("options that are left out are what the documentation says", () => {
  assert.deepStrictEqual(CertificatePin.defaults, { mode: "enforce" })
  assert.deepStrictEqual(NameResolver.defaults, {
    source: "system",
    timeToLive: Duration.seconds(10),
    minTimeToLive: Duration.seconds(1),
    maxTimeToLive: Duration.minutes(5),
    negativeTimeToLive: Duration.seconds(1),
    staleFor: Duration.hours(1),
    staleWait: Duration.millis(1800),
    recheckInterval: Duration.seconds(5),
    refreshAhead: Duration.zero,
    maxEntries: 1000,
    timeout: Duration.seconds(5)
  })
  assert.deepStrictEqual(NodeTransport.defaults, {
    connections: 64,
    maxQueue: 1024,
    maxWait: Duration.seconds(5),
    keepAlive: Duration.seconds(4),
    maxAge: Duration.minutes(10),
    maxRequests: Infinity,
    connectTimeout: Duration.seconds(5),
    sendTimeout: Duration.seconds(30),
    headersTimeout: Duration.seconds(30),
    bodyTimeout: Duration.seconds(30),
    transferTimeout: Duration.infinity,
    drainTimeout: Duration.seconds(5),
    decompress: true,
    headerBytes: 65_536,
    http2: false
  })
})
