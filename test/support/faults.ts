/**
 * Every way in which an upstream can fail a call, as a table: a drill goes through it and asks of each that the call
 * ends, in time, with the right reason, and that nothing is left behind.
 */
import * as Behaviour from "./behaviour.ts"
import { certificateCases } from "./certificates.ts"
import type { ListenOptions } from "./upstream.ts"

export type FaultStep =
  | "handshake"
  | "accept"
  | "request"
  | "responseHead"
  | "responseBody"
  | "malformedResponse"
  | "idleConnection"

export interface Fault {
  /** `truncatedBody/reset`. */
  readonly name: string
  readonly step: FaultStep
  /** How the connection is left; nothing where that is not the fault. */
  readonly end: Behaviour.End | undefined
  /** True when nothing more happens on its own: only a bound of the client ends the call. */
  readonly needsTimeout: boolean
  /** True when the upstream has seen the whole head of a request: it may have been applied. */
  readonly requestMayBeApplied: boolean
  /**
   * True when the first call is answered well, and a second one on the same connection meets the fault; on a new
   * connection it is a first call again.
   */
  readonly firstCallSucceeds: boolean
  /** True when it shows only to a request with a body. */
  readonly needsRequestBody: boolean
  readonly behaviour: Behaviour.Behaviour
  readonly options: ListenOptions
}

const fault = (
  name: string,
  step: FaultStep,
  behaviour: Behaviour.Behaviour,
  rest: Partial<Omit<Fault, "name" | "step" | "behaviour">> = {}
): Fault => ({
  name,
  step,
  behaviour,
  end: undefined,
  needsTimeout: rest.end === "silence",
  requestMayBeApplied: step !== "handshake" && step !== "accept",
  firstCallSucceeds: false,
  needsRequestBody: false,
  options: {},
  ...rest
})

const atEveryEnd = (
  name: string,
  step: FaultStep,
  make: (options: { readonly end: Behaviour.End }) => Behaviour.Behaviour,
  rest: Partial<Omit<Fault, "name" | "step" | "behaviour">> = {}
): ReadonlyArray<Fault> => Behaviour.ends.map((end) => fault(`${name}/${end}`, step, make({ end }), { end, ...rest }))

/** Left, at every step, in every way. */
export const connectionFaults: ReadonlyArray<Fault> = [
  // Silence at once is the silence of `afterAccept`.
  ...atEveryEnd("duringConnect", "accept", Behaviour.duringConnect).filter(({ end }) => end !== "silence"),
  ...atEveryEnd("afterAccept", "accept", Behaviour.afterAccept),
  ...atEveryEnd("afterRequestLine", "request", Behaviour.afterRequestLine),
  ...atEveryEnd("afterRequestHead", "request", Behaviour.afterRequestHead),
  ...atEveryEnd("duringRequestBody", "request", Behaviour.duringRequestBody, { needsRequestBody: true }),
  ...atEveryEnd("partialStatusLine", "responseHead", Behaviour.partialStatusLine),
  ...atEveryEnd("partialHeader", "responseHead", Behaviour.partialHeader),
  ...atEveryEnd("headWithoutBody", "responseBody", Behaviour.headWithoutBody),
  ...atEveryEnd("truncatedBody", "responseBody", Behaviour.truncatedBody),
  ...atEveryEnd("truncatedChunk", "responseBody", Behaviour.truncatedChunk),
  ...atEveryEnd("missingLastChunk", "responseBody", Behaviour.missingLastChunk),
  ...atEveryEnd("onReuse", "idleConnection", Behaviour.onReuse, { firstCallSucceeds: true }),
  ...atEveryEnd("whileIdle", "idleConnection", Behaviour.whileIdle, { firstCallSucceeds: true }).filter(
    // Silence on an idle connection is what every healthy one does.
    ({ end }) => end !== "silence"
  )
]

/** Bytes that are no HTTP response, or one that contradicts itself. */
export const malformedResponses: ReadonlyArray<Fault> = [
  fault("garbage", "malformedResponse", Behaviour.garbage),
  fault("emptyAnswer", "malformedResponse", Behaviour.emptyAnswer),
  fault("badStatusLine", "malformedResponse", Behaviour.badStatusLine),
  fault("unknownProtocol", "malformedResponse", Behaviour.unknownProtocol),
  fault("badHeader", "malformedResponse", Behaviour.badHeader),
  fault("badContentLength", "malformedResponse", Behaviour.badContentLength),
  fault("negativeContentLength", "malformedResponse", Behaviour.negativeContentLength),
  fault("twoContentLengths", "malformedResponse", Behaviour.twoContentLengths),
  fault("lengthAndChunked", "malformedResponse", Behaviour.lengthAndChunked),
  fault("badChunkSize", "malformedResponse", Behaviour.badChunkSize),
  fault("unaskedUpgrade", "malformedResponse", Behaviour.unaskedUpgrade),
  fault("bodyBeyondLength", "malformedResponse", Behaviour.bodyBeyondLength),
  fault("oversizedHeader", "malformedResponse", Behaviour.oversizedHeader())
]

/** Well-formed, and more than anyone should read. */
export const oversizedResponses: ReadonlyArray<Fault> = [
  fault("oversizedBody", "responseBody", Behaviour.oversizedBody()),
  fault("oversizedChunkedBody", "responseBody", Behaviour.oversizedChunkedBody())
]

/** TLS that does not come about; a client that trusts the root of `certificates` is meant. */
export const handshakeFaults: ReadonlyArray<Fault> = [
  ...atEveryEnd("beforeClientHello", "handshake", Behaviour.beforeClientHello),
  ...atEveryEnd("afterClientHello", "handshake", Behaviour.afterClientHello),
  fault("plainHttpOnTlsPort", "handshake", Behaviour.plainHttpOnTlsPort),
  fault("tls11Only", "handshake", Behaviour.healthy, { options: { tls: { maxVersion: "TLSv1.1" } } }),
  fault("clientCertificateRequired/TLSv1.2", "handshake", Behaviour.healthy, {
    options: { tls: { clientCertificate: "required", maxVersion: "TLSv1.2" } }
  }),
  fault("clientCertificateRequired/TLSv1.3", "handshake", Behaviour.healthy, {
    options: { tls: { clientCertificate: "required", minVersion: "TLSv1.3" } }
  }),
  ...certificateCases
    .filter((certificate) => certificate !== "good")
    .map((certificate) =>
      fault(`certificate/${certificate}`, "handshake", Behaviour.healthy, { options: { tls: { certificate } } })
    )
]

export const faults: ReadonlyArray<Fault> = [
  ...connectionFaults,
  ...malformedResponses,
  ...oversizedResponses,
  ...handshakeFaults
]

/** The same fault over TLS with a good certificate. */
export const overTls = (fault: Fault): Fault =>
  fault.step === "handshake"
    ? fault
    : { ...fault, name: `${fault.name} over TLS`, options: { ...fault.options, tls: { certificate: "good" } } }
