/**
 * What every property is tried with. Left to itself a run of `Arbitrary` makes no array of more than ten elements, in which few queues
 * fill, few windows turn and few circuits open twice.
 */
import { Arbitrary } from "effect"

Arbitrary.configureGlobal({ check: { size: 60 } })
