/** One attempt to deliver an export: what is sent, how long an answer is waited for, and what becomes of it. */

import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import { isHttpClientError } from "effect/http/HttpClientError"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import type * as HttpClientResponse from "effect/http/HttpClientResponse"
import * as Stream from "effect/Stream"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import * as RetryAfter from "@holdfast/http/RetryAfter"
import type { Content } from "./exportPieces.ts"
import { joined } from "./joinedBytes.ts"
import { judge, type Verdict } from "./otlpAnswer.ts"

export interface AttemptSettings {
  readonly url: URL
  /** The headers that the receiver gets beside those of Effect's exporter, secrets included. */
  readonly headers: Readonly<Record<string, string>>
  readonly gzip: boolean
  /** Of one attempt, on real time: no other clock moves a socket. */
  readonly timeoutMillis: number
}

/** The verdict of an attempt, and how long the receiver asked to be left alone. */
export type Attempted = readonly [verdict: Verdict, askedMillis: number | undefined]

/** So much of an answer is read; what is longer is aborted. */
const answerBytes = 65_536

/** Without the credentials and the query that a url may have. */
export const shownUrl = ({ origin, pathname }: URL): string => `${origin}${pathname}`

/** The request as it is sent, as often as it has to be. */
export const prepared = ({ gzip, headers }: AttemptSettings, content: Content): Effect.Effect<Content> => {
  const request = HttpClientRequest.setHeaders(content, headers)
  if (!gzip || typeof CompressionStream === "undefined") return Effect.succeed(request)
  return Effect.catchCause(HttpClientRequest.compressBody(request, "gzip"), () => Effect.succeed(request))
}

export const attempt = (
  { timeoutMillis, url }: AttemptSettings,
  carrier: HttpClient.HttpClient,
  clock: Clock.Clock,
  request: Content
): Effect.Effect<Attempted> => {
  const sent = carrier.execute(request).pipe(
    Effect.flatMap((response) =>
      Effect.map(readAnswer(response), (bytes): Attempted => {
        const { headers, status } = response
        const verdict = judge(status, headers["content-type"] ?? "", bytes)
        const asked = RetryAfter.fromHeaders(headers, clock.currentTimeMillisUnsafe())
        return [verdict, asked === undefined ? undefined : Duration.toMillis(asked)]
      })
    ),
    Effect.exit,
    Effect.map((exit): Attempted => (Exit.isSuccess(exit) ? exit.value : [failed(exit, shownUrl(url)), undefined])),
    // no spans of whatever the client is made of, and no trace headers, which Effect's clients send even without spans
    Effect.withTracerEnabled(false),
    Effect.provideService(HttpClient.TracerDisabledWhen, () => true),
    // fetch would follow a redirect by itself, and take the headers along; other clients do not read this
    Effect.provideService(FetchHttpClient.RequestInit, { redirect: "manual" })
  )
  const silent: Attempted = [
    { _tag: "Retry", why: `no answer within ${Duration.format(Duration.millis(timeoutMillis))}` },
    undefined
  ]
  return Effect.raceFirst(sent, Effect.as(realTime(timeoutMillis), silent))
}

/** The first bytes of an answer. Its status counts, whatever becomes of them. */
const readAnswer = (response: HttpClientResponse.HttpClientResponse): Effect.Effect<Uint8Array> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    return response.stream.pipe(
      Stream.runForEachWhile((chunk) =>
        Effect.sync(() => {
          size += chunk.length
          chunks.push(chunk)
          return size < answerBytes
        })
      ),
      Effect.ignore,
      Effect.map(() => joined(chunks))
    )
  })

/** A request that cannot be made will not be made the next time either; whatever else went wrong may have passed by then. */
const failed = (exit: Exit.Failure<unknown, unknown>, endpoint: string): Verdict => {
  const error = Exit.findErrorOption(exit)
  if (error._tag === "None") return { _tag: "Retry", why: "the client that carries it broke" }
  if (!isHttpClientError(error.value)) return { _tag: "Retry", why: "the client that carries it failed" }
  const { _tag } = error.value.reason
  if (_tag === "EncodeError" || _tag === "InvalidUrlError") {
    return { _tag: "Refused", why: `the request cannot be made (${_tag})` }
  }
  return {
    _tag: "Retry",
    why: ErrorCatalog.of(FailureClassifier.classify(error.value, { endpoint, phase: "wait" })).code
  }
}

const realTime = (millis: number): Effect.Effect<void> =>
  Effect.callback((resume) => {
    const timer = setTimeout(() => resume(Effect.void), millis)
    return Effect.sync(() => clearTimeout(timer))
  })
