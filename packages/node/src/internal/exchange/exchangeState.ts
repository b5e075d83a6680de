/**
 * The life of an exchange, as a state machine of three parts that may end in any order.
 *
 * The *wire*: where the exchange stands on its connection. The *body*: whether bytes that came are still on their way to the
 * caller, through a decoder. The *caller*: waits for an answer, reads an open body, or is gone.
 *
 * Two promises hold, whichever side ends first. A connection that was granted is given back exactly once, when the wire is off. And the
 * caller is told exactly once how it ended, unless it left: with a whole body when wire and body have both ended, and else with a
 * reason. The steps after an event come as a set of bits, because there are several events in each exchange.
 */

/**
 * `queued` for a connection; `granted` one that has not begun it; `sending` the request; `waiting` for the head of the response;
 * `receiving` its body; `off`.
 */
export type Wire = "queued" | "granted" | "sending" | "waiting" | "receiving" | "off"

/** `plain` bytes are the caller's as they come; `coded` ones come out of a decoder; `ended`: no more come out. */
export type Body = "none" | "plain" | "coded" | "ended"

export type Caller = "waits" | "reads" | "gone"

export interface ExchangeState {
  wire: Wire
  body: Body
  caller: Caller
  /** Whether the body is the one that the caller asked for; of an error status, some of it is kept. */
  isWanted: boolean
  /** Whether less of the body is handed on than there was. */
  isCutShort: boolean
}

/** The steps to take, as bits, in this order. */
export const act = {
  /** Take it out of the queue. */
  leaveQueue: 1,
  /** Tell the connection to stop. */
  abort: 2,
  /** Give the connection back. */
  giveBack: 4,
  /** Tell the decoder that its input has ended. */
  endDecoder: 8,
  /** Stop the decoder. */
  stopDecoder: 16,
  /** Hand an open body to the caller. */
  open: 32,
  /** Tell the caller that all went well: the response, or the end of the open body. */
  succeed: 64,
  /** Tell the caller the reason. */
  fail: 128
} as const

/** A set of {@link act}. */
export type Acts = number

export const makeExchangeState = (): ExchangeState => ({
  wire: "queued",
  body: "none",
  caller: "waits",
  isWanted: true,
  isCutShort: false
})

/** It has got a connection. */
export const granted = (state: ExchangeState): void => {
  state.wire = "granted"
}

/** The connection begins it. False says that it must not: its caller has left. */
export const begun = (state: ExchangeState): boolean => {
  if (state.wire !== "granted") return false
  state.wire = "sending"
  return true
}

/** All of the request is sent. False says that this is of no interest any more. */
export const sent = (state: ExchangeState): boolean => {
  if (state.wire !== "sending") return false
  state.wire = "waiting"
  return true
}

/** It goes to another connection, because this one did nothing with it. */
export const again = (state: ExchangeState): Acts => {
  if (!isGranted(state) || state.wire === "receiving") return 0
  state.wire = "queued"
  return act.giveBack
}

/** The head of the response has come. */
export const head = (
  state: ExchangeState,
  response: { readonly isWanted: boolean; readonly isOpened: boolean; readonly isCoded: boolean }
): Acts => {
  if (state.wire !== "sending" && state.wire !== "waiting") return 0
  state.wire = "receiving"
  state.isWanted = response.isWanted
  state.body = response.isCoded ? "coded" : "plain"
  if (!response.isWanted || !response.isOpened) return 0
  state.caller = "reads"
  return act.open
}

/** The response has come to its end. */
export const ended = (state: ExchangeState): Acts => {
  if (state.wire !== "receiving") return 0
  state.wire = "off"
  if (state.body === "coded") return act.giveBack | act.endDecoder
  state.body = "ended"
  return act.giveBack | settle(state)
}

/** The connection failed it. Of an error's body, the bytes so far are enough: its status says more than that it was cut. */
export const cut = (state: ExchangeState): Acts => {
  if (!isGranted(state)) return 0
  const isEnough = state.wire === "receiving" && !state.isWanted
  state.wire = "off"
  return act.giveBack | (isEnough ? cutShort(state) : finish(state, act.fail))
}

/** All of a coded body is decoded. The caller hears of it when the wire is off, so that the connection is back by then. */
export const decoded = (state: ExchangeState): Acts => {
  if (state.body !== "coded") return 0
  state.body = "ended"
  return settle(state)
}

/** A body is not coded as it should be, or is cut. */
export const broken = (state: ExchangeState): Acts => {
  if (state.body !== "coded") return 0
  return state.isWanted ? fail(state) : enough(state)
}

/** As much of an error's body is kept as may be: none of the rest is decoded, and the wire goes on to its end. */
export const enough = (state: ExchangeState): Acts => {
  if (state.isWanted || state.body !== "coded") return 0
  state.isCutShort = true
  state.body = "ended"
  return act.stopDecoder | settle(state)
}

/** The rest of an error's body would cost more than a new connection. */
export const drainedEnough = (state: ExchangeState): Acts => {
  if (state.isWanted || state.wire !== "receiving") return 0
  state.wire = "off"
  return act.abort | act.giveBack | cutShort(state)
}

/** It is ended with a reason of our own: a limit has passed. */
export const fail = (state: ExchangeState): Acts =>
  state.caller === "gone" ? 0 : leaveWire(state) | finish(state, act.fail)

/** The caller has left. */
export const left = (state: ExchangeState): Acts => (state.caller === "gone" ? 0 : leaveWire(state) | finish(state, 0))

/** Whether it holds a connection. */
export const isGranted = ({ wire }: ExchangeState): boolean => wire !== "queued" && wire !== "off"

/** How far the attempt has come, as reasons say it. */
export const phaseOf = ({ wire }: ExchangeState): "connect" | "send" | "wait" | "receive" => {
  if (wire === "queued" || wire === "granted") return "connect"
  if (wire === "sending") return "send"
  return wire === "waiting" ? "wait" : "receive"
}

const leaveWire = (state: ExchangeState): Acts => {
  const { wire } = state
  state.wire = "off"
  if (wire === "queued") return act.leaveQueue
  return wire === "off" ? 0 : act.abort | act.giveBack
}

/** The wire is off, and no more bytes will come; some of them may still be in the decoder. */
const cutShort = (state: ExchangeState): Acts => {
  state.isCutShort = true
  if (state.body === "coded") return act.endDecoder
  state.body = "ended"
  return settle(state)
}

/** No more of the body comes: tells the caller, if the wire is off too. */
const settle = (state: ExchangeState): Acts => (state.wire === "off" ? finish(state, act.succeed) : 0)

/** Of a caller that is not gone yet: once it is, the wire is off and the body ended, and nothing leads here. */
const finish = (state: ExchangeState, how: Acts): Acts => {
  state.caller = "gone"
  const isDecoding = state.body === "coded"
  state.body = "ended"
  return how | (isDecoding ? act.stopDecoder : 0)
}
