/** The facts of an upstream that each of its calls needs. */

import type { Failure } from "@holdfast/core/Outcome"
import type { Reason } from "@holdfast/core/Reason"
import type { AttemptLayer } from "../../AttemptLayer.ts"
import type { CallLayer } from "../../CallLayer.ts"
import type { Endpoints } from "../../Endpoints.ts"
import type { Rejection } from "../../Rejection.ts"
import type { Transport } from "../../Transport.ts"
import type { Registered } from "../../UpstreamRegistry.ts"
import type { Live } from "./live.ts"
import type { Observers } from "../watch/observing.ts"
import type { Bodies } from "../streaming/openBody.ts"
import type { Propagation } from "../request/propagation.ts"

/** An upstream, as the engine knows it. */
export interface Runtime {
  readonly name: string
  readonly transport: Transport["Service"]
  /** Chooses where an attempt goes; `undefined` where there is one place. */
  readonly endpoints: Endpoints | undefined
  /** Path of the base URL, without a slash at its end. */
  readonly basePath: string
  readonly headers: { readonly [name: string]: string }
  /** Names of headers whose values were declared as secrets. */
  readonly secretHeaders: ReadonlySet<string>
  readonly rejections: ReadonlyArray<Rejection<unknown>>
  readonly classify: ((reason: Reason, usual: Failure) => Failure) | undefined
  readonly propagation: Propagation
  readonly propagateRequestId: boolean
  /** Names of the tags that the upstream is told, in lower case. */
  readonly propagateTags: ReadonlyArray<string>
  /** Whether what is logged inside of a call says whose it is. */
  readonly annotatesLogs: boolean
  readonly visibleQuery: ReadonlyArray<string>
  /** After how long an open body that nobody reads is reported; `Infinity` for never. */
  readonly unreadMillis: number
  /** The bodies that callers have taken over. */
  readonly bodies: Bodies
  /** Its entry in a registry; `undefined` for an upstream that is in none. */
  readonly registered: Registered | undefined
  /** The observers of its calls. */
  readonly observers: Observers
  /** The layers around each call, and around each attempt; `undefined` for none. */
  readonly callLayers: ReadonlyArray<CallLayer> | undefined
  readonly attemptLayers: ReadonlyArray<AttemptLayer> | undefined
  /** Their names, as attributes of spans. */
  readonly layersShown: ReadonlyArray<readonly [name: string, value: string]>
  /** The part that a reload replaces, all at once: a call keeps the one that it began with. */
  live: Live
}
