/** A body on its way to its reader: how much is kept for one who is behind, and when the wire is held up. */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { Gathering } from "./gathering.ts"
import type * as Reason from "@holdfast/core/Reason"

type Chunks = readonly [Uint8Array, ...Array<Uint8Array>]
type Pulled = Effect.Effect<Chunks, Reason.TransportReason | Cause.Done>

/** Bytes that are kept for a reader that is slower than the wire. */
const highWaterMark = 65_536

/** How a reader of a body acts on the exchange. */
export interface Source {
  /** There is room again. */
  readonly resume: () => void
  /** The reader has left. */
  readonly leave: () => void
}

/**
 * A body on its way to its reader: chunks that came and are not read yet, or a reader that waits for one. It says when there are
 * too many, so that the wire can be held up.
 */
export class StreamedBody {
  readonly #source: Source
  readonly #gathered = new Gathering()
  #reader: ((pulled: Pulled) => void) | undefined
  #serving = false
  #end: Pulled | undefined
  #begun = false

  constructor(source: Source) {
    this.#source = source
  }

  /** Takes a chunk. False says that the reader is behind, and no more should come until `resume`. */
  push(chunk: Uint8Array): boolean {
    this.#gathered.add(chunk)
    this.#serve()
    return this.#gathered.length < highWaterMark
  }

  end(): void {
    this.#finish(Cause.done())
  }

  /** Chunks that came before the failure are still read. */
  fail(reason: Reason.TransportReason): void {
    this.#finish(Effect.fail(reason))
  }

  #finish(end: Pulled): void {
    this.#end ??= end
    this.#serve()
  }

  /** A fiber goes on at once, and must not do so from inside undici's callbacks: see the exchange. */
  #serve(): void {
    if (this.#reader === undefined || this.#serving) return
    this.#serving = true
    queueMicrotask(() => {
      this.#serving = false
      const reader = this.#reader
      // a reader that has left meanwhile takes nothing along: the chunk is for the next one
      if (reader === undefined) return
      this.#reader = undefined
      reader(this.#next() ?? this.#pull)
    })
  }

  #next(): Pulled | undefined {
    const wasFull = this.#gathered.length >= highWaterMark
    const [first, ...rest] = this.#gathered.take()
    if (first === undefined) return this.#end
    if (wasFull) this.#source.resume()
    return Effect.succeed([first, ...rest])
  }

  readonly #pull: Pulled = Effect.callback((resume) => {
    this.#reader = resume
    // the end too is told later: the connection is given back before the reader makes its next call
    if (this.#gathered.length > 0 || this.#end !== undefined) this.#serve()
    return Effect.sync(() => {
      this.#reader = undefined
    })
  })

  /** The body as a stream, once. */
  readonly stream: Stream.Stream<Uint8Array, Reason.TransportReason> = Stream.suspend(() => {
    if (this.#begun) return Stream.die(new Error("the body of a response can be read once, and it was begun before"))
    this.#begun = true
    return Stream.ensuring(
      Stream.fromPull(Effect.succeed(this.#pull)),
      Effect.sync(() => this.#source.leave())
    )
  })
}
