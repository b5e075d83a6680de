/** Holdfast with its standard policy, as a service would have it. */
import { Effect, Exit, Layer, Scope } from "effect"
import { ErrorCatalog, HttpPolicy, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import type { MakeClient } from "./load.ts"

export const makeHoldfast: MakeClient = async ({ protocol, trustedRoot, url }) => {
  const scope = Effect.runSync(Scope.make())
  const upstream = await Effect.runPromise(
    Effect.gen(function* () {
      const transport = yield* Layer.build(NodeTransport.layer({ http2: protocol === "2", tls: { ca: trustedRoot } }))
      return yield* Upstream.make("ledger", { baseUrl: url, policy: HttpPolicy.standard() }).pipe(
        Effect.provide(transport)
      )
    }).pipe(Scope.provide(scope))
  )
  return {
    call: (method, path, id) => {
      const headers = { "x-call": id }
      const call = method === "GET" ? upstream.get(path, { headers }) : upstream.post(path, { headers, json: {} })
      return Effect.runPromise(
        Effect.match(call, {
          onSuccess: () => undefined,
          onFailure: ({ reason }) => ({
            why: "code" in reason && reason.code !== undefined ? `${reason._tag} ${String(reason.code)}` : reason._tag,
            isRefusal: ErrorCatalog.of(reason).nature === "refusal"
          })
        })
      )
    },
    leave: (path) => {
      const abort = new AbortController()
      Effect.runPromise(upstream.get(path), { signal: abort.signal }).catch(() => {})
      setImmediate(() => abort.abort())
    },
    retries: () => Effect.runSync(upstream.snapshot).budget?.granted ?? 0,
    close: () => Effect.runPromise(Scope.close(scope, Exit.void))
  }
}
