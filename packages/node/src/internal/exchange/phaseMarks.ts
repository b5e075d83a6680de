/** When the phases of an exchange ended, and what its caller is told of that. */

import type * as Transport from "@holdfast/http/Transport"
import type { Connected } from "../pool/connection.ts"
import { nowMillis } from "./monotonic.ts"

/** Instants on the monotonic clock, for callers that listen. */
export interface PhaseMarks {
  readonly begunMillis: number
  connectedMillis: number | undefined
  startedMillis: number | undefined
  sentMillis: number | undefined
  headersMillis: number | undefined
}

export const makePhaseMarks = (): PhaseMarks => ({
  begunMillis: nowMillis(),
  connectedMillis: undefined,
  startedMillis: undefined,
  sentMillis: undefined,
  headersMillis: undefined
})

/** The durations of the phases until now. The time to make a connection is told of the exchange that it was made for. */
export const timingsOf = (
  { begunMillis, connectedMillis, headersMillis, sentMillis, startedMillis }: PhaseMarks,
  connected: Connected | undefined,
  isFirst: boolean
): Transport.PhaseTimings => {
  const now = nowMillis()
  const made = isFirst ? connected : undefined
  return {
    ...(connected === undefined
      ? {}
      : { connection: isFirst ? "new" : "reused", protocol: connected.protocol, peer: connected.peer }),
    queueMillis: (connectedMillis ?? now) - begunMillis,
    dnsMillis: made?.dnsMillis,
    connectMillis: made?.connectMillis,
    tlsMillis: made?.tlsMillis,
    sendMillis: startedMillis === undefined ? undefined : (sentMillis ?? now) - startedMillis,
    waitMillis: sentMillis === undefined ? undefined : (headersMillis ?? now) - sentMillis,
    receiveMillis: headersMillis === undefined ? undefined : now - headersMillis
  }
}
