/** HTTP on one socket, as an exchange sees it, whichever version is spoken. */

/** One request, as a wire takes it. */
export interface WireRequest {
  /** Scheme, host and port. */
  readonly origin: string
  /** Path and query; the whole URL where a proxy is asked for it. */
  readonly path: string
  readonly method: string
  /** Names and values in turn. */
  readonly headers: Array<string>
  readonly body: string | Uint8Array | AsyncIterable<Uint8Array> | undefined
}

/** How an exchange holds up or ends its part of the wire. */
export interface WireControl {
  readonly paused: boolean
  readonly pause: () => void
  readonly resume: () => void
  readonly abort: (reason: Error) => void
}

/**
 * The events of a request on the wire. It is undici's own interface, so that HTTP/1.1 needs no object in between; HTTP/2 speaks it too.
 * `onRequestStart` throws when the request must not begin. After `onResponseEnd` and `onResponseError` nothing more is told.
 */
export interface WireListener {
  readonly onRequestStart: (control: WireControl) => void
  /** The peer has taken a piece of the body. */
  readonly onBodySent: () => void
  readonly onRequestSent: () => void
  /** Also of heads that come before the response, below 200. */
  readonly onResponseStart: (control: WireControl, status: number, headers: NodeJS.Dict<string | Array<string>>) => void
  readonly onResponseData: (control: WireControl, chunk: Buffer) => void
  readonly onResponseEnd: (control: WireControl, trailers: NodeJS.Dict<string | Array<string>>) => void
  readonly onResponseError: (control: WireControl | undefined, error: Error) => void
}

export interface Wire {
  readonly send: (request: WireRequest, listener: WireListener) => void
  /** Whether the last request's response has begun, with a part of its head at least. Where there are many at once, nobody knows. */
  readonly hasBegunHead: boolean
  /** Ends it at once, with its exchanges. */
  readonly destroy: () => void
}

/** The events of a connection. */
export interface WireOwner {
  /** It begins nothing more. */
  readonly onLeaving: () => void
  /** How many requests its peer takes at once. */
  readonly onCapacity: (streams: number) => void
  readonly onError: (error: Error) => void
}

/** The connection was lost before the request was begun on it: nothing of it was sent. */
export class NotBegunError extends Error {
  // It must not have the code of a socket's error, for which undici leaves a request in its queue: it would ask for another
  // connection at once, and again, without end.
  constructor() {
    super("the connection was lost before the request was begun")
  }
}

/** The peer says that it did nothing with the request (RFC 9113 §8.7), or cannot have. */
export class UnprocessedError extends Error {
  readonly code: string
  /** Whether it takes its leave, as opposed to having too much to do, and answers the requests of others that it has taken. */
  readonly isLeaving: boolean
  constructor(code: string, isLeaving: boolean) {
    super("the server did nothing with the request")
    this.code = code
    this.isLeaving = isLeaving
  }
}

/** The peer ended one of many requests on a connection. */
export class StreamEndedError extends Error {
  readonly code: string
  constructor(code: string) {
    super("the server ended the stream")
    this.code = code
  }
}

/** The peer was spoken to in HTTP/2, and its first bytes are none of that. */
export class NotHttp2Error extends Error {
  constructor() {
    super("the peer does not speak HTTP/2")
  }
}

/** A connection that ended, and of which nothing more is known. */
export class ConnectionEndedError extends Error {
  readonly code = "UND_ERR_SOCKET"
  constructor() {
    super("the connection was closed")
  }
}

/** The body that the caller gave failed while it was sent: nothing that the peer has to do with. Its own message may hold a secret. */
export class BodyError extends Error {
  readonly code?: string
  constructor(message = "the body failed", code?: string) {
    super(message)
    if (code !== undefined) this.code = code
  }
}

/** Whether the failure of a request is its own alone, and not the connection's. */
export const isOfStream = (error: Error): boolean =>
  error instanceof StreamEndedError || error instanceof UnprocessedError || error instanceof BodyError
