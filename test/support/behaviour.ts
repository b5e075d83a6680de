/**
 * What a listener of the test upstream does, as data: it crosses a process boundary as JSON. Three kinds: `Http` answers
 * whole requests through `node:http` or `node:http2`; `Raw` writes bytes, for everything that an HTTP server would never do;
 * `Relay` stands between a client and a server, and fails what passes through it.
 *
 * Scripts go by ordinal, and their last entry repeats: `http([status(503), json({ ok: true })])` fails once and is well
 * ever after.
 */

/** How a connection is left: nothing more is said, an RST, or a FIN. */
export type End = "silence" | "reset" | "close"

/** The ends, to go through all of them. */
export const ends: ReadonlyArray<End> = ["silence", "reset", "close"]

/** A whole response, made by `node:http`. Bodies get a `content-length`, unless `chunked`. */
export interface Answer {
  readonly _tag: "Answer"
  /** Default: 200. */
  readonly status?: number
  readonly headers?: Readonly<Record<string, string | ReadonlyArray<string>>>
  readonly body?: string
  /** A body of this many bytes, made where it is sent. */
  readonly bodyBytes?: number
  /** Send `transfer-encoding: chunked`. */
  readonly chunked?: boolean
  /** Size of one write of the body. Default: 16384. */
  readonly chunkBytes?: number
  /** Wait before the response head. */
  readonly delayMillis?: number
  /**
   * Waits before the response head, in place of `delayMillis`, dealt like cards: each once in an order that says nothing, then all
   * of them anew. So the shares are exact in every deal: two slow ones in a hundred are 2 %.
   */
  readonly delaysMillis?: ReadonlyArray<number>
  /** Wait before each write of the body, the first one too: the head comes alone. */
  readonly chunkDelayMillis?: number
}

/** Answers JSON (`Echoed`) that says what was received. */
export interface Echo {
  readonly _tag: "Echo"
}

/** The request is read, and never answered. */
export interface Hang {
  readonly _tag: "Hang"
}

/** The request is read, and the connection reset. */
export interface Reset {
  readonly _tag: "Reset"
}

/** The request is read, and the connection closed with a FIN. */
export interface Close {
  readonly _tag: "Close"
}

/**
 * The request is read, and these bytes are the answer: a fault on one request of an otherwise healthy server. Its
 * connection serves no further request.
 */
export interface Bytes {
  readonly _tag: "Bytes"
  readonly actions: ReadonlyArray<Emission>
}

/** What is done with one request. */
export type Step = Answer | Echo | Hang | Reset | Close | Bytes

/** Steps of its own for one path (compared without its query), and one method if given. */
export interface Route {
  readonly path: string
  readonly method?: string
  readonly steps: ReadonlyArray<Step>
}

/**
 * What a server can do: so many requests are worked on at once, each for so long, and the others queue in order. Nobody looks
 * whether a client still waits, as few servers do: work for one that has left is done all the same.
 */
export interface Capacity {
  readonly workers: number
  readonly workMillis: number
}

export interface Http {
  readonly _tag: "Http"
  /** By ordinal of the request on this listener, over all connections; the last repeats. */
  readonly steps: ReadonlyArray<Step>
  /** A request that matches a route does not count for `steps`. */
  readonly routes?: ReadonlyArray<Route>
  /** Default: every request is worked on at once. */
  readonly capacity?: Capacity
  /** How long an idle connection is kept. Default: 60000. */
  readonly keepAliveMillis?: number
}

/** One thing done on a connection, without a look at what the client says. */
export type Emission =
  | { readonly _tag: "Write"; readonly text: string }
  | { readonly _tag: "WriteBase64"; readonly base64: string }
  | { readonly _tag: "WriteFiller"; readonly bytes: number }
  | { readonly _tag: "Sleep"; readonly millis: number }
  /** Takes no further byte, so that the client's fill the buffers between; not even its leaving is noticed any more. */
  | { readonly _tag: "StopReading" }
  | { readonly _tag: "End"; readonly end: End }

