/**
 * The cases of the fault drill, and what each of them is called: a reason for every step and end, over every protocol.
 */
import type { RelayEnd, RelayFault } from "../support/behaviour.ts"

export type Wire = "HTTP/1.1" | "TLS" | "HTTP/2"

export type Step = "beforeAccept" | RelayFault["step"]

/** In the order in which an exchange comes by them. */
export const steps: ReadonlyArray<{ readonly step: Step; readonly inWords: string; readonly needsTls?: true }> = [
  { step: "beforeAccept", inWords: "before accept" },
  { step: "onAccept", inWords: "on accept" },
  { step: "afterClientHello", inWords: "after the ClientHello", needsTls: true },
  { step: "afterServerHello", inWords: "after the ServerHello", needsTls: true },
  { step: "afterRequestLine", inWords: "after the request line" },
  { step: "afterRequestHead", inWords: "after the request head" },
  { step: "withinRequestBody", inWords: "within the request body" },
  { step: "withinResponseHead", inWords: "between header bytes" },
  { step: "afterResponseHead", inWords: "after the response head" },
  { step: "betweenChunks", inWords: "between body chunks" },
  { step: "beforeLastByte", inWords: "before the last byte" },
  { step: "afterLastByte", inWords: "after the last byte" }
]

const handshake: ReadonlySet<Step> = new Set(["onAccept", "afterClientHello", "afterServerHello"])

/** Whether there is no connection yet that a request could be sent on. */
export const isConnecting = (wire: Wire, step: Step): boolean =>
  step === "beforeAccept" || (wire !== "HTTP/1.1" && handshake.has(step))

export const isBody = (step: Step): boolean =>
  step === "afterResponseHead" || step === "betweenChunks" || step === "beforeLastByte"

/** Before a connection is there, it can be refused or not answered. Garbage within TLS needs a handshake that is done. */
export const endsOf = (wire: Wire, step: Step): ReadonlyArray<RelayEnd> => {
  if (step === "beforeAccept") return ["silence", "reset"]
  const sealed = wire !== "HTTP/1.1" && !handshake.has(step)
  return ["silence", "close", "reset", "garbage", ...(sealed ? (["sealedGarbage"] as const) : [])]
}

const inHandshake: Readonly<Record<RelayEnd, string>> = {
  silence: "ConnectTimeout",
  close: "ConnectionClosed",
  reset: "ConnectionReset",
  garbage: "TlsHandshakeFailed",
  sealedGarbage: "TlsHandshakeFailed"
}

const beforeResponse: Readonly<Record<RelayEnd, string>> = {
  silence: "HeadersTimeout",
  close: "ConnectionClosed",
  reset: "ConnectionReset",
  garbage: "MalformedResponse",
  sealedGarbage: "MalformedResponse"
}

/** A cut is a cut, however it was made. */
const withinBody: Readonly<Record<RelayEnd, string>> = {
  silence: "BodyTimeout",
  close: "ResponseTruncated",
  reset: "ResponseTruncated",
  garbage: "MalformedResponse",
  sealedGarbage: "MalformedResponse"
}

/** Tags of reasons, `Success` for none: what a call at its own step ends with, and what one may that has come less or more far. */
export interface Expected {
  readonly atStep: ReadonlyArray<string>
  readonly beside: ReadonlyArray<string>
}

export const expectedOf = (wire: Wire, step: Step, end: RelayEnd): Expected => {
  if (step === "beforeAccept") {
    return { atStep: [end === "reset" ? "ConnectionRefused" : "ConnectTimeout"], beside: [] }
  }
  if (isConnecting(wire, step)) {
    // Whether a client that is left at once is told by its connect or by its first read is chance.
    const either = step === "onAccept" && end === "reset" ? ["ConnectionClosed"] : []
    return { atStep: [inHandshake[end], ...either], beside: [] }
  }
  const before = [beforeResponse[end]]
  const within = [withinBody[end]]
  // One connection of HTTP/2 carries all calls, and its fault comes at the step of the first: the others are elsewhere.
  // Nothing was sent of those whose turn on it had not come: for them it was closed.
  const beside = wire === "HTTP/2" ? ["Success", "ConnectionClosed", ...before, ...within] : []
  // Of many calls at once some go over a connection that has carried one, and is left by then.
  if (step === "afterLastByte") return { atStep: ["Success"], beside: [...beside, ...before] }
  return { atStep: isBody(step) ? within : before, beside }
}
