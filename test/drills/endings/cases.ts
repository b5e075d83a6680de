/**
 * The cases of the drill of endings: what is spoken, how an answer is framed and coded, how it ends, and who reads it.
 */

export const protocols = ["HTTP/1.1", "HTTP/1.0", "HTTP/1.1 over TLS", "HTTP/2", "HTTP/2 over TLS"] as const
export type Protocol = (typeof protocols)[number]

/** How the end of a body is told. Of HTTP/2 it is END_STREAM, with a length beside it or without. */
export type Framing = "length" | "chunked" | "until close" | "END_STREAM" | "END_STREAM, length"

export type Coder = "gzip" | "br" | "zstd"

/** How a body is coded, and what is wrong with the coding. */
export type Coding =
  | "none"
  | Coder
  /** Two members, or two frames. */
  | `${"gzip" | "zstd"} twice`
  /** A body of no bytes, of which the head says that it is coded. */
  | `${Coder} of nothing`
  /** Bytes behind the end of the coding, at once and a while later. */
  | `${Coder}, more`
  | `${Coder}, more later`
  | `${Coder} cut`
  | `${Coder} broken`
  /** A range of a coded body, which is left as it is. */
  | "gzip in 206"

/** How far the answer has come when it ends. */
export type At =
  | "before the head"
  | "within the head"
  | "behind the head"
  | "within the body"
  | "within a chunk's head"
  | "before the last chunk"
  | "complete"

export type StreamCode = "NO_ERROR" | "CANCEL" | "INTERNAL_ERROR" | "REFUSED_STREAM" | "ENHANCE_YOUR_CALM"

export type How =
  /** Nothing else happens. */
  | "stays"
  | "FIN"
  | "FIN later"
  | "RST"
  | "silence"
  /** A byte of the body now and then, without end. */
  | "trickle"
  | StreamCode
  /** It takes its leave, with this request as the last one that it has taken; then it ends the connection, or does not. */
  | "GOAWAY"
  | "GOAWAY, FIN"
  | "GOAWAY with an error"
  | "GOAWAY with an error, FIN"
  /** It says REFUSED_STREAM of the connection, and not of a request that it has taken. */
  | "GOAWAY that refuses"
  /** It has taken nothing. */
  | "GOAWAY of nothing, FIN"
  /** The stream ends as if that were all. */
  | "END_STREAM"

export type Status = 200 | 302 | 404 | 503
export type Reader = "whole" | "streamed" | "leaves early" | "slow"
export type Asked = "GET" | "POST" | "POST of 200 KB" | "POST of a stream"
export type Interim = "none" | "100" | "103" | "100 and 103"

export interface Case {
  readonly protocol: Protocol
  readonly framing: Framing
  readonly coding: Coding
  readonly at: At
  readonly how: How
  /** Whether the head says that the connection will be closed. */
  readonly closes: boolean
  readonly status: Status
  readonly reader: Reader
  readonly asked: Asked
  /** Whether the server waits for all of the request. */
  readonly early: boolean
  readonly interim: Interim
  readonly bytewise: boolean
  readonly trailers: boolean
}

export const isHttp2 = (protocol: Protocol): boolean => protocol.startsWith("HTTP/2")
export const isTls = (protocol: Protocol): boolean => protocol.endsWith("TLS")
export const isPost = ({ asked }: Pick<Case, "asked">): boolean => asked !== "GET"
export const coderOf = (coding: Coding): Coder | undefined =>
  (["gzip", "br", "zstd"] as const).find((name) => coding.startsWith(name))

const framingsOf = (protocol: Protocol): ReadonlyArray<Framing> => {
  if (isHttp2(protocol)) return ["END_STREAM", "END_STREAM, length"]
  return protocol === "HTTP/1.0" ? ["length", "until close"] : ["length", "chunked", "until close"]
}

const streamCodes: ReadonlyArray<StreamCode> = [
  "NO_ERROR",
  "CANCEL",
  "INTERNAL_ERROR",
  "REFUSED_STREAM",
  "ENHANCE_YOUR_CALM"
]

type Ending = Pick<Case, "at" | "how" | "closes">

