// In a file of its own: Node reads the operating system's roots once in a process, and this test says which they are.
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { certificates } from "../../../test/support/certificates.ts"
import { makeTlsClient } from "../src/internal/tls/tlsClient.ts"
import type * as Tls from "../src/Tls.ts"
import { tcpTo, type TestServer, tlsServer } from "./support/tlsServer.ts"

const isAccepted = (server: TestServer, options: Tls.Options) =>
  Effect.gen(function* () {
    const client = yield* makeTlsClient(options)
    const target = { host: "localhost", port: server.port, applicationProtocols: ["http/1.1"] as const }
    return (yield* Effect.exit(client.secure(yield* tcpTo(server.port), target)))._tag === "Success"
  })

it.effect.runIf(process.platform === "linux")("systemCa trusts the operating system's roots beside those of ca", () =>
  Effect.gen(function* () {
    const { servers, trustedRoot, untrustedRoot } = yield* certificates
    const at = yield* Effect.acquireRelease(
      Effect.promise(() => mkdtemp(join(tmpdir(), "holdfast-roots-"))),
      (path) => Effect.promise(() => rm(path, { recursive: true }))
    )
    yield* Effect.promise(() => writeFile(join(at, "roots.pem"), trustedRoot))
    process.env["SSL_CERT_FILE"] = join(at, "roots.pem")
    process.env["SSL_CERT_DIR"] = at
    const ofSystem = yield* tlsServer(servers.good)
    const ofOption = yield* tlsServer(servers.untrustedRoot)
    assert.isFalse(yield* isAccepted(ofSystem, {}))
    assert.isTrue(yield* isAccepted(ofSystem, { systemCa: true }))
    assert.isFalse(yield* isAccepted(ofOption, { systemCa: true }))
    assert.isTrue(yield* isAccepted(ofSystem, { systemCa: true, ca: untrustedRoot }))
    assert.isTrue(yield* isAccepted(ofOption, { systemCa: true, ca: untrustedRoot }))
    assert.isFalse(yield* isAccepted(ofSystem, { ca: untrustedRoot }))
  })
)
