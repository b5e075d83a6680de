/**
 * A transport that answers from a script, by operation and by attempt. It swaps in as a layer, opens no socket, and sleeps on
 * the fiber's clock, so that a test of retries and timeouts takes no time under `TestClock`.
 *
 * **When to use**: to test a service that calls upstreams: provide {@link layer} where the program provides `NodeTransport`.
 *
 * **What it is not**: a mock of your upstream's logic. It knows operations, not state.
 *
 * **Gotchas**: steps are used in order over all calls of an operation, and the last one repeats. A request that no script
 * matches dies with a message that lists the scripts: it is a mistake in the test, and no policy should retry it.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import * as Reason from "@holdfast/core/Reason"
import type { TransportReason } from "@holdfast/core/Reason"
import * as Transport from "@holdfast/http/Transport"
import * as Time from "@holdfast/core/Time"

/**
 * An answer or a failure, after a delay.
 *
 * @category models
 * @since 0.1.0
 */
export type Reply =
  | {
      readonly _tag: "Stream"
      readonly status: number
      readonly fields: Fields
      readonly parts: ReadonlyArray<Part>
      readonly end: (request: Transport.Request) => Effect.Effect<void, TransportReason>
      readonly delay: Duration.Duration
    }
  | { readonly _tag: "Answer"; readonly response: Transport.Response; readonly delay: Duration.Duration }
  | {
      readonly _tag: "Failure"
      readonly reason: (request: Transport.Request) => TransportReason
      readonly delay: Duration.Duration
    }

/**
 * A part of a body that comes bit by bit: text (UTF-8), bytes, or a {@link pause} before the next part.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = string | Uint8Array | { readonly pause: Duration.Duration }

/**
 * Headers as a server writes them: a list is a header that comes more than once.
 *
 * @category models
 * @since 0.1.0
 */
export interface HeaderLines {
  readonly [name: string]: string | ReadonlyArray<string>
}

/**
 * The fate of an attempt: a reply, or silence.
 *
 * @category models
 * @since 0.1.0
 */
export type Step = Reply | { readonly _tag: "Hang" }

/**
 * The answers to operations: a list of steps, or a function of the request. A key is an operation
 * (`"GET /items/{sku}"`), an operation of one upstream (`"stock GET /items/{sku}"`, which wins), or `"*"` for every operation
 * that has no script of its own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Script {
  readonly [operation: string]: ReadonlyArray<Step> | ((request: Transport.Request) => Step)
}

const encoder = new TextEncoder()

/** Headers as a transport gives them. */
type Fields = Pick<Transport.Response, "headers" | "setCookies" | "trailers">

const linesOf = (lines: string | ReadonlyArray<string>): ReadonlyArray<string> =>
  typeof lines === "string" ? [lines] : lines

/** RFC 9110 §5.3: lines of one name are one list, but for `set-cookie`, and for a length that is only said more than once (§8.6). */
const fieldsOf = (headers: HeaderLines = {}, trailers?: HeaderLines): Fields => {
  const joined: Record<string, string> = {}
  const setCookies: Array<string> = []
  for (const [written, given] of Object.entries(headers)) {
    const name = written.toLowerCase()
    const lines = linesOf(given)
    if (name === "set-cookie") setCookies.push(...lines)
    else joined[name] = (name === "content-length" ? [...new Set(lines)] : lines).join(", ")
  }
  return {
    headers: joined,
    ...(setCookies.length === 0 ? {} : { setCookies }),
    ...(trailers === undefined ? {} : { trailers: fieldsOf(trailers).headers })
  }
}

const answer = (status: number, fields: Fields, body: string): Reply => ({
  _tag: "Answer",
  response: { status, ...fields, body: encoder.encode(body), bodyComplete: true },
  delay: Duration.zero
})

/**
 * Answers with a value as JSON; status 200 unless another is given. `trailers` come behind the body.
 *
 * @category steps
 * @since 0.1.0
 */
export const json = (
  value: unknown,
  options?: {
    readonly status?: number | undefined
    readonly headers?: HeaderLines | undefined
    readonly trailers?: HeaderLines | undefined
  }
): Reply =>
  answer(
    options?.status ?? 200,
    fieldsOf({ "content-type": "application/json", ...options?.headers }, options?.trailers),
    JSON.stringify(value)
  )

/**
 * Answers with a status, headers and text: `status(503, { headers: { "retry-after": "2" } })`. A header that is a list comes as often:
 * `{ "set-cookie": ["a=1", "b=2"] }`. `trailers` come behind the body.
 *
 * @category steps
 * @since 0.1.0
 */
export const status = (
  status: number,
  options?: {
    readonly headers?: HeaderLines | undefined
    readonly trailers?: HeaderLines | undefined
    readonly body?: string | undefined
  }
): Reply => answer(status, fieldsOf(options?.headers, options?.trailers), options?.body ?? "")

