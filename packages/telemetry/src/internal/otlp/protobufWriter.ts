/**
 * Writes protobuf (https://protobuf.dev/programming-guides/encoding/) into one buffer that grows. A message's length stands before
 * it and is known after it: one byte is left for it, and a message longer than 127 bytes is moved on by the few bytes more.
 */

const firstBytes = 1024

/** Shorter texts are copied by hand while they are ASCII, because the encoder's call costs more than they do. */
const shortText = 64

const encoder = new TextEncoder()

export class ProtobufWriter {
  private bytes: Uint8Array<ArrayBuffer>
  private view: DataView<ArrayBuffer>
  private at = 0

  constructor(capacity: number = firstBytes) {
    this.bytes = new Uint8Array(capacity)
    this.view = new DataView(this.bytes.buffer)
  }

  /** The written bytes. The writer is not used after it. */
  finish(): Uint8Array<ArrayBuffer> {
    // a copy, so that a batch in a queue holds no more than it counts for
    return this.bytes.slice(0, this.at)
  }

  private reserve(more: number): void {
    const wanted = this.at + more
    if (wanted <= this.bytes.length) return
    const grown = new Uint8Array(Math.max(wanted, this.bytes.length * 2))
    grown.set(this.bytes.subarray(0, this.at))
    this.bytes = grown
    this.view = new DataView(grown.buffer)
  }

  /** Up to 2^53: lengths, tags, enumerations and safe integers that are not negative. */
  private unsigned(value: number): void {
    this.reserve(10)
    let rest = value
    while (rest > 127) {
      this.bytes[this.at++] = (rest % 128) | 128
      rest = Math.floor(rest / 128)
    }
    this.bytes[this.at++] = rest
  }

  private tag(field: number, wireType: number): void {
    this.unsigned(field * 8 + wireType)
  }

  varint(field: number, value: number): void {
    this.tag(field, 0)
    this.unsigned(value)
  }

  /** An int64, which travels as its two's complement when it is negative. */
  int64(field: number, value: bigint): void {
    this.tag(field, 0)
    this.reserve(10)
    let rest = BigInt.asUintN(64, value)
    while (rest > 127n) {
      this.bytes[this.at++] = Number(rest & 127n) | 128
      rest >>= 7n
    }
    this.bytes[this.at++] = Number(rest)
  }

  bool(field: number, value: boolean): void {
    this.varint(field, value ? 1 : 0)
  }

  fixed64(field: number, value: bigint): void {
    this.tag(field, 1)
    this.reserve(8)
    this.view.setBigUint64(this.at, BigInt.asUintN(64, value), true)
    this.at += 8
  }

  double(field: number, value: number): void {
    this.tag(field, 1)
    this.reserve(8)
    this.view.setFloat64(this.at, value, true)
    this.at += 8
  }

  fixed32(field: number, value: number): void {
    this.tag(field, 5)
    this.reserve(4)
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  raw(field: number, value: Uint8Array): void {
    this.tag(field, 2)
    this.unsigned(value.length)
    this.reserve(value.length)
    this.bytes.set(value, this.at)
    this.at += value.length
  }

  text(field: number, value: string): void {
    this.tag(field, 2)
    const start = this.open()
    // UTF-8 has three bytes at most for each unit of UTF-16
    this.reserve(value.length * 3)
    if (value.length > shortText || !this.ascii(value)) {
      this.at = start + encoder.encodeInto(value, this.bytes.subarray(start)).written
    }
    this.close(start)
  }

  /** Copies a text; says no, at its first character beyond ASCII, having written the text before it. */
  private ascii(value: string): boolean {
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index)
      if (code > 127) return false
      this.bytes[this.at++] = code
    }
    return true
  }

  /** Bytes that are given in hexadecimal. */
  hexadecimal(field: number, value: string): void {
    this.tag(field, 2)
    const length = value.length >> 1
    this.unsigned(length)
    this.reserve(length)
    for (let index = 0; index < length; index++) {
      this.bytes[this.at++] = Number.parseInt(value.slice(index * 2, index * 2 + 2), 16)
    }
  }

  message<A>(field: number, value: A, write: (writer: ProtobufWriter, value: A) => void): void {
    this.tag(field, 2)
    const start = this.open()
    write(this, value)
    this.close(start)
  }

  each<A>(field: number, values: ReadonlyArray<A>, write: (writer: ProtobufWriter, value: A) => void): void {
    for (const value of values) this.message(field, value, write)
  }

  /** Leaves a byte for the length, and gives where the content begins. */
  private open(): number {
    this.reserve(1)
    return ++this.at
  }

  /** Puts the length before the content that began at `start`. */
  private close(start: number): void {
    const length = this.at - start
    if (length < 128) {
      this.bytes[start - 1] = length
      return
    }
    const more = length < 2 ** 14 ? 1 : length < 2 ** 21 ? 2 : length < 2 ** 28 ? 3 : 4
    this.reserve(more)
    this.bytes.copyWithin(start + more, start, this.at)
    this.at = start - 1
    this.unsigned(length)
    this.at = start + more + length
  }
}
