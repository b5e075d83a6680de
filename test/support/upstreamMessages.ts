/**
 * What the test upstream's process and the test say to one another, and the facts the upstream records.
 */
import type { KeyAndChain } from "./certificates.ts"
import type { Behaviour, End } from "./behaviour.ts"
import type { Protocol } from "./relayCut.ts"

export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3"

/** TLS as the upstream's process needs it. */
export interface TlsMaterial extends KeyAndChain {
  readonly clientAuthority: string
  readonly clientCertificate: "none" | "requested" | "required"
  readonly minVersion?: TlsVersion
  readonly maxVersion?: TlsVersion
  readonly applicationProtocols?: ReadonlyArray<string>
}

/** All instants are `performance.timeOrigin + performance.now()`, in milliseconds: comparable across processes. */
export interface ConnectionFact {
  /** From 1, in the order of acceptance. */
  readonly ordinal: number
  readonly openedAtMillis: number
  readonly bytesReceived: number
  /** Present when the TLS handshake ended well. */
  readonly tls?: { readonly version: string; readonly clientSubject?: string }
  /** The code of what went wrong in the TLS handshake, seen from the server. */
  readonly handshakeError?: string
  /** Present when both directions are closed. */
  readonly closed?: {
    readonly atMillis: number
    readonly closedBy: "client" | "server"
    /** An RST, sent by whoever closed. */
    readonly reset: boolean
  }
}

export interface RequestFact {
  /** From 1, in the order of arrival on the listener. */
  readonly ordinal: number
  /** The ordinal of its connection. */
  readonly connection: number
  /** When its head was there. */
  readonly arrivedAtMillis: number
  readonly method: string
  /** As it stood in the request line. */
  readonly url: string
  /** Names in lower case; repeated headers joined by `, `. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: {
    readonly bytes: number
    readonly sha256: string
    /** Absent above 4096 bytes. */
    readonly text?: string
    readonly complete: boolean
  }
  /** When the last byte of the response was handed to the operating system. Only of `Http` answers. */
  readonly answeredAtMillis?: number
}

export interface Facts {
  readonly connectionsOpened: number
  readonly connectionsOpen: number
  readonly connectionsClosed: number
  readonly requestsArrived: number
  readonly requestBodiesComplete: number
  readonly responsesSent: number
  /** The last 10000. */
  readonly connections: ReadonlyArray<ConnectionFact>
  /** The last 10000. */
  readonly requests: ReadonlyArray<RequestFact>
}

/** Holds when every figure given is reached; `connectionsOpenAtMost` when no more are open. */
export interface FactCondition {
  readonly connectionsOpened?: number
  readonly connectionsClosed?: number
  readonly connectionsOpenAtMost?: number
  readonly requestsArrived?: number
  readonly requestBodiesComplete?: number
  readonly responsesSent?: number
}

export type Command =
  | {
      readonly _tag: "Listen"
      readonly behaviour: Behaviour
      readonly protocol: Protocol
      readonly tls?: TlsMaterial
      readonly port?: number
    }
  | { readonly _tag: "Become"; readonly listener: number; readonly behaviour: Behaviour }
  | { readonly _tag: "EndConnections"; readonly listener: number; readonly end: End }
  | { readonly _tag: "Stop"; readonly listener: number }
  | { readonly _tag: "Facts"; readonly listener: number }
  | {
      readonly _tag: "AwaitFacts"
      readonly listener: number
      readonly condition: FactCondition
      readonly withinMillis: number
    }
  | { readonly _tag: "RefusedPort" }
  | { readonly _tag: "UnansweredPort" }

/** What each command is answered with. */
export interface Replies {
  readonly Listen: { readonly id: number; readonly port: number }
  readonly Become: null
  readonly EndConnections: null
  readonly Stop: null
  readonly Facts: Facts
  readonly AwaitFacts: Facts
  readonly RefusedPort: { readonly port: number }
  readonly UnansweredPort: { readonly port: number }
}

export interface CommandMessage {
  readonly id: number
  readonly command: Command
}

export type ReplyMessage =
  | { readonly _tag: "Ready" }
  | { readonly _tag: "Done"; readonly id: number; readonly value: unknown }
  | { readonly _tag: "Failed"; readonly id: number; readonly message: string }

/** How long a condition on facts may take to hold, unless said otherwise. */
export const awaitFactsMillis = 20_000