/**
 * Fails as the network would: `fail(new Reason.ConnectionRefused({ … }))`.
 *
 * @category steps
 * @since 0.1.0
 */
export const fail = (reason: TransportReason): Reply => failWith(() => reason)

const failWith = (reason: (request: Transport.Request) => TransportReason): Reply => ({
  _tag: "Failure",
  reason,
  delay: Duration.zero
})

/**
 * Nothing listens there.
 *
 * @category steps
 * @since 0.1.0
 */
export const refused: Reply = failWith(
  ({ origin }) =>
    new Reason.ConnectionRefused({ endpoint: Transport.endpointOf(origin), phase: "connect", code: "ECONNREFUSED" })
)

/**
 * The connection is reset while the answer is awaited.
 *
 * @category steps
 * @since 0.1.0
 */
export const reset: Reply = failWith(
  ({ origin }) =>
    new Reason.ConnectionReset({ endpoint: Transport.endpointOf(origin), phase: "wait", code: "ECONNRESET" })
)

/**
 * The answer is cut off before its end.
 *
 * @category steps
 * @since 0.1.0
 */
export const truncated: Reply = failWith((request) => cutOff(request))

const cutOff = ({ origin }: Transport.Request): Reason.ResponseTruncated =>
  new Reason.ResponseTruncated({ endpoint: Transport.endpointOf(origin), phase: "receive" })

/**
 * Answers with a body that comes bit by bit, for a test of its reader: `stream(["first", pause("2 seconds"), "second"])`.
 *
 * - `status`, `headers`, `trailers`: default 200, and none
 * - `end`: the event after the last part: `"complete"`, `"truncated"` (the connection is cut), `"hang"` (nothing more comes, and
 *   no end), or the reason of a failure. Default `"complete"`
 *
 * A call that reads its answer whole gets the parts together, when the last one has come.
 *
 * ```ts
 * import { Effect, Layer, Stream } from "effect"
 * import { Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Exports extends Upstream.Service<Exports>()("exports", { baseUrl: "https://exports.internal" }) {}
 *
 * const script = ScriptedTransport.layer({
 *   "GET /all": [ScriptedTransport.stream(["a,1\n", "b,2\n"], { end: "truncated" })]
 * })
 * const program = Effect.gen(function*() {
 *   const exports = yield* Exports
 *   const { stream } = yield* exports.streaming.get("/all")
 *   return yield* stream.pipe(
 *     Stream.decodeText(),
 *     Stream.splitLines,
 *     Stream.runForEach((line) => Effect.sync(() => console.log(line))),
 *     Effect.flip
 *   )
 * })
 *
 * const error = await Effect.runPromise(
 *   program.pipe(Effect.scoped, Effect.provide(Exports.layer.pipe(Layer.provide(script))))
 * )
 * console.log(error.reason._tag)
 * // => a,1
 * // => b,2
 * // => ResponseTruncated
 * ```
 *
 * @category steps
 * @since 0.1.0
 */
export const stream = (
  parts: ReadonlyArray<Part>,
  options?: {
    readonly status?: number | undefined
    readonly headers?: HeaderLines | undefined
    readonly trailers?: HeaderLines | undefined
    readonly end?: "complete" | "truncated" | "hang" | TransportReason | undefined
  }
): Reply => ({
  _tag: "Stream",
  status: options?.status ?? 200,
  fields: fieldsOf(options?.headers, options?.trailers),
  parts,
  end: endOf(options?.end ?? "complete"),
  delay: Duration.zero
})

const endOf = (
  end: "complete" | "truncated" | "hang" | TransportReason
): ((request: Transport.Request) => Effect.Effect<void, TransportReason>) => {
  if (end === "complete") return () => Effect.void
  if (end === "hang") return () => Effect.never
  return (request) => Effect.fail(end === "truncated" ? cutOff(request) : end)
}

/**
 * Time that passes between two parts of a body.
 *
 * @category steps
 * @since 0.1.0
 */
export const pause = (time: Time.Input): Part => ({ pause: Time.of("ScriptedTransport: pause", time) })

/**
 * Never answers.
 *
 * @category steps
 * @since 0.1.0
 */
export const hang: Step = { _tag: "Hang" }

/**
 * The same reply, later.
 *
 * @category steps
 * @since 0.1.0
 */
export const after = (delay: Time.Input, reply: Reply): Reply => ({
  ...reply,
  delay: Duration.sum(reply.delay, Time.of("ScriptedTransport: after", delay))
})

/**
 * The requests that the script has seen.
 *
 * @category models
 * @since 0.1.0
 */
export interface Seen {
  /** Every request, in the order in which they were sent. */
  readonly requests: ReadonlyArray<Transport.Request>
  /** Requests that were interrupted before they were answered. */
  readonly interrupted: ReadonlyArray<Transport.Request>
  /** Requests whose body was taken over as a stream, and was given up before its end. */
  readonly aborted: ReadonlyArray<Transport.Request>
}

