/**
 * Collects the pieces of a body. Pieces far smaller than the buffers that hold them are put together, so that a byte weighs about a byte.
 */

/** A piece that is shorter than this is copied: the buffer behind it may be many times as large, and so is the view itself. */
const smallBytes = 1024

/** How much is set aside at once for small pieces, at first and at most. */
const firstBlockBytes = 4096
const largestBlockBytes = 65_536

const nothing = new Uint8Array(0)

export class Gathering {
  #pieces: Array<Uint8Array> = []
  #block: Uint8Array = nothing
  /** How much of the block is in the pieces already, and how much of it is written. */
  #taken = 0
  #written = 0
  length = 0

  add(piece: Uint8Array): void {
    this.length += piece.length
    if (piece.length >= smallBytes || this.#isOnly()) {
      this.#closeBlock()
      this.#pieces.push(piece)
      return
    }
    if (this.#block.length - this.#written < piece.length) {
      this.#closeBlock()
      this.#block = new Uint8Array(Math.min(largestBlockBytes, Math.max(firstBlockBytes, this.#block.length * 2)))
      this.#taken = 0
      this.#written = 0
    }
    this.#block.set(piece, this.#written)
    this.#written += piece.length
  }

  /** The pieces, in order; forgets them. */
  take(): Array<Uint8Array> {
    this.#closeBlock()
    const pieces = this.#pieces
    this.#pieces = []
    this.length = 0
    return pieces
  }

  /** The pieces, in one. */
  whole(): Uint8Array {
    const { length } = this
    const pieces = this.take()
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces, length)
  }

  /** The first piece is kept as it is: most bodies have no other. */
  #isOnly(): boolean {
    return this.#pieces.length === 0 && this.#written === this.#taken
  }

  #closeBlock(): void {
    if (this.#written === this.#taken) return
    this.#pieces.push(this.#block.subarray(this.#taken, this.#written))
    this.#taken = this.#written
  }
}
