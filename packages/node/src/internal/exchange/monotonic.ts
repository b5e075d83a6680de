/** Milliseconds on a clock that only goes forward, with a fraction: for what sockets do, which no other clock moves. */
export const nowMillis = (): number => performance.now()