/**
 * The record of requests, for a test to look at.
 *
 * @category services
 * @since 0.1.0
 */
export class ScriptedRequests extends Context.Service<ScriptedRequests, Effect.Effect<Seen>>()(
  "@holdfast/testing/ScriptedTransport/ScriptedRequests"
) {}

/**
 * The requests so far.
 *
 * @category getters
 * @since 0.1.0
 */
export const seen: Effect.Effect<Seen, never, ScriptedRequests> = Effect.flatten(ScriptedRequests)

/**
 * A transport that answers from a script, and the record of its requests.
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Upstream } from "holdfast"
 * import { ScriptedTransport } from "holdfast/testing"
 *
 * class Stock extends Upstream.Service<Stock>()("stock", { baseUrl: "https://stock.internal" }) {}
 *
 * const program = Effect.gen(function*() {
 *   const stock = yield* Stock
 *   const answer = yield* stock.get("/items/{sku}", { params: { sku: "A-7" } })
 *   const { requests } = yield* ScriptedTransport.seen
 *   console.log(answer.text, requests.map((request) => request.path))
 * })
 *
 * const script = ScriptedTransport.layer({ "GET /items/{sku}": [ScriptedTransport.status(200, { body: "3 left" })] })
 * await Effect.runPromise(program.pipe(Effect.provide(Stock.layer.pipe(Layer.provideMerge(script)))))
 * // => 3 left [ '/items/A-7' ]
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (script: Script): Layer.Layer<Transport.Transport | ScriptedRequests> => {
  for (const [key, steps] of Object.entries(script)) {
    if (!Array.isArray(steps) && typeof steps !== "function") {
      throw new RangeError(
        `ScriptedTransport: the script for "${key}" must be a list of steps, or a function of the request: ` +
          `{ "${key}": [ScriptedTransport.json([])] }, got ${steps === null ? "null" : typeof steps}`
      )
    }
    const [, verb = "", rest = ""] = /^([A-Za-z]+)( \/.*)$/.exec(key) ?? []
    if (verb !== verb.toUpperCase()) {
      throw new RangeError(
        `ScriptedTransport: "${key}" matches nothing; methods are in capitals: "${verb.toUpperCase()}${rest}"`
      )
    }
    if (Array.isArray(steps) && steps.length === 0) {
      throw new RangeError(`ScriptedTransport: the script for "${key}" needs at least one step, got none`)
    }
  }
  return Layer.effectContext(
    Effect.sync(() => {
      const used = new Map<string, number>()
      const requests: Array<Transport.Request> = []
      const interrupted: Array<Transport.Request> = []
      const aborted: Array<Transport.Request> = []
      const next = (request: Transport.Request): Step | undefined => {
        const key = [`${request.upstream} ${request.operation}`, request.operation, "*"].find((name) =>
          Object.hasOwn(script, name)
        )
        const steps = key === undefined ? undefined : script[key]
        if (key === undefined || steps === undefined) return undefined
        if (typeof steps === "function") return steps(request)
        const position = used.get(key) ?? 0
        used.set(key, position + 1)
        return steps[Math.min(position, steps.length - 1)]
      }
      const played = <A, R>(
        request: Transport.Request,
        use: (played: Played) => Effect.Effect<A, TransportReason, R>
      ): Effect.Effect<A, TransportReason, R> =>
        Effect.suspend(() => {
          requests.push(request)
          const step = next(request)
          if (step === undefined) return Effect.die(unscripted(request, script))
          return Effect.onInterrupt(Effect.flatMap(play(step, request), use), () =>
            Effect.sync(() => {
              interrupted.push(request)
            })
          )
        })
      /** Read as a transport reads it: an expected body to its end, and of any other the part that may be drained. */
      const readOf = (answer: Played, request: Transport.Request): Effect.Effect<Transport.Response, TransportReason> =>
        answer.isWhole || Transport.isExpected(request, answer.status)
          ? wholeOf(answer)
          : drainedOf(answer, request.limits, () => void aborted.push(request))
      const transport: Transport.Transport["Service"] = {
        send: (request) => played(request, (answer) => readOf(answer, request)),
        open: (request) =>
          played(request, (answer): ReturnType<Transport.Transport["Service"]["open"]> => {
            const { fields, parts, status } = answer
            const { headers, setCookies, trailers } = fields
            if (!Transport.isExpected(request, status)) return readOf(answer, request)
            let isAtEnd = false
            const atEnd = Effect.sync(() => {
              isAtEnd = true
            })
            const end = Effect.tapError(answer.end, () => atEnd).pipe(Effect.andThen(atEnd))
            const givenUp = Effect.sync(() => {
              if (!isAtEnd) aborted.push(request)
            })
            const stream = Stream.concat(parts, Stream.drain(Stream.fromEffect(end)))
            return Effect.as(
              Effect.addFinalizer(() => givenUp),
              { status, headers, setCookies, stream, trailers: () => (isAtEnd ? trailers : undefined) }
            )
          })
      }
      return Context.make(Transport.Transport, transport).pipe(
        Context.add(
          ScriptedRequests,
          Effect.sync(() => ({
            requests: requests.slice(),
            interrupted: interrupted.slice(),
            aborted: aborted.slice()
          }))
        )
      )
    })
  )
}

