/** Milliseconds on a clock that only goes forward, with a fraction: for sockets, which no other clock moves. */
export const nowMillis = (): number => performance.now()
