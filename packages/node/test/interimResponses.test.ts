import { Socket } from "node:net"
import { Readable } from "node:stream"
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Schema } from "effect"
import { interimLength, withoutInterimResponses } from "../src/internal/exchange/interimResponses.ts"

const interims = [
  "HTTP/1.1 100 Continue\r\n\r\n",
  "HTTP/1.0 102 Processing\r\nx: y\r\n\r\n",
  "HTTP/1.1 103 Early Hints\r\nlink: </style.css>; rel=preload\r\nlink: </a>\r\n\r\n",
  "HTTP/1.1 199 \r\n\r\n"
]

const answers = [
  "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
  "HTTP/1.1 404 Not Found\r\n\r\n",
  "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
  // what looks like an interim response within a body is the body's
  "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\n\r\n12345",
  // no answer, which is not the filter's to say
  "HTTP/1.1 1x0 Continue\r\n\r\n",
  "nonsense\r\n\r\n"
]

const int = (minimum: number, maximum: number) =>
  Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum, maximum })))

const fractions = Arbitrary.array(int(0, 1000), { maxLength: 30 })

const split = (bytes: Buffer, fractions: ReadonlyArray<number>): ReadonlyArray<Buffer> => {
  const places = [0, ...fractions.map((fraction) => Math.floor((fraction * bytes.length) / 1000)), bytes.length].sort(
    (a, b) => a - b
  )
  return places.slice(1).map((place, index) => bytes.subarray(places[index], place))
}

/** A socket that gives each piece when it is read, and the reader that undici is. */
const reading = () => {
  const socket = new Socket()
  socket._read = () => {}
  const filter = withoutInterimResponses(socket)
  const read: Array<Buffer> = []
  const give = (piece: Buffer): void => {
    if (piece.length > 0) Readable.prototype.push.call(socket, piece)
    for (let chunk: Buffer | null = socket.read(); chunk !== null; chunk = socket.read()) read.push(chunk)
  }
  return { filter, give, socket, all: () => Buffer.concat(read).toString("latin1") }
}

describe("a socket without interim responses", () => {
  it.prop(
    "gives the answer alone, whatever number of them comes before it, and in pieces of whatever size",
    [Arbitrary.array(int(0, interims.length - 1), { maxLength: 8 }), int(0, answers.length - 1), fractions],
    ([before, answer, fractions]) => {
      const wanted = answers[answer] ?? ""
      const all = Buffer.from(before.map((index) => interims[index]).join("") + wanted)
      const { all: read, filter, give } = reading()
      filter.expectHead()
      for (const piece of split(all, fractions)) give(piece)
      assert.strictEqual(read(), wanted)
    }
  )

  it("gives the answer alone when each byte comes for itself, and when all come at once", () => {
    for (const answer of answers) {
      const all = Buffer.from(interims.join("") + answer)
      for (const pieces of [[all], Array.from(all, (byte) => Buffer.of(byte))]) {
        const { all: read, filter, give } = reading()
        filter.expectHead()
        for (const piece of pieces) give(piece)
        assert.strictEqual(read(), answer)
      }
    }
  })

  it("does so for each request, and touches nothing in between", () => {
    const { all: read, filter, give } = reading()
    let wanted = ""
    for (const answer of answers.slice(0, 4)) {
      filter.expectHead()
      give(Buffer.from(interims[0] + answer))
      wanted += answer
      // within a body, which nobody has to ask for
      give(Buffer.from(interims[2] ?? ""))
      wanted += interims[2]
    }
    assert.strictEqual(read(), wanted)
  })

  it("loses nothing when Node looks for more without taking anything", () => {
    const { all: read, filter, give, socket } = reading()
    filter.expectHead()
    Readable.prototype.push.call(socket, Buffer.from(answers[0] ?? ""))
    socket.read(0)
    socket.read(0)
    give(Buffer.alloc(0))
    Readable.prototype.push.call(socket, Buffer.from("more"))
    socket.read(0)
    give(Buffer.alloc(0))
    assert.strictEqual(read(), `${answers[0]}more`)
  })

  it("what was held of an answer that never came is no part of the next one", () => {
    const { all: read, filter, give } = reading()
    filter.expectHead()
    give(Buffer.from("HTTP/1.1 1"))
    filter.expectHead()
    give(Buffer.from(answers[0] ?? ""))
    assert.strictEqual(read(), answers[0])
  })

  it("takes thirty-two interim responses out of what comes before an answer, for each answer anew, and no more", () => {
    const { all: read, filter, give } = reading()
    const [interim = "", , early = ""] = interims
    let wanted = ""
    for (const extra of [0, 1]) {
      filter.expectHead()
      // in pieces, and at once
      for (let count = 0; count < 16; count++) give(Buffer.from(interim))
      give(Buffer.from(interim.repeat(16) + early.repeat(extra) + answers[0]))
      wanted += early.repeat(extra) + answers[0]
    }
    assert.strictEqual(read(), wanted)
  })

  it("a server that sends nothing else is not followed for ever", () => {
    const { all: read, filter, give } = reading()
    filter.expectHead()
    for (let count = 0; count < 100; count++) give(Buffer.from(interims[0] ?? ""))
    assert.isAbove(read().length, 0)
    const long = reading()
    long.filter.expectHead()
    long.give(Buffer.from(`HTTP/1.1 103 Early Hints\r\nlink: ${"x".repeat(20_000)}`))
    assert.isAbove(long.all().length, 20_000)
  })
})

describe("the length of an interim response", () => {
  it("is known as soon as the bytes can tell", () => {
    const whole = interims[2] ?? ""
    const bytes = Buffer.from(`${whole}HTTP/1.1 200 OK\r\n\r\n`)
    for (let length = 0; length <= bytes.length; length++) {
      const told = interimLength(bytes.subarray(0, length))
      assert.strictEqual(told, length < whole.length ? undefined : whole.length)
    }
    assert.strictEqual(interimLength(Buffer.from("HTTP/1.1 2")), 0)
    assert.strictEqual(interimLength(Buffer.from("HTTP/1.1 101")), 0)
    assert.strictEqual(interimLength(Buffer.from("HTTP/2")), 0)
    assert.strictEqual(interimLength(Buffer.alloc(0)), undefined)
    assert.strictEqual(interimLength(Buffer.from("HTTP/1.1 10")), undefined)
  })

  it("is that of three digits, the first of them a one", () => {
    for (const version of ["0", "1", "9"]) {
      for (const status of ["100", "102", "199", "190", "109"]) {
        assert.strictEqual(
          interimLength(Buffer.from(`HTTP/1.${version} ${status}\r\n\r\n`)),
          16,
          `${version} ${status}`
        )
      }
    }
    for (const wrong of [
      "HTTP/1./ 100",
      "HTTP/1.: 100",
      "HTTP/1.1 1/0",
      "HTTP/1.1 10:",
      "HTTP/1.1 200",
      "http/1.1 100"
    ]) {
      assert.strictEqual(interimLength(Buffer.from(`${wrong}\r\n\r\n`)), 0, wrong)
    }
  })

  it("is not waited for beyond 16 KB", () => {
    const head = "HTTP/1.1 103 Early Hints\r\nlink: "
    const ofLength = (length: number, end: string) => Buffer.from(head.padEnd(length - end.length, "x") + end)
    assert.strictEqual(interimLength(ofLength(16_384, "")), undefined)
    assert.strictEqual(interimLength(ofLength(16_385, "")), 0)
    assert.strictEqual(interimLength(ofLength(16_384, "\r\n\r\n")), 16_384)
  })
})