/** One thing done on a connection. A wait for bytes ends when the client leaves. */
export type Action =
  | Emission
  | { readonly _tag: "WaitForBytes"; readonly bytes: number }
  | { readonly _tag: "WaitForRequestLine" }
  | { readonly _tag: "WaitForRequestHead" }
  | { readonly _tag: "WaitForRequestBody"; readonly bytes: number }
  /** Gives the connection to an HTTP server; only as the first action of a connection. */
  | { readonly _tag: "ServeHttp"; readonly http: Http }

export interface Raw {
  readonly _tag: "Raw"
  /** By ordinal of the connection; the last repeats. A script that runs out leaves its connection silent. */
  readonly connections: ReadonlyArray<ReadonlyArray<Action>>
  /** The scheme in the listener's url: a fault in a TLS handshake is plain TCP under an `https` url. */
  readonly scheme?: "http" | "https"
}

/** Steps of an exchange, as a relay sees them pass. With HTTP/2 they are those of the first stream of a connection. */
export type RelayStep =
  | "afterRequestLine"
  | "afterRequestHead"
  | "withinRequestBody"
  | "withinResponseHead"
  | "afterResponseHead"
  | "betweenChunks"
  | "beforeLastByte"
  | "afterLastByte"

/** Steps before there is an exchange: with the first byte of a connection, and in the handshake of TLS. */
export type EarlyStep = "onAccept" | "afterClientHello" | "afterServerHello"

/**
 * How a relay leaves a connection. All of them are done to the bytes on the wire, so that TLS sees an end without its
 * farewell, and garbage that is no record of it; `sealedGarbage` is garbage within TLS. What comes after garbage is silence.
 */
export type RelayEnd = End | "garbage" | "sealedGarbage"

export interface RelayFault {
  readonly step: EarlyStep | RelayStep
  readonly end: RelayEnd
}

/**
 * Passes on the bytes of each connection, both ways, to another port of this machine, and fails it at a step: the fault of a
 * network between a client and a server that are both well. TLS ends here, so that the steps of what it carries are seen;
 * the port behind is spoken to without it.
 */
export interface Relay {
  readonly _tag: "Relay"
  readonly to: number
  readonly fault?: RelayFault
}

export type Behaviour = Http | Raw | Relay

/** What an `Echo` step answers. */
export interface Echoed {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly bodyBytes: number
  readonly bodySha256: string
  /** The ordinals, from 1, of the connection and of the request on the listener. */
  readonly connection: number
  readonly request: number
}

// ---------------------------------------------------------------------------------------------------------------------
// Steps
// ---------------------------------------------------------------------------------------------------------------------

export const answer = (options: Omit<Answer, "_tag"> = {}): Answer => ({ _tag: "Answer", ...options })

/** An empty answer of this status, with headers such as `retry-after`. */
export const status = (code: number, headers: Readonly<Record<string, string>> = {}): Answer =>
  answer({ status: code, headers })

export const json = (value: unknown, options: Omit<Answer, "_tag" | "body" | "bodyBytes"> = {}): Answer =>
  answer({
    ...options,
    headers: { "content-type": "application/json", ...options.headers },
    body: JSON.stringify(value)
  })

export const echo: Echo = { _tag: "Echo" }
export const hang: Hang = { _tag: "Hang" }
export const reset: Reset = { _tag: "Reset" }
export const close: Close = { _tag: "Close" }
export const bytes = (...actions: ReadonlyArray<Emission>): Bytes => ({ _tag: "Bytes", actions })

// ---------------------------------------------------------------------------------------------------------------------
// Actions
// ---------------------------------------------------------------------------------------------------------------------

export const waitForBytes = (bytes: number): Action => ({ _tag: "WaitForBytes", bytes })
export const waitForRequestLine: Action = { _tag: "WaitForRequestLine" }
export const waitForRequestHead: Action = { _tag: "WaitForRequestHead" }
export const waitForRequestBody = (bytes: number): Action => ({ _tag: "WaitForRequestBody", bytes })
export const write = (text: string): Emission => ({ _tag: "Write", text })
export const writeBase64 = (base64: string): Emission => ({ _tag: "WriteBase64", base64 })
export const writeFiller = (bytes: number): Emission => ({ _tag: "WriteFiller", bytes })
export const sleep = (millis: number): Emission => ({ _tag: "Sleep", millis })
export const stopReading: Emission = { _tag: "StopReading" }
export const end = (how: End): Emission => ({ _tag: "End", end: how })