const endingsOf = (protocol: Protocol, framing: Framing): ReadonlyArray<Ending> => {
  const endings: Array<Ending> = []
  const add = (at: At, hows: ReadonlyArray<How>, closes = false): void => {
    for (const how of hows) endings.push({ at, how, closes })
  }
  const goaways: ReadonlyArray<How> = ["GOAWAY, FIN", "GOAWAY with an error, FIN"]
  const http2 = isHttp2(protocol)
  const codes = http2 ? streamCodes : []
  add("before the head", ["FIN", "RST", "silence", ...codes])
  add("within the head", ["FIN", "RST", "silence"])
  add("behind the head", ["FIN", "RST", "silence", ...codes])
  add("within the body", ["FIN", "RST", "silence", "trickle", ...codes])
  if (http2) {
    add("before the head", [...goaways, "GOAWAY that refuses", "GOAWAY of nothing, FIN"])
    add("within the body", [...goaways, "GOAWAY that refuses", "GOAWAY of nothing, FIN"])
    if (framing === "END_STREAM, length") {
      add("behind the head", ["END_STREAM"])
      add("within the body", ["END_STREAM"])
    }
    add("complete", [
      "stays",
      "FIN",
      "FIN later",
      "RST",
      "NO_ERROR",
      "GOAWAY",
      "GOAWAY with an error",
      "GOAWAY that refuses",
      ...goaways
    ])
    return endings
  }
  if (framing === "chunked") {
    add("within a chunk's head", ["FIN", "RST"])
    add("before the last chunk", ["FIN", "RST", "silence"])
    add("within the body", ["FIN"], true)
    add("before the last chunk", ["FIN"], true)
  }
  if (framing === "until close") {
    // the end of the connection is the end of the body
    add("complete", ["FIN", "RST"])
    add("complete", ["FIN"], true)
  } else {
    add("complete", ["stays", "FIN", "FIN later", "RST"])
    add("complete", ["stays", "FIN"], true)
  }
  return endings
}

const usual = {
  coding: "none",
  status: 200,
  reader: "whole",
  asked: "GET",
  early: false,
  interim: "none",
  bytewise: false,
  trailers: false
} satisfies Partial<Case>

const statuses: ReadonlyArray<Status> = [200, 302, 404, 503]

/** Every ending, of what is wanted and what is not, read whole and streamed. */
const everyEnding = function* (): Generator<Case> {
  for (const protocol of protocols) {
    const isUsual = protocol === "HTTP/1.1" || protocol === "HTTP/2"
    for (const framing of framingsOf(protocol)) {
      for (const ending of endingsOf(protocol, framing)) {
        for (const coding of isUsual ? (["none", "gzip"] as const) : (["none"] as const)) {
          for (const status of isUsual ? statuses : ([200, 503] as const)) {
            yield { ...usual, protocol, framing, ...ending, coding, status }
            if (status === 200 || (status === 302 && isUsual)) {
              yield { ...usual, protocol, framing, ...ending, coding, status, reader: "streamed" }
            }
          }
        }
      }
    }
  }
}

const coders: ReadonlyArray<Coder> = ["gzip", "br", "zstd"]

const codings: ReadonlyArray<Coding> = [
  ...coders.flatMap((coder): ReadonlyArray<Coding> => [
    coder,
    `${coder} of nothing`,
    `${coder}, more`,
    `${coder}, more later`,
    `${coder} cut`,
    `${coder} broken`
  ]),
  "gzip twice",
  "zstd twice",
  "gzip in 206"
]

/** Every coding, to its end. */
const everyCoding = function* (): Generator<Case> {
  for (const protocol of protocols) {
    const isUsual = protocol === "HTTP/1.1" || protocol === "HTTP/2"
    for (const framing of framingsOf(protocol)) {
      for (const coding of codings) {
        for (const how of ["stays", "FIN", "RST", "GOAWAY, FIN"] as const) {
          if (how === "GOAWAY, FIN" && !isHttp2(protocol)) continue
          if (how === "stays" && framing === "until close") continue
          if (!isUsual && how !== (framing === "until close" ? "FIN" : "stays")) continue
          const base: Case = { ...usual, protocol, framing, at: "complete", how, closes: false, coding }
          yield base
          if (!isUsual) continue
          if (coding !== "gzip in 206" && how !== "RST") yield { ...base, status: 503 }
          if (how !== "RST") yield { ...base, reader: "streamed" }
        }
      }
    }
  }
}

const posts: ReadonlyArray<Asked> = ["POST", "POST of 200 KB", "POST of a stream"]

