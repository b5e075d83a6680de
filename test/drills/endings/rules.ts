/**
 * What is to come of an ending, by the rules of HTTP and the promises of the transport, and not by what it does.
 *
 * A cut body is told as cut, a complete one never. A status that says enough wins over the cut of its body. A GET is tried again
 * where that may help; a POST without a key only where the server surely did nothing with it. And a connection is used again
 * exactly when it can be.
 */
import { type Case, coderOf, isHttp2, isPost } from "./cases.ts"

export interface Expected {
  /** What the first attempt is told: the tag of a reason, or `answer`. */
  readonly first: ReadonlyArray<string>
  /** What the caller is told. */
  readonly final: ReadonlyArray<string>
  /** Requests that the server sees. */
  readonly requests: number
  /** Whether its connection carries the next call. Not said where either is right. */
  readonly isKept: boolean | undefined
  /** Whether what is answered is all of the body; a part of it else. */
  readonly isWhole: boolean
  /** Whether the answer of the caller is the one whose ending this is, and not a later one. */
  readonly isOwn: boolean
}

/** Reasons that another try may cure. */
const retryable: ReadonlySet<string> = new Set([
  "ConnectionClosed",
  "ConnectionReset",
  "ResponseTruncated",
  "HeadersTimeout",
  "BodyTimeout",
  "TransferTimeout",
  "ServiceUnavailable"
])

const statusTags = { 200: "answer", 302: "answer", 404: "NotFound", 503: "ServiceUnavailable" } as const

/** Whether a body without its end is all that anybody needs of it. */
const saysEnough = ({ status }: Case): boolean => status !== 200

const hasHead = ({ at }: Case): boolean => at !== "before the head" && at !== "within the head"

/** The server says that it did nothing with the request. Behind the head of an answer that cannot be. */
const isRefused = (given: Case): boolean =>
  !hasHead(given) && (given.how === "REFUSED_STREAM" || given.how === "GOAWAY of nothing, FIN")

const isCodingWell = ({ coding }: Case): boolean => !coding.endsWith(" cut") && !coding.endsWith(" broken")

/** Whether all of the framing has come. */
const isFramed = ({ at, framing, how }: Case): boolean =>
  // where the end of the connection is that of the body, a reset is not its end
  framing === "until close" ? how === "FIN" && hasHead({ at } as Case) : at === "complete"

const beforeHead = (given: Case): ReadonlyArray<string> => {
  const { asked, at, early, how, protocol } = given
  // who is left while it still sends may be told by the write or by the read
  if (early && asked !== "GET" && (how === "FIN" || how.startsWith("GOAWAY")))
    return ["ConnectionClosed", "ConnectionReset"]
  // behind a part of a frame, TLS may tell of a reset as of an end
  if (how === "RST" && at === "within the head" && protocol === "HTTP/2 over TLS") {
    return ["ConnectionReset", "ConnectionClosed"]
  }
  switch (how) {
    case "FIN":
    case "GOAWAY, FIN":
      return ["ConnectionClosed"]
    case "silence":
      return ["HeadersTimeout"]
    case "GOAWAY with an error, FIN":
    case "GOAWAY of nothing, FIN":
    case "GOAWAY that refuses":
      return ["ConnectionClosed", "ConnectionReset"]
    default:
      return ["ConnectionReset"]
  }
}

const inBody = (given: Case): ReadonlyArray<string> => {
  if (saysEnough(given)) return [statusTags[given.status]]
  if (isFramed(given)) {
    if (given.coding.endsWith(" broken")) return ["MalformedResponse"]
    // without some of its bytes a coding is cut; without any, there is nothing to decode
    const isCut =
      given.coding.endsWith(" cut") || (given.at === "within the body" && coderOf(given.coding) !== undefined)
    return [isCut ? "ResponseTruncated" : "answer"]
  }
  if (given.how === "silence") return ["BodyTimeout"]
  if (given.how === "trickle") return ["TransferTimeout"]
  // the coding may be seen to be broken before its end comes
  return given.coding.endsWith(" broken") ? ["MalformedResponse", "ResponseTruncated"] : ["ResponseTruncated"]
}

const isKept = (given: Case): boolean | undefined => {
  const { asked, at, closes, early, framing, how, protocol, reader } = given
  // whether all of it had come by then, or all was sent, is chance
  if (reader === "leaves early" && (isHttp2(protocol) || at === "complete" || given.coding !== "none")) return undefined
  if (how.includes("FIN") || how === "RST" || how.startsWith("GOAWAY")) return false
  const isLimit = how === "silence" || how === "trickle"
  if (isHttp2(protocol)) {
    // a limit that has passed may be the connection's fault; an unwanted rest is cut, and says nothing of it
    return isLimit ? hasHead(given) && saysEnough(given) : true
  }
  if (closes || protocol === "HTTP/1.0" || framing === "until close") return false
  if (at !== "complete" || reader === "leaves early") return false
  if (early && asked !== "GET") return undefined
  // whether the mistake is seen before the rest comes, is chance
  return given.coding.endsWith(" broken") && !saysEnough(given) ? undefined : true
}

export const expectedOf = (given: Case): Expected => {
  const { asked, at, reader, status } = given
  const connection = isKept(given)
  const post = isPost(given)
  if (isRefused(given)) {
    const canRepeat = asked !== "POST of a stream"
    return {
      first: canRepeat ? ["answer"] : beforeHead(given),
      final: canRepeat ? ["answer"] : beforeHead(given),
      requests: canRepeat ? 2 : 1,
      isKept: connection,
      isWhole: true,
      isOwn: false
    }
  }
  const told = hasHead(given) ? inBody(given) : beforeHead(given)
  const [tag = ""] = told
  const isOpened = hasHead(given) && reader !== "whole" && status === 200
  // a reader who leaves is told nothing more
  if (isOpened && reader === "leaves early") {
    // of a coded body nothing may have come out when it was cut
    const final = coderOf(given.coding) !== undefined && at !== "complete" ? ["answer", ...told] : ["answer"]
    return { first: ["answer"], final, requests: 1, isKept: connection, isWhole: false, isOwn: true }
  }
  const isRepeated = !post && !isOpened && retryable.has(tag)
  const isFollowed = status === 302 && tag === "answer"
  const isOwn = !isRepeated && !isFollowed
  // what leads on may go over the same connection, and find that it has ended
  const mayBeStale = isFollowed && connection === false
  return {
    first: isOpened ? ["answer"] : mayBeStale ? [...told, "ConnectionClosed", "ConnectionReset"] : told,
    final: isRepeated ? ["answer"] : told,
    requests: isRepeated || isFollowed ? 2 : 1,
    isKept: connection,
    isWhole: isFramed(given) && isCodingWell(given) && at === "complete",
    isOwn
  }
}
