/**
 * The cases of the fault drill, and what each of them is called: a reason for every step and end, over every protocol.
 */
import type { RelayEnd, RelayFault } from "../support/behaviour.ts"

export type Wire = "HTTP/1.1" | "TLS" | "HTTP/2"

export type Step = RelayFault["step"]

/** In the order in which an exchange comes by them. */
export const steps: ReadonlyArray<{ readonly step: Step; readonly inWords: string; readonly needsTls?: true }> = [
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

export const isHandshake = (wire: Wire, step: Step): boolean => wire !== "HTTP/1.1" && handshake.has(step)

const isBody = (step: Step): boolean =>
  step === "afterResponseHead" || step === "betweenChunks" || step === "beforeLastByte"

/** Garbage within TLS needs TLS, and a handshake that is done. */
export const endsOf = (wire: Wire, step: Step): ReadonlyArray<RelayEnd> => [
  "silence",
  "close",
  "reset",
  "garbage",
  ...(wire === "HTTP/1.1" || handshake.has(step) ? [] : (["sealedGarbage"] as const))
]

/** Tags of the reasons, of which one must come; `Success` for none. */
export const expectedOf = (wire: Wire, step: Step, end: RelayEnd): ReadonlyArray<string> => {
  if (step === "afterLastByte") return ["Success"]
  return ["?"]
}
