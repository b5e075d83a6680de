import type { CallError } from "@holdfast/core/CallError"
import * as Deadline from "@holdfast/core/Deadline"
import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type * as Reason from "@holdfast/core/Reason"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { StreamedAnswer } from "../Request.ts"
import * as Transport from "../Transport.ts"
import { isAnswer, unwantedPart } from "./answer.ts"
import type { Asking } from "./asking.ts"
import type { Encoded, Given } from "./encodeRequest.ts"
import { type Caller, OpenBody, scopeClosed } from "./openBody.ts"
import { type Attempt, Call } from "./pipeline.ts"
import type { Runtime } from "./runtime.ts"
import * as Spans from "./spans.ts"
import type { WatchedAttempt } from "./watchedAttempt.ts"
import { statusReason } from "./statusReason.ts"

/** A request whose answer is streamed, its types forgotten. */
export type GivenStreamed = Omit<Given, "decode"> & { readonly maxBytes?: number | undefined }

/** A call whose answer is given when its headers have come, and that belongs to a scope from then on. */
export const streamed = (
  runtime: Runtime,
  method: string,
  template: string,
  given: GivenStreamed,
  asking: Asking
): Effect.Effect<StreamedAnswer, CallError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.scope, (scope) =>
      Effect.withFiber((fiber) => {
        // of its own, so that a body that has ended leaves nothing behind in a scope that lives long
        const ofCall = Scope.forkUnsafe(scope)
        const call = new StreamedCall(runtime, fiber, method, template, given, asking)
        const over = Effect.suspend(() => {
          asking.onEnded?.()
          return Scope.close(ofCall, Exit.void)
        })
        // what a request needs is in the context of who asks: it has no schema for its answer
        const run = (span?: Tracer.Span) => call.run(span) as Effect.Effect<unknown, CallError>
        const traced = Spans.isTracing(fiber)
          ? Spans.openCallSpan({ upstream: runtime.name, operation: call.operation, requestId: call.requestId }, run)
          : run()
        const settled = Effect.onExitPrimitive(
          Effect.andThen(Scope.addFinalizer(ofCall, call.release), restore(traced)),
          (exit) => (Exit.isSuccess(exit) ? call.keepOnly(exit.value) : Effect.andThen(call.keepOnly(undefined), over))
        )
        // `exchange` gives nothing else
        return Effect.flatMap(settled, (body) => (body as OpenBody).give(over))
      })
    )
  )

/** A response on its way, which may be a redirect. */
interface Step {
  readonly status: number
  readonly headers: { readonly [name: string]: string }
  readonly response: Transport.Response | Transport.OpenResponse
  readonly scope: Scope.Closeable
}

/** A call up to the headers of its answer. What its attempts open stays open until it is known which of them won. */
class StreamedCall extends Call {
  private readonly bodies = new Set<OpenBody>()
  private readonly maxBytes: number
  private readonly asking: Asking
  private readonly clock: Clock.Clock
  private isReleased = false

  constructor(
    runtime: Runtime,
    fiber: Fiber.Fiber<unknown, unknown>,
    method: string,
    template: string,
    given: GivenStreamed,
    asking: Asking
  ) {
    super(runtime, fiber, method, template, given)
    this.maxBytes = given.maxBytes ?? Infinity
    this.asking = asking
    this.clock = fiber.getRef(Clock.Clock)
  }

  override run(span: Tracer.Span | undefined): Effect.Effect<unknown, CallError, unknown> {
    const { maxBytes } = this
    if (maxBytes === Infinity || (Number.isInteger(maxBytes) && maxBytes >= 0)) return super.run(span)
    return this.notEncoded({
      path: "maxBytes",
      issue: `must be a whole number of bytes of at least 0, got ${maxBytes}`
    })
  }

  /** A success is over when its body has ended. */
  protected override isOver(exit: Exit.Exit<unknown, CallError>): boolean {
    return Exit.isFailure(exit)
  }

  /** The scope of the call was closed, while it ran or after it. */
  readonly release: Effect.Effect<void> = Effect.suspend(() => {
    this.isReleased = true
    return Effect.forEach([...this.bodies], (body) => body.release, { discard: true })
  })

  /** Ends what every attempt but the winner's has opened. */
  keepOnly(winner: unknown): Effect.Effect<void> {
    return Effect.forEach([...this.bodies], (body) => (body === winner ? Effect.void : this.discarded(body)), {
      discard: true
    })
  }

  /** A place in the bulkhead, and in the adaptive limit, is held as long as the body is read: it is the upstream's load. */
  keepPlaces(body: unknown, giveBack: () => void): void {
    // `exchange` gives nothing else
    ;(body as OpenBody).keepPlaces(giveBack)
  }

  /** A body can be read once, so that no two calls share one. */
  protected override shared(
    _: Encoded,
    run: () => Effect.Effect<unknown, CallError, unknown>
  ): Effect.Effect<unknown, CallError, unknown> {
    return run()
  }

  protected override traced(attempt: WatchedAttempt, run: (span: Tracer.Span) => Attempt): Attempt {
    return Spans.openAttemptSpan(this.attemptSpan(attempt), run)
  }

