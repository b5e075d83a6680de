import { buildConnector } from "undici"

/** The connection was not made within the limit. */
export class ConnectTimeoutError extends Error {
  readonly limitMillis: number
  constructor(limitMillis: number) {
    super(`no connection within ${limitMillis}ms`)
    this.limitMillis = limitMillis
  }
}

/**
 * undici's connector, with a timer of our own over name resolution, TCP and TLS together: undici's is up to a second late.
 */
export const makeConnector = (options: buildConnector.BuildOptions, limitMillis: number): buildConnector.connector => {
  const connect = buildConnector({ ...options, timeout: 0 })
  return (target, callback) => {
    let done = false
    const timer = setTimeout(() => {
      if (done) return
      done = true
      // `connect` gives the socket that it opens, though its type does not say so
      ;(socket as unknown as { readonly destroy: () => void } | undefined)?.destroy()
      callback(new ConnectTimeoutError(limitMillis), null)
    }, limitMillis)
    const socket: unknown = connect(target, (...result) => {
      if (done) return
      done = true
      clearTimeout(timer)
      callback(...result)
    })
  }
}
