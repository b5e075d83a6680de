/**
 * What the policies are worth, with figures, where a clock that is moved by hand can tell: each program asserts a promise, and prints what
 * it measured. What only a real clock can tell is in the drill `worth`.
 */
import "./worth/outage.ts"
import "./worth/throttle.ts"
