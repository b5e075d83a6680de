import { Socket } from "node:net"
import { assert, describe, it } from "@effect/vitest"
import { nowMillis } from "../src/internal/exchange/monotonic.ts"
import { makePhaseMarks, timingsOf } from "../src/internal/exchange/phaseMarks.ts"

const connected = {
  socket: new Socket(),
  protocol: "http/1.1",
  peer: "10.0.0.7:443",
  dnsMillis: 1,
  connectMillis: 2,
  tlsMillis: 3
} as const

const begunMillis = nowMillis() - 1000

const marks = {
  begunMillis,
  connectedMillis: undefined,
  startedMillis: undefined,
  sentMillis: undefined,
  headersMillis: undefined
}

const known = {
  begunMillis,
  connectedMillis: begunMillis + 10,
  startedMillis: begunMillis + 100,
  sentMillis: begunMillis + 130,
  headersMillis: begunMillis + 170
}

describe("how long the phases of an exchange took", () => {
  it("is counted from when it was begun", () => {
    const before = nowMillis()
    const { begunMillis, ...others } = makePhaseMarks()
    assert.isAtLeast(begunMillis, before)
    assert.isAtMost(begunMillis, nowMillis())
    assert.deepStrictEqual(Object.values(others), [undefined, undefined, undefined, undefined])
  })

  it("is told of a connection that was made for it with what making it took", () => {
    const { receiveMillis = 0, ...timings } = timingsOf(known, connected, true)
    assert.deepStrictEqual(
      Object.entries(timings).map(([name, value]) => [name, typeof value === "number" ? Math.round(value) : value]),
      [
        ["connection", "new"],
        ["protocol", "http/1.1"],
        ["peer", "10.0.0.7:443"],
        ["queueMillis", 10],
        ["dnsMillis", 1],
        ["connectMillis", 2],
        ["tlsMillis", 3],
        ["sendMillis", 30],
        ["waitMillis", 40]
      ]
    )
    assert.isAtLeast(receiveMillis, 829)
  })

  it("is told of a connection that was there before without what making it took", () => {
    const { connectMillis, connection, dnsMillis, peer, tlsMillis } = timingsOf(known, connected, false)
    assert.deepStrictEqual([connection, peer], ["reused", "10.0.0.7:443"])
    assert.deepStrictEqual([dnsMillis, connectMillis, tlsMillis], [undefined, undefined, undefined])
  })

  it("is, of the phase that it ended in, the time until then, and of later ones nothing", () => {
    const now = nowMillis()
    const inQueue = timingsOf(marks, undefined, false)
    assert.isFalse("connection" in inQueue)
    assert.isAtLeast(inQueue.queueMillis ?? 0, now - begunMillis)
    assert.deepStrictEqual(
      [inQueue.sendMillis, inQueue.waitMillis, inQueue.receiveMillis],
      [undefined, undefined, undefined]
    )
    const sending = timingsOf({ ...known, sentMillis: undefined, headersMillis: undefined }, connected, true)
    assert.isAtLeast(sending.sendMillis ?? 0, now - begunMillis - 100)
    assert.deepStrictEqual([sending.waitMillis, sending.receiveMillis], [undefined, undefined])
    const waiting = timingsOf({ ...known, headersMillis: undefined }, connected, true)
    assert.isAtLeast(waiting.waitMillis ?? 0, now - begunMillis - 130)
    assert.isUndefined(waiting.receiveMillis)
  })
})
