/** `undici.request`, bare. */
import { Agent, request } from "undici"
import type { MakeClient } from "./load.ts"
import { codeOf, statusFailure } from "./peerFailure.ts"

export const makeUndici: MakeClient = async ({ protocol, trustedRoot, url }) => {
  const dispatcher = new Agent({ connections: 64, allowH2: protocol === "2", connect: { ca: trustedRoot } })
  return {
    call: async (method, path, id) => {
      try {
        const { body, statusCode } = await request(`${url}${path}`, {
          dispatcher,
          method,
          headers: { "x-call": id },
          body: method === "POST" ? "{}" : null
        })
        await body.text()
        return statusFailure(statusCode)
      } catch (error) {
        return { why: codeOf(error), isRefusal: false }
      }
    },
    leave: (path) => {
      const abort = new AbortController()
      request(`${url}${path}`, { dispatcher, signal: abort.signal })
        .then(({ body }) => body.dump())
        .catch(() => {})
      setImmediate(() => abort.abort())
    },
    retries: () => 0,
    close: () => dispatcher.destroy()
  }
}