// ---------------------------------------------------------------------------------------------------------------------
// Behaviours
// ---------------------------------------------------------------------------------------------------------------------

export const http = (steps: ReadonlyArray<Step>, options: Omit<Http, "_tag" | "steps"> = {}): Http => ({
  _tag: "Http",
  steps,
  ...options
})

/** Every request gets `{"ok":true}`. */
export const healthy: Http = http([json({ ok: true })])

export const raw = (...connections: ReadonlyArray<ReadonlyArray<Action>>): Raw => ({ _tag: "Raw", connections })

/** Passes everything on to that port, and breaks off where the fault says. */
export const relay = (to: number, fault?: RelayFault): Relay => ({
  _tag: "Relay",
  to,
  ...(fault === undefined ? {} : { fault })
})

/** The fault on the first connections, then a healthy server on every later one: what a retry is to survive. */
export const faultThen = (fault: Raw, healed: Http, faultyConnections = 1): Raw => ({
  ...fault,
  connections: [
    ...Array.from(
      { length: faultyConnections },
      (_, index) => fault.connections[Math.min(index, fault.connections.length - 1)] ?? []
    ),
    [{ _tag: "ServeHttp", http: healed }]
  ]
})

interface Ending {
  readonly end: End
}

// A reset discards what the kernel has not delivered: without a breath between, the bytes before it may never be seen.
const breathMillis = 20

const writeThen = (text: string, how: End): ReadonlyArray<Action> => [
  waitForRequestHead,
  write(text),
  sleep(breathMillis),
  end(how)
]

const headOf = (headers: ReadonlyArray<string>): string => ["HTTP/1.1 200 OK", ...headers, "", ""].join("\r\n")

/**
 * Left as soon as it is accepted: the client may be told by its connect or by its first read (`connect ECONNRESET` or
 * `read ECONNRESET`), as it happens.
 */
export const duringConnect = (options: Ending): Raw => raw([end(options.end)])

/** Accepted, and left when the client knows that it is connected; nothing that it sent is looked at. */
export const afterAccept = (options: Ending): Raw => raw([sleep(breathMillis), end(options.end)])

/** Left when the first line of the request is there. */
export const afterRequestLine = (options: Ending): Raw => raw([waitForRequestLine, end(options.end)])

/** Left when the whole head of the request is there. */
export const afterRequestHead = (options: Ending): Raw => raw([waitForRequestHead, end(options.end)])

/** Left when so many bytes of the request's body are there (default 1): send a request that has a longer one. */
export const duringRequestBody = (options: Ending & { readonly bytes?: number }): Raw =>
  raw([waitForRequestHead, waitForRequestBody(options.bytes ?? 1), end(options.end)])

export const partialStatusLine = (options: Ending): Raw => raw(writeThen("HTTP/1.1 20", options.end))

export const partialHeader = (options: Ending): Raw =>
  raw(writeThen("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-le", options.end))

/** A whole head that promises a body, and no byte of it. */
export const headWithoutBody = (options: Ending): Raw => raw(writeThen(headOf(["content-length: 100"]), options.end))

/** Some bytes (default 40) of a body whose `content-length` (default 100) is larger. */
export const truncatedBody = (options: Ending & { readonly bytes?: number; readonly contentLength?: number }): Raw =>
  raw([
    waitForRequestHead,
    write(headOf([`content-length: ${options.contentLength ?? 100}`])),
    writeFiller(options.bytes ?? 40),
    sleep(breathMillis),
    end(options.end)
  ])

/** A chunk that is shorter than its size says. */
export const truncatedChunk = (options: Ending): Raw =>
  raw(writeThen(`${headOf(["transfer-encoding: chunked"])}5\r\nhello\r\n10\r\nhalf of`, options.end))

