/** What a program's own `HttpClientRequest` carries, and how often it can be sent. */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as HttpBody from "effect/http/HttpBody"
import type { Issue } from "./pathTemplate.ts"
import { streamBody, type RequestBody, watched } from "./requestBody.ts"

/** A body as a client sends it, which knows whether it was begun. */
export interface ClientBody {
  readonly body: HttpBody.HttpBody
  /** Whether it can be sent once more. */
  readonly replayable: () => boolean
  /** Bytes, where they are known. */
  readonly length: number | undefined
}

const always = (): boolean => true

const never = (): boolean => false

/** The body of a request, its stream watched: one that was begun is spent. */
export const clientBody = (body: HttpBody.HttpBody): ClientBody => {
  switch (body._tag) {
    case "Empty":
      return { body, replayable: always, length: 0 }
    case "Uint8Array":
      return { body, replayable: always, length: body.contentLength }
    case "FormData":
      return { body, replayable: always, length: undefined }
    case "Raw": {
      // of anything else nobody knows when it was begun: it is sent once
      const isWhole = typeof body.body === "string" || body.body instanceof Uint8Array
      return { body, replayable: isWhole ? always : never, length: body.contentLength }
    }
    case "Stream": {
      const { replayable, stream } = watched(body.stream, false)
      return {
        body: HttpBody.stream(stream, body.contentType, body.contentLength),
        replayable,
        length: body.contentLength
      }
    }
  }
}

/** The same for a transport, which takes text, bytes and streams. */
export const wireBody = (given: HttpBody.HttpBody): RequestBody | Issue | Effect.Effect<RequestBody, Issue> => {
  const whole = (body: string | Uint8Array | undefined, contentType?: string): RequestBody => ({
    body,
    contentType,
    replayable: always
  })
  switch (given._tag) {
    case "Empty":
      return whole(undefined)
    case "Uint8Array":
      return whole(given.body, given.contentType)
    case "Stream":
      return streamBody(given.stream, false, given.contentType)
    case "FormData":
      // the platform knows how a form is written, and chooses its boundary
      return Effect.map(
        Effect.promise(async () => {
          const written = new Response(given.formData)
          return { type: written.headers.get("content-type"), bytes: new Uint8Array(await written.arrayBuffer()) }
        }),
        ({ bytes, type }) => whole(bytes, type ?? undefined)
      )
    case "Raw":
      if (typeof given.body === "string" || given.body instanceof Uint8Array)
        return whole(given.body, given.contentType)
      if (given.body instanceof ReadableStream) {
        const source: ReadableStream<Uint8Array> = given.body
        const stream = Stream.fromReadableStream({ evaluate: () => source, onError: (error) => error })
        return streamBody(stream, false, given.contentType)
      }
      return { path: "body", issue: "must be text, bytes, a form or a stream, to go through an upstream" }
  }
}
