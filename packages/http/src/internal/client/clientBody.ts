/** The body of a program's own `HttpClientRequest`, and how often it can be sent. */

import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as HttpBody from "effect/http/HttpBody"
import type { HttpClientRequest } from "effect/http/HttpClientRequest"
import type * as Transport from "../../Transport.ts"
import { CallersStream } from "../request/callersStream.ts"
import type { Issue } from "../request/pathTemplate.ts"
import { type RequestBody, streamBody } from "../request/requestBody.ts"

/** A body as a client sends it, and what the engine asks of it. */
export interface ClientBody {
  readonly body: HttpBody.HttpBody
  readonly sent: RequestBody
}

const always = (): boolean => true

const never = (): boolean => false

/** A stand-in for a body that only the client below can write: it says that there is one. */
const ofClient: Transport.Body = Stream.empty

/** The body of a request, its stream watched: one that was begun is spent. */
export const clientBody = ({ body, headers }: HttpClientRequest): ClientBody => {
  const contentType = undefined
  switch (body._tag) {
    case "Empty":
      return { body, sent: { body: undefined, contentType, replayable: always, bytes: 0 } }
    case "Uint8Array":
      return { body, sent: { body: body.body, contentType, replayable: always, bytes: body.contentLength } }
    case "FormData":
      return { body, sent: { body: ofClient, contentType, replayable: always, bytes: body.contentLength } }
    case "Raw": {
      // of anything else nobody knows when it was begun: it is sent once
      const whole = typeof body.body === "string" || body.body instanceof Uint8Array ? body.body : undefined
      const replayable = whole === undefined ? never : always
      return { body, sent: { body: whole ?? ofClient, contentType, replayable, bytes: body.contentLength } }
    }
    case "Stream": {
      const callers = new CallersStream(body.stream)
      const declared = headers["content-length"]
      if (declared !== undefined && /^\d{1,15}$/.test(declared)) callers.holdTo(Number(declared))
      return {
        body: HttpBody.stream(callers.stream, body.contentType, body.contentLength),
        sent: {
          body: callers.stream,
          contentType,
          replayable: () => !callers.isBegun,
          bytes: body.contentLength,
          callers
        }
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
