/** A response as it comes: its body is counted, decoded, and kept whole or handed on, within the limits of its request. */

import type * as Transport from "@holdfast/http/Transport"
import { type Broken, type Coding, Decoder, type DecoderListener } from "./decoding.ts"
import { Gathering } from "./gathering.ts"
import { type ResponseHead, responseHead } from "./responseHead.ts"
import { type Source, StreamedBody } from "./streamedBody.ts"

/** The owner of a response: the exchange that it answers. */
export interface ResponseOwner extends Source {
  /** The body has, or will have, more bytes than it may. */
  readonly onTooLarge: (bytes: number) => void
  /** As much of an error's body is kept as may be. */
  readonly onEnough: () => void
  /** The rest of an error's body would cost more than a new connection. */
  readonly onDrainedEnough: () => void
  /** Decoder or reader are behind. */
  readonly onBehind: () => void
  /** The decoder has room again. */
  readonly onRoom: () => void
  /** All of a coded body is decoded. */
  readonly onDecodeEnd: () => void
  readonly onDecodeBroken: (broken: Broken) => void
}

export class IncomingResponse implements DecoderListener {
  readonly head: ResponseHead
  readonly #owner: ResponseOwner
  readonly #limits: Transport.Request["limits"]
  /** Whether the body is what the caller asked for; of an error status, some of it is kept. */
  readonly #isWanted: boolean
  readonly #decoder: Decoder | undefined
  #trailers: Transport.Headers | undefined
  /** Bytes of the body that came, as coded. */
  #read = 0
  /** Bytes of the body that it stands for. */
  #size = 0
  #gathered: Gathering | undefined
  /** The body that is handed on as it comes, if it is. */
  opened: StreamedBody | undefined = undefined

  constructor(
    owner: ResponseOwner,
    head: ResponseHead,
    limits: Transport.Request["limits"],
    isWanted: boolean,
    coding: Coding | undefined
  ) {
    this.#owner = owner
    this.head = head
    this.#limits = limits
    this.#isWanted = isWanted
    this.#decoder = coding === undefined ? undefined : new Decoder(coding, this)
  }

  /** Takes what came of the body. */
  receive(chunk: Buffer): void {
    this.#read += chunk.length
    const { drainBytes, responseBytes } = this.#limits
    if (this.#isWanted && this.#read > responseBytes) {
      this.#owner.onTooLarge(this.#read)
      return
    }
    if (this.#decoder === undefined) this.onDecoded(chunk)
    else if (!this.#decoder.write(chunk)) this.#owner.onBehind()
    if (!this.#isWanted && this.#read > drainBytes) this.#owner.onDrainedEnough()
  }

  /** The body has ended with these fields behind it. */
  endWith(trailers: NodeJS.Dict<string | Array<string>>): void {
    if (hasFields(trailers)) this.#trailers = responseHead(0, trailers).headers
  }

  /** Whether less of the body came than was announced. */
  get isShort(): boolean {
    return this.#read < this.head.announcedBytes
  }

  /** Whether as much of the body came as was announced. */
  get isAllHere(): boolean {
    return this.#read === this.head.announcedBytes
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the decoder
  // -------------------------------------------------------------------------------------------------------------------

  /** Whether the decoder takes more. */
  get hasRoom(): boolean {
    return this.#decoder?.hasRoom !== false
  }

  endDecoder(): void {
    this.#decoder?.end()
  }

  stopDecoder(): void {
    this.#decoder?.stop()
  }

  resumeDecoder(): void {
    this.#decoder?.resume()
  }

  /** Takes a piece of the body itself. */
  onDecoded(chunk: Buffer): void {
    this.#size += chunk.length
    const { errorBytes, responseBytes } = this.#limits
    if (!this.#isWanted) {
      const room = errorBytes - (this.#gathered?.length ?? 0)
      if (room > 0) this.#keep(chunk.length > room ? chunk.subarray(0, room) : chunk)
      if (chunk.length > room) this.#owner.onEnough()
      return
    }
    if (this.#size > responseBytes) {
      this.#owner.onTooLarge(this.#size)
      return
    }
    if (this.opened === undefined) this.#keep(chunk)
    else if (!this.opened.push(chunk)) {
      this.#decoder?.pause()
      this.#owner.onBehind()
    }
  }

  onRoom(): void {
    this.#owner.onRoom()
  }

  onDecodeEnd(): void {
    this.#owner.onDecodeEnd()
  }

  onDecodeBroken(broken: Broken): void {
    this.#owner.onDecodeBroken(broken)
  }

  #keep(chunk: Uint8Array): void {
    this.#gathered ??= new Gathering()
    this.#gathered.add(chunk)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the caller's view
  // -------------------------------------------------------------------------------------------------------------------

  /** The response with its body left to be read. */
  open(): Transport.OpenResponse {
    const { headers, setCookies, status } = this.#shown()
    this.opened = new StreamedBody(this.#owner)
    return {
      status,
      headers,
      ...(setCookies === undefined ? {} : { setCookies }),
      trailers: () => this.#trailers,
      stream: this.opened.stream
    }
  }

  /** The response with its body in one. */
  whole(isCutShort: boolean): Transport.Response {
    const { headers, setCookies, status } = this.#shown()
    const kept = this.#gathered?.length ?? 0
    const body = this.#gathered?.whole() ?? nothing
    const response: Transport.Response = { status, headers, body, bodyComplete: !isCutShort && kept === this.#size }
    if (setCookies === undefined && this.#trailers === undefined) return response
    return { ...response, setCookies, trailers: this.#trailers }
  }

  /** The head as the caller sees it: its fields about a coding that was undone do not describe the body that is handed on. */
  #shown(): ResponseHead {
    if (this.#decoder === undefined) return this.head
    const { "content-encoding": _, "content-length": __, ...headers } = this.head.headers
    return { ...this.head, headers }
  }
}

const nothing = new Uint8Array(0)

const hasFields = (fields: object): boolean => {
  for (const name in fields) if (Object.hasOwn(fields, name)) return true
  return false
}
