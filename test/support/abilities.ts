/**
 * What the tests of the transport ask of it beyond what it can do today, each as the options that turn it on. What is
 * `undefined` is not there yet: the tests that need it say that they are skipped, and begin to run when it is filled in here.
 */
import type { Duration, Effect } from "effect"
import type { NodeTransport } from "holdfast/node"

type WithLimit = (limit: Duration.Input) => NodeTransport.Options

/** HTTP/2 where the server offers it. */
export const http2: NodeTransport.Options | undefined = undefined

/** The longest wait for the server to take a further byte of the request: `SendTimeout`. */
export const sendTimeout: WithLimit | undefined = undefined

/** The longest time from the headers to the end of the body: `TransferTimeout`. */
export const transferTimeout: WithLimit | undefined = undefined

/** Exchanges that the pools of the process still carry, or that still wait for a connection, in words; none at rest. */
export const busyPools: Effect.Effect<ReadonlyArray<string>> | undefined = undefined

/**
 * A record of TLS that is damaged after the handshake is told from a handshake that failed. Until it is, such a call ends with
 * `TlsHandshakeFailed` in phase `connect`, which says that nothing was sent, and that is not so.
 */
export const tellsDamagedRecords: boolean = false

/**
 * Connections to one endpoint over TLS are made at once. Until they are, each waits for the one before it, and so does its
 * `connectTimeout`: a silent endpoint holds the last of 64 calls for 64 limits.
 */
export const connectsTlsAtOnce: boolean = false
