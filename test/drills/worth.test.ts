/**
 * What the policies are worth, with figures, where only a real server and a real clock can tell: each program asserts a promise, and
 * prints what it measured. All in one file, because its tests run one after the other: two that measure at the same time would measure
 * each other.
 */
import "../worth/slowUpstream.ts"
import "../worth/hedge.ts"
import "../worth/overload.ts"