/** Every ending, of requests that must not be applied twice. */
const everyRequest = function* (): Generator<Case> {
  for (const protocol of protocols) {
    const [framing = "length"] = framingsOf(protocol).slice(-2)
    for (const ending of endingsOf(protocol, framing)) {
      for (const asked of posts) {
        yield { ...usual, protocol, framing, ...ending, asked }
        if (asked === "POST") yield { ...usual, protocol, framing, ...ending, asked, status: 503 }
        const isAnswer = ending.at === "complete" && ending.how !== "FIN later"
        if (asked !== "POST" && (isAnswer || ending.at === "before the head")) {
          yield { ...usual, protocol, framing, ...ending, asked, early: true }
        }
      }
    }
  }
}

/** What may come before an answer and behind it, in pieces of every size. */
const everyPiece = function* (): Generator<Case> {
  for (const protocol of protocols) {
    for (const framing of framingsOf(protocol)) {
      for (const interim of ["none", "100", "103", "100 and 103"] as const) {
        if (protocol === "HTTP/1.0" && interim !== "none") continue
        for (const bytewise of [false, true]) {
          // within TLS the pieces are the same, and each costs a record
          if (bytewise && isTls(protocol) && interim !== "100 and 103") continue
          for (const trailers of framing === "chunked" || isHttp2(protocol) ? [false, true] : [false]) {
            for (const coding of ["none", "gzip twice"] as const) {
              const how = framing === "until close" ? "FIN" : "stays"
              const piece: Case = {
                ...usual,
                protocol,
                framing,
                interim,
                bytewise,
                trailers,
                coding,
                at: "complete",
                how,
                closes: false
              }
              yield piece
              if (coding === "none" && !trailers) {
                yield { ...piece, reader: "streamed" }
                if (framing !== "until close") yield { ...piece, at: "within the body", how: "FIN" }
                yield { ...piece, at: "within the head", how: "FIN" }
                yield { ...piece, status: 404 }
                yield { ...piece, asked: "POST" }
              }
            }
          }
        }
      }
    }
  }
}

/** Readers who are behind, or leave. */
const everyReader = function* (): Generator<Case> {
  for (const protocol of protocols) {
    for (const framing of framingsOf(protocol)) {
      for (const coding of ["none", "gzip", "br", "zstd", "gzip twice", "zstd twice"] as const) {
        for (const reader of ["slow", "leaves early"] as const) {
          for (const ending of endingsOf(protocol, framing)) {
            const isEnough =
              ending.at === "complete" || ending.at === "within the body" || ending.at === "before the last chunk"
            if (!isEnough || (coding !== "none" && coding !== "gzip" && ending.at !== "complete")) continue
            yield { ...usual, protocol, framing, coding, reader, ...ending }
          }
        }
      }
    }
  }
}

/** A case in a line, by what is not usual of it. */
export const nameOf = (given: Case): string => {
  const { asked, at, bytewise, closes, coding, early, framing, how, interim, protocol, reader, status, trailers } =
    given
  return [
    protocol,
    framing,
    coding === "none" ? undefined : coding,
    String(status),
    `${at}: ${how}`,
    closes ? "connection: close" : undefined,
    interim === "none" ? undefined : `${interim} before`,
    bytewise ? "byte by byte" : undefined,
    trailers ? "trailers" : undefined,
    asked,
    early ? "answered early" : undefined,
    reader
  ]
    .filter((word) => word !== undefined)
    .join(" | ")
}

/** All of them, each once. */
export const allCases = (): ReadonlyArray<Case> => {
  const named = new Map<string, Case>()
  for (const some of [everyEnding(), everyCoding(), everyRequest(), everyPiece(), everyReader()]) {
    for (const each of some) if (isPossible(each)) named.set(nameOf(each), each)
  }
  return [...named.values()]
}

/** Whether a wire can do this. */
const isPossible = ({ asked, at, bytewise, coding, early, framing, how, reader, status }: Case): boolean => {
  // there is no half of nothing
  if (coding.endsWith("of nothing") && at !== "complete") return false
  // nobody can tell a body that is cut so from one that is all there is
  if (
    framing === "until close" &&
    how === "FIN" &&
    (at === "behind the head" || (at === "within the body" && coding === "none"))
  )
    return false
  // what is sent and not read yet is lost with a reset: how much that is, is the system's to say
  if ((reader === "slow" || reader === "leaves early" || bytewise) && how === "RST") return false
  if (early && asked !== "GET" && how === "RST") return false
  // what trickles is no coding
  if (how === "trickle" && coding !== "none") return false
  // another request would be on its way over it, or a server with a narrow window never comes to it
  if (how === "FIN later" && (status === 302 || reader === "leaves early" || (status === 503 && asked === "GET")))
    return false
  return true
}
