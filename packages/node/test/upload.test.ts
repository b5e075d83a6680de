import { assert, describe, it } from "@effect/vitest"
import { uploadOf } from "../src/internal/exchange/upload.ts"

const collected = async (body: string | Uint8Array | AsyncIterable<Uint8Array>): Promise<ReadonlyArray<Uint8Array>> => {
  if (typeof body === "string" || body instanceof Uint8Array) return [Buffer.from(body)]
  const pieces: Array<Uint8Array> = []
  for await (const piece of body) pieces.push(piece)
  return pieces
}

const bytesOf = (length: number): Uint8Array => Uint8Array.from({ length }, (_, index) => index % 251)

describe("a body on its way out", () => {
  it("of bytes goes as it is up to 64 KB, and a longer one in pieces of that, with its length", async () => {
    const short = bytesOf(65_536)
    const headers: Array<string> = []
    assert.strictEqual(uploadOf(short, headers).body, short)
    assert.deepStrictEqual(headers, [])
    const long = bytesOf(150_000)
    const pieces = await collected(uploadOf(long, headers).body)
    assert.deepStrictEqual(headers, ["content-length", "150000"])
    assert.deepStrictEqual(
      pieces.map(({ length }) => length),
      [65_536, 65_536, 18_928]
    )
    assert.deepStrictEqual(Buffer.concat(pieces), Buffer.from(long))
  })

  it("that says its own length already is not told it twice", () => {
    const headers = ["content-length", "70000"]
    uploadOf(bytesOf(70_000), headers)
    assert.deepStrictEqual(headers, ["content-length", "70000"])
  })

  it("of text is all of it, whatever its length in bytes", async () => {
    for (const text of ["", "é", "é".repeat(40_000), "x".repeat(100_000)]) {
      const headers: Array<string> = []
      const { body } = uploadOf(text, headers)
      const pieces = await collected(body)
      assert.strictEqual(Buffer.concat(pieces).toString(), text)
      // text of few characters is left to whoever sends it
      assert.strictEqual(body === text, text.length <= 65_536)
      assert.deepStrictEqual(headers, body === text ? [] : ["content-length", String(Buffer.byteLength(text))])
    }
  })

  it("of bytes or text may always be sent anew from its beginning, and there is nothing to end", async () => {
    for (const body of ["x", bytesOf(10), bytesOf(100_000), "x".repeat(100_000)]) {
      const upload = uploadOf(body, [])
      const first = await collected(upload.body)
      assert.isFalse(upload.isBegun())
      upload.end()
      assert.deepStrictEqual(await collected(uploadOf(body, []).body), first)
    }
  })

  it("that is a stream is begun when some of it is asked for, and its end runs what it has to clean up, once", async () => {
    let cleaned = 0
    async function* stream() {
      try {
        yield bytesOf(1)
        yield bytesOf(2)
      } finally {
        cleaned++
      }
    }
    const upload = uploadOf(stream(), [])
    assert.isFalse(upload.isBegun())
    if (typeof upload.body === "string" || upload.body instanceof Uint8Array) return assert.fail("no stream")
    for await (const piece of upload.body) {
      assert.strictEqual(piece.length, 1)
      assert.isTrue(upload.isBegun())
      upload.end()
      break
    }
    assert.strictEqual(cleaned, 1)
    upload.end()
    assert.strictEqual(cleaned, 1)
  })

  it("that is a stream and was never begun is ended by nothing, and one whose end fails fails nobody", async () => {
    const never = uploadOf({ [Symbol.asyncIterator]: () => assert.fail("it was begun") }, [])
    never.end()
    assert.isFalse(never.isBegun())
    const failing = uploadOf(
      {
        [Symbol.asyncIterator]: () => ({
          next: () => Promise.resolve({ done: false, value: bytesOf(1) }),
          return: () => Promise.reject(new Error("a finalizer that fails"))
        })
      },
      []
    )
    if (typeof failing.body === "string" || failing.body instanceof Uint8Array) return assert.fail("no stream")
    await failing.body[Symbol.asyncIterator]().next()
    failing.end()
    // an error that nobody hears would end the process by now
    await new Promise((resolve) => setImmediate(resolve))
  })
})
