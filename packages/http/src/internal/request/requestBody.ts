/** How a body is made of the caller's value. */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { RequestOptions } from "../../Request.ts"
import type * as Transport from "../../Transport.ts"
import { CallersStream } from "./callersStream.ts"
import { bodyIssue } from "./schemaIssue.ts"
import type { Issue } from "./pathTemplate.ts"
import { isIssue, notUnicode } from "./pathTemplate.ts"

export interface RequestBody {
  readonly body: Transport.Body | undefined
  readonly contentType: string | undefined
  /** Whether the body can be sent once more. A stream can't once it was begun, unless its owner says that it can. */
  readonly replayable: () => boolean
  /** How long it is, where `body` does not show it. */
  readonly bytes?: number | undefined
  /** Set where it is a stream, which may fail while it is sent. */
  readonly callers?: CallersStream
}

const encoder = new TextEncoder()

/** Bytes of a body; `undefined` for a stream, which nobody has counted. */
export const bytesOf = (body: Transport.Body | undefined): number | undefined => {
  if (body === undefined) return 0
  if (typeof body === "string") return encoder.encode(body).length
  return body instanceof Uint8Array ? body.length : undefined
}

const always = (): boolean => true

const none: RequestBody = { body: undefined, contentType: undefined, replayable: always }

const whole = (body: string | Uint8Array, contentType: string): RequestBody => ({
  body,
  contentType,
  replayable: always
})

/** Half of a surrogate pair, as `JSON.stringify` writes it; behind a backslash that is itself escaped it is text. */
const loneSurrogate = /(?<!\\)(?:\\\\)*\\ud[89a-f]/

const jsonText = (value: unknown): string | Issue => {
  try {
    const text = JSON.stringify(value)
    if (text === undefined) return { path: "json", issue: `${typeof value} is not JSON` }
    return text.includes("\\ud") && loneSurrogate.test(text) ? { path: "json", issue: notUnicode } : text
  } catch (error) {
    return { path: "json", issue: error instanceof Error ? (error.message.split("\n")[0] ?? "not JSON") : "not JSON" }
  }
}

const jsonBody = (value: unknown, contentType: string | undefined): RequestBody | Issue => {
  const text = jsonText(value)
  return isIssue(text) ? text : whole(text, contentType ?? "application/json")
}

export const streamBody = (
  stream: Stream.Stream<Uint8Array, unknown>,
  declared: boolean,
  contentType: string | undefined
): RequestBody => {
  const callers = new CallersStream(stream)
  return {
    body: callers.stream,
    contentType: contentType ?? "application/octet-stream",
    replayable: () => declared || !callers.isBegun,
    callers
  }
}

const given = ["json", "form", "text", "bytes", "stream"] as const

/** Makes the body, or says what is wrong with it. It gives an effect only when there is a schema to encode with. */
export const makeBody = (options: RequestOptions): RequestBody | Issue | Effect.Effect<RequestBody, Issue> => {
  let kinds = 0
  for (const kind of given) if (options[kind] !== undefined) kinds++
  if (kinds === 0) return none
  if (kinds > 1) {
    const names = given.filter((name) => options[name] !== undefined)
    return { path: "body", issue: `one body is given at most, got ${names.join(" and ")}` }
  }
  if (options.json !== undefined) {
    const contentType = options.contentType
    if (options.encode === undefined) return jsonBody(options.json, contentType)
    return Schema.encodeUnknownEffect(options.encode)(options.json).pipe(
      Effect.mapError((error) => bodyIssue("json", error)),
      Effect.flatMap((encoded) => settle(jsonBody(encoded, contentType)))
    )
  }
  if (options.form !== undefined) {
    const pairs: Array<[string, string]> = []
    for (const [name, given] of Object.entries(options.form)) {
      if (given === undefined) continue
      const value = String(given)
      if (!name.isWellFormed() || !value.isWellFormed()) {
        return { path: `form.${name.toWellFormed()}`, issue: notUnicode }
      }
      pairs.push([name, value])
    }
    return whole(new URLSearchParams(pairs).toString(), options.contentType ?? "application/x-www-form-urlencoded")
  }
  if (options.text?.isWellFormed() === false) return { path: "text", issue: notUnicode }
  if (options.text !== undefined) return whole(options.text, options.contentType ?? "text/plain;charset=utf-8")
  if (options.bytes !== undefined) return whole(options.bytes, options.contentType ?? "application/octet-stream")
  if (options.stream === undefined) return none
  return streamBody(options.stream, options.streamReplayable === true, options.contentType)
}

const settle = (made: RequestBody | Issue): Effect.Effect<RequestBody, Issue> =>
  isIssue(made) ? Effect.fail(made) : Effect.succeed(made)
