/**
 * What the policies are worth, with figures: each program asserts a promise, and prints what it measured. All in one file, because
 * its tests run one after the other: two that measure at the same time would measure each other.
 */
import "./worth/outage.ts"
import "./worth/throttle.ts"
import "./worth/slowUpstream.ts"
import "./worth/hedge.ts"
import "./worth/overload.ts"
