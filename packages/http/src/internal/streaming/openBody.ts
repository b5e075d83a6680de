/** When an open body ends, and what is given back then. */

import type { CallError } from "@holdfast/core/CallError"
import * as Deadline from "@holdfast/core/Deadline"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Tracer from "effect/Tracer"
import type { StreamedAnswer } from "../../Request.ts"
import type * as Transport from "../../Transport.ts"
import { noCookies, noHeaders } from "../request/noFields.ts"
import { type CallSite, framesOf } from "./callSite.ts"
import * as Spans from "../watch/spans.ts"

/** How many bodies of an upstream are in the hands of its callers. */
export interface Bodies {
  /** Given to a caller, and neither ended nor released. */
  open: number
  /** Those of them that nobody has begun to read. */
  unread: number
  /** How many were found unread after too long, since the upstream was made. */
  found: number
}

/** The call that a body answers. */
export interface Caller {
  readonly upstream: string
  readonly operation: string
  readonly requestId: string
  /** Of the fiber that asked, when it did: it may have ended, or go on with another, while the body is still open. */
  readonly context: Context.Context<never>
  readonly clock: Clock.Clock
  readonly deadline: Deadline.Deadline | undefined
  readonly bodies: Bodies
  /** After how long a body that nobody reads is reported; `Infinity` for never. */
  readonly unreadMillis: number
  readonly maxBytes: number
  readonly asked: CallSite
  /** Says whose fault it is that the answer broke, where the request's own body may have. */
  readonly blamed: ((reason: Reason.Reason) => Reason.Reason) | undefined
  readonly failed: (reason: Reason.Reason) => CallError
  /** Hears how the call ended whose body was given to its caller. */
  readonly ended: (exit: Exit.Exit<void, CallError>) => void
}

/** How a body came to its end. */
type Ending =
  | { readonly _tag: "Read" }
  /** The reader wanted no more. */
  | { readonly _tag: "Left"; readonly isInterrupted: boolean }
  /** The scope of the call was closed. */
  | { readonly _tag: "Released" }
  /** The attempt failed, or another one won. */
  | { readonly _tag: "Discarded" }
  | { readonly _tag: "Failed"; readonly reason: Reason.Reason; readonly error: CallError }

/** A response that a transport opened. */
export interface Opened {
  readonly status: number
  readonly headers: Transport.Headers
  readonly setCookies: ReadonlyArray<string> | undefined
  /** Once the stream has ended. */
  readonly trailers: (() => Transport.Headers | undefined) | undefined
  readonly stream: Stream.Stream<Uint8Array, Reason.TransportReason>
  /** Host and port that answered. */
  readonly endpoint: string
}

export const scopeClosed = "it can be read only while the scope of the call is open, and that was closed"

type Chunk = NonEmptyReadonlyArray<Uint8Array>
type Read = Pull.Pull<Chunk, CallError>

/**
 * The open body of one attempt, and all that is to be given back when it ends. It ends once, by whichever comes first: its last
 * byte, a failure, a reader who leaves, the scope of the call, its deadline.
 */
export class OpenBody {
  /** The response that the transport opens belongs to it. */
  readonly scope: Scope.Closeable = Scope.makeUnsafe()
  readonly #caller: Caller
  #opened: Opened | undefined = undefined
  #span: Tracer.Span | undefined = undefined
  #ending: Ending | undefined = undefined
  #isGiven = false
  #isRun = false
  #isPulled = false
  #isFound = false
  #openedMillis = 0
  #bytes = 0
  #pull: Pull.Pull<Chunk, Reason.TransportReason> | undefined = undefined
  #reading: Fiber.Fiber<unknown, unknown> | undefined = undefined
  #watching: Fiber.Fiber<unknown, unknown> | undefined = undefined
  #givePlacesBack: (() => void) | undefined = undefined
  #onEnded: Effect.Effect<void> = Effect.void