  /** Sends, and gives the open body once the headers have come. */
  protected override exchange(
    resend: number,
    headers: { readonly [name: string]: string },
    attempt?: WatchedAttempt
  ): Attempt {
    return Effect.suspend(() => {
      const body = new OpenBody(this.caller())
      this.bodies.add(body)
      if (this.isReleased) return Effect.andThen(body.release, Effect.die(body.misuse(scopeClosed)))
      const limits = { ...this.policy.limits, responseBytes: this.maxBytes }
      const request = this.wireRequest(resend, headers, limits, attempt)
      const send = (request: Transport.Request) => this.step(request, body.scope)
      const arrived = Effect.flatMap(send(request), (response) => {
        const first = { request, response, followed: 0 }
        const { redirects } = this.policy
        return redirects === undefined
          ? Effect.succeed(first)
          : this.followed(redirects, first, send, (step) => this.left(step), attempt)
      })
      return Effect.onExitPrimitive(
        Effect.flatMap(arrived, ({ followed, request, response }) =>
          this.opened(body, request, response, followed, attempt)
        ),
        (exit) => (Exit.isFailure(exit) ? this.discarded(body) : undefined)
      )
    })
  }

  private discarded(body: OpenBody): Effect.Effect<void> {
    this.bodies.delete(body)
    return body.discard
  }

  /** One request, and what it opened in a scope of its own: a redirect is released before the next one is made. */
  private step(request: Transport.Request, ofAttempt: Scope.Scope): Effect.Effect<Step, Reason.TransportReason> {
    return Effect.suspend(() => {
      const scope = Scope.forkUnsafe(ofAttempt)
      return Effect.map(Scope.provide(this.runtime.transport.open(request), scope), (response) => ({
        status: response.status,
        headers: response.headers,
        response,
        scope
      }))
    })
  }

  /** Reads what is left of a response that nobody wants, within the bounds of an error's body, and lets it go. */
  private left({ headers, response, scope }: Step): Effect.Effect<void> {
    const { drainBytes, drainTime } = this.policy.limits
    const closed = Scope.close(scope, Exit.void)
    if (!("stream" in response) || Number(headers["content-length"] ?? 0) > drainBytes) return closed
    let read = 0
    const drained = Stream.runForEachWhile(response.stream, (bytes) =>
      Effect.sync(() => {
        read += bytes.length
        return read <= drainBytes
      })
    )
    return Effect.andThen(Effect.ignore(Effect.timeoutOption(drained, drainTime)), closed)
  }

  /** An open body, or the reason why the response is a failure. */
  private opened(
    body: OpenBody,
    request: Transport.Request,
    step: Step,
    followed: number,
    attempt: WatchedAttempt | undefined
  ): Attempt {
    const { headers, response, status } = step
    const span = attempt?.span
    const endpoint = Transport.endpointOf(request.origin)
    if (!("stream" in response)) {
      return Effect.map(this.answered(response, attempt, endpoint, followed), () => {
        const stream = response.body.length === 0 ? Stream.empty : Stream.succeed(response.body)
        const { setCookies, trailers } = response
        body.open({ status, headers, setCookies, trailers: () => trailers, stream, endpoint }, span)
        attempt?.opened()
        return body
      })
    }
    attempt?.answered(status)
    this.paced(endpoint, response)
    const part = unwantedPart(endpoint, status, this.asksForPart(), false)
    if (part !== undefined) return Effect.andThen(this.left(step), Effect.fail(part))
    if (isAnswer(status, request.expectedStatus)) {
      const { setCookies, stream, trailers } = response
      body.open({ status, headers, setCookies, trailers, stream, endpoint }, span)
      attempt?.opened()
      return Effect.succeed(body)
    }
    const unread = { status, headers, body: noBytes, bodyComplete: false }
    const now = this.fiber.getRef(Clock.Clock).currentTimeMillisUnsafe()
    return Effect.andThen(this.left(step), Effect.fail(statusReason(endpoint, unread, now, followed)))
  }

  /** The fiber may have ended by now, and has another clock then. */
  protected override nowMillis(): number {
    return Deadline.nowMillisUnsafe(this.clock ?? this.fiber.getRef(Clock.Clock))
  }

  /** The body that the caller was given has ended. */
  private ended(exit: Exit.Exit<void, CallError>): void {
    if (this.span !== undefined) Spans.endCallSpan(this.context, this.span, exit)
    this.tellEnded(exit)
  }

  private caller(): Caller {
    return {
      upstream: this.runtime.name,
      operation: this.operation,
      requestId: this.requestId,
      context: this.context,
      clock: this.clock,
      deadline: this.deadline,
      bodies: this.runtime.bodies,
      unreadMillis: this.runtime.unreadMillis,
      maxBytes: this.maxBytes,
      asked: this.asking.site,
      blamed: this.request?.body.callers?.blamed,
      failed: (reason) => {
        this.attempted(reason, ErrorCatalog.of(reason).applied)
        return this.failed(reason, reason._tag === "DeadlineExceeded" ? "deadline" : "not-retryable")
      },
      ended: (exit) => this.ended(exit)
    }
  }
}

const noBytes = new Uint8Array(0)
