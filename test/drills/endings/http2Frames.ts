/** Frames of HTTP/2 (RFC 9113 §4, §6) and heads (RFC 7541), made and read by hand. */

export const frameType = {
  data: 0,
  headers: 1,
  resetStream: 3,
  settings: 4,
  ping: 6,
  goaway: 7,
  windowUpdate: 8
} as const

export const frameFlag = { endStream: 1, ack: 1, endHeaders: 4 } as const

export const errorCode = {
  NO_ERROR: 0,
  INTERNAL_ERROR: 2,
  REFUSED_STREAM: 7,
  CANCEL: 8,
  ENHANCE_YOUR_CALM: 11
} as const

export const frame = (type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Buffer => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const uint32 = (...values: ReadonlyArray<number>): Buffer => {
  const bytes = Buffer.alloc(values.length * 4)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value, index * 4)
  return bytes
}

export const resetStream = (stream: number, code: number): Buffer =>
  frame(frameType.resetStream, 0, stream, uint32(code))

export const goaway = (lastStream: number, code: number): Buffer =>
  frame(frameType.goaway, 0, 0, uint32(lastStream, code))

export const windowUpdate = (stream: number, bytes: number): Buffer =>
  frame(frameType.windowUpdate, 0, stream, uint32(bytes))

const short = (text: string): Buffer => {
  const bytes = Buffer.from(text)
  if (bytes.length > 126) throw new Error(`a text of a head is longer than the drill can say: ${bytes.length} bytes`)
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

const statuses: ReadonlyMap<number, number> = new Map([
  [200, 0x88],
  [206, 0x8a],
  [404, 0x8d]
])

/** A head, each of its fields as literals that no table keeps. */
export const fieldBlock = (status: number | undefined, fields: ReadonlyArray<readonly [string, string]>): Buffer => {
  const known = statuses.get(status ?? 0)
  const first = known === undefined ? Buffer.concat([Buffer.from([0x08]), short(String(status))]) : Buffer.from([known])
  return Buffer.concat([
    ...(status === undefined ? [] : [first]),
    ...fields.flatMap(([name, value]) => [Buffer.from([0]), short(name), short(value)])
  ])
}

export interface Frame {
  readonly type: number
  readonly flags: number
  readonly stream: number
  readonly payload: Buffer
}

/** Gives the frames of a connection as they become whole; what a client says before them is not one. */
export const frameReader = (prefaceBytes: number, onFrame: (frame: Frame) => void): ((chunk: Buffer) => void) => {
  let held: Buffer = Buffer.alloc(0)
  let preface = prefaceBytes
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    if (preface > 0) {
      if (held.length < preface) return
      held = held.subarray(preface)
      preface = 0
    }
    while (held.length >= 9) {
      const length = held.readUIntBE(0, 3)
      if (held.length < 9 + length) return
      const read = {
        type: held[3] ?? 0,
        flags: held[4] ?? 0,
        stream: held.readUInt32BE(5) & 0x7fff_ffff,
        payload: held.subarray(9, 9 + length)
      }
      held = held.subarray(9 + length)
      onFrame(read)
    }
  }
}