/** An answer whose headers have come. */
interface Played {
  readonly status: number
  readonly fields: Fields
  readonly parts: Stream.Stream<Uint8Array>
  readonly end: Effect.Effect<void, TransportReason>
  readonly bodyComplete: boolean
  /** Whether the body came with the headers. */
  readonly isWhole: boolean
}

const play = (step: Step, request: Transport.Request): Effect.Effect<Played, TransportReason> => {
  if (step._tag === "Hang") return Effect.never
  const result = step._tag === "Failure" ? Effect.fail(step.reason(request)) : Effect.succeed(playedOf(step, request))
  return Duration.toMillis(step.delay) > 0 ? Effect.delay(result, step.delay) : result
}

const playedOf = (reply: Exclude<Reply, { readonly _tag: "Failure" }>, request: Transport.Request): Played => {
  if (reply._tag === "Answer") {
    const { body, bodyComplete, headers, setCookies, status, trailers } = reply.response
    const fields = { headers, setCookies, trailers }
    return { status, fields, parts: Stream.succeed(body), end: Effect.void, bodyComplete, isWhole: true }
  }
  const parts = Stream.flatMap(Stream.fromIterable(reply.parts), bytesOf)
  return {
    status: reply.status,
    fields: reply.fields,
    parts,
    end: reply.end(request),
    bodyComplete: true,
    isWhole: false
  }
}

const wholeOf = ({
  bodyComplete,
  end,
  fields,
  parts,
  status
}: Played): Effect.Effect<Transport.Response, TransportReason> =>
  Effect.flatMap(Stream.runCollect(parts), (chunks) =>
    Effect.as(end, { status, ...fields, body: joined(chunks), bodyComplete })
  )

/** Reads an error's body within the bounds, and aborts the rest; its status says more than how its body ends. */
const drainedOf = (
  { bodyComplete, end, fields, parts, status }: Played,
  { drainBytes, drainTime, errorBytes }: Transport.Limits,
  onAborted: () => void
): Effect.Effect<Transport.Response> =>
  Effect.suspend(() => {
    const chunks: Array<Uint8Array> = []
    let size = 0
    const takes = (chunk: Uint8Array): boolean => {
      chunks.push(chunk)
      size += chunk.length
      return size <= drainBytes
    }
    const reading = Stream.runForEachWhile(parts, (chunk) => Effect.sync(() => takes(chunk))).pipe(
      Effect.andThen(Effect.suspend(() => (size <= drainBytes ? Effect.as(end, true) : Effect.succeed(false))))
    )
    const isAnnouncedLong = Number(fields.headers["content-length"] ?? 0) > drainBytes
    const read = isAnnouncedLong ? Effect.succeed(false) : reading
    return read.pipe(
      Effect.timeoutOption(drainTime),
      Effect.map(Option.getOrElse(() => false)),
      // a body that broke off has aborted itself
      Effect.map((isAtEnd) => {
        if (!isAtEnd) onAborted()
        return isAtEnd
      }),
      Effect.orElseSucceed(() => false),
      Effect.map((isAtEnd) => {
        const body = joined(chunks).subarray(0, errorBytes)
        return { status, ...fields, body, bodyComplete: isAtEnd && bodyComplete && body.length === size }
      })
    )
  })

const bytesOf = (part: Part): Stream.Stream<Uint8Array> => {
  if (typeof part === "string") return Stream.succeed(encoder.encode(part))
  if (part instanceof Uint8Array) return Stream.succeed(part)
  return Stream.drain(Stream.fromEffect(Effect.sleep(part.pause)))
}

const joined = (chunks: ReadonlyArray<Uint8Array>): Uint8Array => {
  const [only] = chunks
  if (chunks.length === 1 && only !== undefined) return only
  const whole = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0))
  let offset = 0
  for (const chunk of chunks) {
    whole.set(chunk, offset)
    offset += chunk.length
  }
  return whole
}

const unscripted = (request: Transport.Request, script: Script): Error =>
  new Error(
    `ScriptedTransport: no script for "${request.operation}"; there are scripts for ` +
      (Object.keys(script).length === 0
        ? "nothing"
        : Object.keys(script)
            .map((name) => `"${name}"`)
            .join(", "))
  )
