/** Whether a body of the caller's or the connection failed while it was sent. */

import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"

/**
 * A body of the caller's on its way out. A transport cannot tell a body that fails from a connection that does: the body itself knows,
 * whatever the transport makes of it.
 */
export class CallersStream {
  readonly stream: Stream.Stream<Uint8Array, unknown>
  /** Whether it was ever begun: it may be used up since. */
  isBegun = false
  /** How long its request says that it is. */
  #declared: number | undefined = undefined
  #length = 0
  #issue: string | undefined = undefined

  constructor(source: Stream.Stream<Uint8Array, unknown>) {
    const begin = Effect.sync(() => {
      this.isBegun = true
      this.#length = 0
      this.#issue = undefined
    })
    this.stream = source.pipe(
      Stream.tap((bytes) => this.#counted(bytes)),
      Stream.concat(Stream.suspend(() => (this.#isShort() ? Stream.fail(this.#wrongLength()) : Stream.empty))),
      Stream.onExit((exit) => Effect.sync(() => this.#ended(exit))),
      Stream.onStart(begin)
    )
  }

  holdTo(declared: number): void {
    this.#declared = declared
  }

  /** The reason of a failed attempt: the fault of this body, where it has one, whatever the transport says. */
  readonly blamed = (reason: Reason.Reason): Reason.Reason => {
    const issue = this.#issue
    // of one attempt, and the next may fail before it begins its body
    this.#issue = undefined
    return issue === undefined || !isOfTransport(reason) ? blamed(reason) : notSentWhole("stream", issue)
  }

  #counted(bytes: Uint8Array): Effect.Effect<void, Error> {
    this.#length += bytes.length
    return this.#declared !== undefined && this.#length > this.#declared
      ? Effect.suspend(() => Effect.fail(this.#wrongLength()))
      : Effect.void
  }

  #isShort(): boolean {
    return this.#declared !== undefined && this.#length < this.#declared
  }

  #wrongLength(): Error {
    const got = this.#isShort() ? `ended after ${this.#length} bytes` : `went on after ${this.#declared}`
    this.#issue = `it ${got}, and content-length says ${this.#declared}; leave it out, or say what is so`
    return new Error("the body is not as long as content-length says")
  }

  #ended(exit: Exit.Exit<unknown, unknown>): void {
    // a reader that no longer wants the body interrupts it
    if (Exit.isSuccess(exit) || Cause.hasInterrupts(exit.cause)) return
    const error: unknown = Cause.squash(exit.cause)
    // the name of a thrown error holds no secret; its message may
    const name = Predicate.isError(error) ? error.name : typeof error
    this.#issue ??= `it failed (${name}); look at what it reads from`
  }
}

/** The same, of a body that only the client under a transport has seen. The code is undici's. */
export const blamed = (reason: Reason.Reason): Reason.Reason =>
  "code" in reason && reason.code === "UND_ERR_REQ_CONTENT_LENGTH_MISMATCH"
    ? notSentWhole("body", "it is not as long as content-length says")
    : reason

const notSentWhole = (path: string, issue: string): Reason.RequestEncodeFailed =>
  stackless(() => new Reason.RequestEncodeFailed({ path, issue, sent: true }))

/** A status, or what was made of a whole response, is the upstream's word, however the body ended. */
const isOfTransport = (reason: Reason.Reason): boolean => "phase" in reason || reason._tag === "HeadersTooLarge"