  constructor(caller: Caller) {
    this.#caller = caller
  }

  /** The response that the transport opened; there is none before the headers have come. */
  get opened(): Opened | undefined {
    return this.#opened
  }

  /** Whether somebody has begun to read it. */
  get isRead(): boolean {
    return this.#isPulled
  }

  /** The headers have come. */
  open(opened: Opened, span: Tracer.Span | undefined): void {
    this.#opened = opened
    this.#span = span
    this.#openedMillis = this.#nowMillis()
  }

  /** Holds places of the upstream until the end. */
  keepPlaces(giveBack: () => void): void {
    if (this.#ending === undefined) this.#givePlacesBack = giveBack
    else giveBack()
  }

  /** Gives the body to the caller. From now on it is watched, and `onEnded` runs at its end. */
  give(onEnded: Effect.Effect<void>): Effect.Effect<StreamedAnswer> {
    return Effect.suspend(() => {
      const { bodies, context, deadline, ended, unreadMillis } = this.#caller
      const { headers = noHeaders, setCookies = noCookies, status = 0, trailers } = this.#opened ?? {}
      const answer: StreamedAnswer = {
        status,
        headers,
        setCookies,
        trailers: Effect.sync(() => trailers?.() ?? noHeaders),
        stream: this.#stream()
      }
      if (this.#ending !== undefined) {
        // its scope was closed before anybody had it
        ended(Exit.void)
        return Effect.as(onEnded, answer)
      }
      this.#isGiven = true
      this.#onEnded = onEnded
      bodies.open++
      bodies.unread++
      if (deadline !== undefined || Number.isFinite(unreadMillis)) {
        this.#watching = Effect.runForkWith(context)(this.#watch())
      }
      return Effect.succeed(answer)
    })
  }

  /** The attempt that opened it failed, or lost. */
  readonly discard: Effect.Effect<void> = this.#end({ _tag: "Discarded" })

  /** The scope of the call was closed. */
  readonly release: Effect.Effect<void> = this.#end({ _tag: "Released" })

  // -------------------------------------------------------------------------------------------------------------------
  // reading
  // -------------------------------------------------------------------------------------------------------------------

  #stream(): Stream.Stream<Uint8Array, CallError> {
    return Stream.suspend(() => {
      if (this.#isRun) return Stream.die(this.misuse("it can be read once, and was read before"))
      this.#isRun = true
      return Stream.fromPull(Effect.succeed(this.#next)).pipe(
        Stream.onExit((exit) => this.#end({ _tag: "Left", isInterrupted: Exit.hasInterrupts(exit) }))
      )
    })
  }

  /**
   * The next bytes. They are read in a fiber of their own, so that whatever ends the body ends a read that waits, too, and no
   * reader hangs on a transport that no longer answers.
   */
  readonly #next: Read = Effect.withFiber((reader) => {
    if (this.#ending !== undefined) return this.#verdict(this.#ending)
    const wait = Effect.callback<Chunk, CallError | Cause.Done>((resume) => {
      const child = Effect.runForkWith(reader.context)(this.#pullSource())
      const done = child.pollUnsafe()
      if (done !== undefined) {
        resume(this.#judge(done))
        return undefined
      }
      this.#reading = child
      child.addObserver((exit) => {
        this.#reading = undefined
        resume(this.#judge(exit))
      })
      return Fiber.interrupt(child)
    })
    return this.#isPulled ? wait : Effect.andThen(this.#begun(), wait)
  })

  #pullSource(): Pull.Pull<Chunk, Reason.TransportReason> {
    if (this.#pull !== undefined) return this.#pull
    const source = this.#opened?.stream ?? Stream.empty
    return Effect.flatMap(Channel.toPullScoped(source.channel, this.scope), (pull) => {
      this.#pull = pull
      return pull
    })
  }

  #begun(): Effect.Effect<void> {
    this.#isPulled = true
    this.#caller.bodies.unread--
    return this.#isFound ? this.#cameBack("is read") : Effect.void
  }

  #judge(exit: Exit.Exit<Chunk, Reason.TransportReason | Cause.Done>): Read {
    if (this.#ending !== undefined) return this.#verdict(this.#ending)
    if (Exit.isSuccess(exit)) {
      for (const bytes of exit.value) this.#bytes += bytes.length
      return this.#bytes > this.#caller.maxBytes ? this.#fail(this.#tooLarge()) : Effect.succeed(exit.value)
    }
    const failure = exit.cause.reasons.find(Cause.isFailReason)
    // a defect of the transport, which ends the stream and with it the body
    if (failure === undefined) return Effect.failCause(Cause.fromReasons(exit.cause.reasons.filter(isNoFailure)))
    if (Cause.isDone(failure.error)) return Effect.andThen(this.#end({ _tag: "Read" }), Cause.done())
    return this.#fail(this.#caller.blamed?.(failure.error) ?? failure.error)
  }

  #fail(reason: Reason.Reason): Read {
    const error = this.#caller.failed(reason)
    return Effect.andThen(this.#end({ _tag: "Failed", reason, error }), Effect.fail(error))
  }

  #tooLarge(): Reason.Reason {
    const { maxBytes } = this.#caller
    return stackless(
      () => new Reason.ResponseTooLarge({ endpoint: this.#opened?.endpoint ?? "", limit: maxBytes, size: this.#bytes })
    )
  }

  /** The result of a read when the body has ended. */
  #verdict(ending: Ending): Read {
    switch (ending._tag) {
      case "Failed":
        return Effect.fail(ending.error)
      case "Released":
      case "Discarded":
        return Effect.die(this.misuse(scopeClosed))
      case "Read":
      case "Left":
        return Cause.done()
    }
  }

  /** A mistake of the program, which no policy should retry. */
  misuse(what: string): Error {
    const { operation, requestId, upstream } = this.#caller
    return new Error(`${upstream}: the body of ${operation} (request ${requestId}): ${what}`)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the end
  // -------------------------------------------------------------------------------------------------------------------

  /** Nothing is done before it runs, and then all of it: a fiber that is interrupted on the way to it leaves it to another. */
  #end(ending: Ending): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.suspend(() => this.#endNow(ending)))
  }

  #endNow(ending: Ending): Effect.Effect<void> {
    if (this.#ending !== undefined) return Effect.void
    this.#ending = ending
    const { bodies } = this.#caller
    const wasUnread = this.#isGiven && !this.#isPulled
    if (this.#isGiven) bodies.open--
    if (wasUnread) bodies.unread--
    // only asked to end: this may be what it is doing
    this.#watching?.interruptUnsafe()
    // not waited for: a read that takes no interruption ends when its exchange is aborted
    this.#reading?.interruptUnsafe()
    return Scope.close(this.scope, Exit.void).pipe(
      Effect.ensuring(
        Effect.suspend(() => {
          this.#givePlacesBack?.()
          // a tracer that throws keeps nothing open
          return Effect.ensuring(
            Effect.sync(() => this.#tellEnd(ending)),
            this.#onEnded
          )
        })
      ),
      Effect.andThen(
        wasUnread && this.#isFound && ending._tag !== "Failed" ? this.#cameBack("is released unread") : Effect.void
      )
    )
  }

  #tellEnd(ending: Ending): void {
    this.#endSpan(ending)
    if (!this.#isGiven) return
    this.#caller.ended(
      ending._tag === "Failed"
        ? Exit.fail(ending.error)
        : ending._tag === "Left" && ending.isInterrupted
          ? Exit.interrupt()
          : Exit.void
    )
  }

  #endSpan(ending: Ending): void {
    const span = this.#span
    if (span === undefined) return
    if (ending._tag === "Read") span.attribute("http.response.body.size", this.#bytes)
    else if (ending._tag !== "Failed") span.attribute("holdfast.body", ending._tag.toLowerCase())
    Spans.endAttemptSpan(
      this.#caller.context,
      span,
      ending._tag === "Failed" ? Exit.fail(ending.reason) : ending._tag === "Discarded" ? Exit.interrupt() : Exit.void
    )
  }

  // -------------------------------------------------------------------------------------------------------------------
  // forgotten bodies
  // -------------------------------------------------------------------------------------------------------------------

  /** Finds the body if nobody reads it, and ends it when the deadline passes, whether somebody reads it or not. */
  #watch(): Effect.Effect<void> {
    const { deadline, unreadMillis } = this.#caller
    const leftMillis = (): number => (deadline?.atMillis ?? Infinity) - this.#nowMillis()
    const expire = Effect.suspend(() =>
      leftMillis() === Infinity
        ? Effect.void
        : Effect.andThen(sleep(leftMillis()), Effect.andThen(lookOnceMore, this.#expire))
    )
    if (unreadMillis >= leftMillis()) return expire
    const find = Effect.suspend(() =>
      this.#isPulled || this.#ending !== undefined
        ? Effect.void
        : this.#found((age) => `was opened ${age} ago, and is neither read nor released`)
    )
    return Effect.andThen(Effect.andThen(sleep(unreadMillis), find), expire)
  }

  // not to be interrupted: the end of the body ends the watch, which must not lose what it has to say
  readonly #expire: Effect.Effect<void> = Effect.uninterruptible(
    Effect.suspend(() => {
      const { deadline, failed, unreadMillis } = this.#caller
      if (this.#ending !== undefined || deadline === undefined) return Effect.void
      const budget = Duration.millis(deadline.budgetMillis)
      const reason = stackless(() => new Reason.DeadlineExceeded({ budget }))
      const said = this.#isPulled
        ? Effect.void
        : this.#isFound
          ? this.#cameBack("is aborted by the deadline")
          : Number.isFinite(unreadMillis)
            ? this.#found(
                (age) => `was not read before the deadline passed, and was aborted ${age} after it was opened`
              )
            : Effect.void
      return Effect.andThen(this.#end({ _tag: "Failed", reason, error: failed(reason) }), said)
    })
  )

  #found(what: (age: string) => string): Effect.Effect<void> {
    this.#isFound = true
    this.#caller.bodies.found++
    const frames = framesOf(this.#caller.asked)
    const asked = frames === "" ? "" : `; it was asked for\n${frames}`
    return this.#log(Effect.logWarning, what(this.#age()) + asked)
  }

  #cameBack(what: string): Effect.Effect<void> {
    return this.#log(Effect.logInfo, `which was found unread, ${what} after ${this.#age()}`)
  }

  #log(log: (message: string) => Effect.Effect<void>, what: string): Effect.Effect<void> {
    const { context, operation, requestId, upstream } = this.#caller
    const age = Math.round(this.#nowMillis() - this.#openedMillis)
    return log(`${upstream}: the body of ${operation} (request ${requestId}) ${what}`).pipe(
      Effect.annotateLogs({ upstream, operation, requestId, ageMillis: age }),
      // the fiber that ends the body may have other loggers than the caller
      Effect.provideContext(context)
    )
  }

  #age(): string {
    return Duration.format(Duration.millis(Math.round(this.#nowMillis() - this.#openedMillis)))
  }

  #nowMillis(): number {
    return Deadline.nowMillisUnsafe(this.#caller.clock)
  }
}

const sleep = (millis: number): Effect.Effect<void> => Effect.sleep(Duration.millis(Math.max(0, millis)))

/** Where the program was busy when the time was up, what has come in the meantime is read first. */
const lookOnceMore = Effect.andThen(Effect.yieldNow, Effect.yieldNow)

const isNoFailure = <E>(reason: Cause.Reason<E>): reason is Cause.Die | Cause.Interrupt => !Cause.isFailReason(reason)
