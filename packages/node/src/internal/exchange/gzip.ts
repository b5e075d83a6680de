/**
 * The header and trailer around the data of a member of gzip (RFC 1952 §2.3). zlib's own stream for gzip does not say where a
 * member ends, so that bytes behind it, which may come much later, break a whole member.
 */

export const gzipTrailerLength = 8

const flag = { headerChecksum: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 }

/** Whether a member begins here, as far as the first bytes show. */
export const isGzip = (bytes: Uint8Array): boolean =>
  bytes.length > 0 &&
  bytes[0] === 0x1f &&
  (bytes.length < 2 || bytes[1] === 0x8b) &&
  (bytes.length < 3 || bytes[2] === 8)

/** How long the header is; less than 0 where it is none, and undefined where more bytes are needed to say so. */
export const gzipHeaderLength = (bytes: Uint8Array): number | undefined => {
  if (bytes.length > 0 && !isGzip(bytes)) return -1
  if (bytes.length < 10) return undefined
  const flags = bytes[3] ?? 0
  if ((flags & flag.reserved) !== 0) return -1
  let length: number | undefined = 10
  if ((flags & flag.extra) !== 0) {
    const [low, high] = bytes.subarray(length, length + 2)
    if (low === undefined || high === undefined) return undefined
    length += 2 + low + high * 256
  }
  if ((flags & flag.name) !== 0) length = behindText(bytes, length)
  if (length !== undefined && (flags & flag.comment) !== 0) length = behindText(bytes, length)
  if (length === undefined) return undefined
  if ((flags & flag.headerChecksum) !== 0) length += 2
  return length <= bytes.length ? length : undefined
}

/** Where a text ends that is closed by a zero. */
const behindText = (bytes: Uint8Array, start: number): number | undefined => {
  const end = bytes.indexOf(0, start)
  return end < 0 ? undefined : end + 1
}

/** Whether the trailer speaks of data with this checksum and size. */
export const isGzipTrailer = (bytes: Uint8Array, checksum: number, size: number): boolean => {
  const view = new DataView(bytes.buffer, bytes.byteOffset, gzipTrailerLength)
  return view.getUint32(0, true) === checksum >>> 0 && view.getUint32(4, true) === size
}