/** Whole chunks, but the last one (of size zero) never comes. */
export const missingLastChunk = (options: Ending): Raw =>
  raw(writeThen(`${headOf(["transfer-encoding: chunked"])}5\r\nhello\r\n`, options.end))

const keepAliveAnswer = `${headOf(["content-type: application/json", "content-length: 11"])}{"ok":true}`

/** Answers one request well, then leaves when a second one comes on the same connection: the race of every pool. */
export const onReuse = (options: Ending): Raw =>
  raw([waitForRequestHead, write(keepAliveAnswer), waitForRequestHead, end(options.end)])

/** Answers one request well, then leaves the idle connection (default at once), without having said so. */
export const whileIdle = (options: Ending & { readonly afterMillis?: number }): Raw =>
  raw([waitForRequestHead, write(keepAliveAnswer), sleep(options.afterMillis ?? breathMillis), end(options.end)])

const malformed = (text: string): Raw => raw(writeThen(text, "close"))

export const garbage: Raw = raw([
  waitForRequestHead,
  writeBase64("3q2+7wABAgMEBQYHCAkKCw3/7t2svA=="),
  sleep(breathMillis),
  end("close")
])
export const emptyAnswer: Raw = malformed("\r\n\r\n")
export const badStatusLine: Raw = malformed("HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n")
export const unknownProtocol: Raw = malformed("ICY 200 OK\r\ncontent-length: 0\r\n\r\n")
export const badHeader: Raw = malformed("HTTP/1.1 200 OK\r\nbad header\u0000: x\r\ncontent-length: 0\r\n\r\n")
export const badContentLength: Raw = malformed(`${headOf(["content-length: abc"])}hello`)
export const negativeContentLength: Raw = malformed(`${headOf(["content-length: -5"])}hello`)
export const twoContentLengths: Raw = malformed(`${headOf(["content-length: 5", "content-length: 7"])}hello`)
export const lengthAndChunked: Raw = malformed(
  `${headOf(["content-length: 5", "transfer-encoding: chunked"])}5\r\nhello\r\n0\r\n\r\n`
)
export const badChunkSize: Raw = malformed(`${headOf(["transfer-encoding: chunked"])}xyz\r\nhello\r\n0\r\n\r\n`)
export const unaskedUpgrade: Raw = malformed(
  "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n"
)
/** More bytes after the body than `content-length` says. */
export const bodyBeyondLength: Raw = malformed(`${headOf(["content-length: 5"])}hello, and what nobody asked for`)
/** A header of this many bytes (default 131072, beyond what Node and undici accept). */
export const oversizedHeader = (options: { readonly bytes?: number } = {}): Raw =>
  raw([
    waitForRequestHead,
    write("HTTP/1.1 200 OK\r\nx-filler: "),
    writeFiller(options.bytes ?? 131_072),
    write("\r\ncontent-length: 0\r\n\r\n"),
    sleep(breathMillis),
    end("close")
  ])
/** An honest body of this many bytes (default 32 MiB): for bounds on what is read. */
export const oversizedBody = (options: { readonly bytes?: number } = {}): Raw => {
  const length = options.bytes ?? 33_554_432
  return raw([waitForRequestHead, write(headOf([`content-length: ${length}`])), writeFiller(length), end("close")])
}
/** A chunked body (default 32 MiB) of which nobody says how long it is. */
export const oversizedChunkedBody = (options: { readonly bytes?: number } = {}): Http =>
  http([answer({ bodyBytes: options.bytes ?? 33_554_432, chunked: true })])

const underHttps = (behaviour: Raw): Raw => ({ ...behaviour, scheme: "https" })

/** Plain TCP under an `https` url: left before the ClientHello is read. */
export const beforeClientHello = (options: Ending): Raw => underHttps(duringConnect(options))

/** Plain TCP under an `https` url: left when the first bytes of the ClientHello are there. */
export const afterClientHello = (options: Ending): Raw => underHttps(raw([waitForBytes(1), end(options.end)]))

/** Plain HTTP where a client speaks TLS. */
export const plainHttpOnTlsPort: Raw = underHttps(
  raw([
    waitForBytes(1),
    write("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"),
    end("close")
  ])
)
