/** How a network can fail a call: names, connections, proxies, the pool. */

import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { oneLine } from "../../OneLine.ts"
import { nothingSent } from "../outcome/nothingSent.ts"
import { type TransportFields, transportFields, transportLine } from "./transportFields.ts"

type EndedFields = TransportFields & {
  /** True when the head of the response had begun, and was not whole. */
  readonly inHead: Schema.optionalKey<Schema.Boolean>
}

const endedFields: EndedFields = { ...transportFields, inHead: Schema.optionalKey(Schema.Boolean) }

/**
 * Network: the name could not be resolved.
 *
 * @category errors
 * @since 0.1.0
 */
export class NameResolutionFailed extends Schema.TaggedError<NameResolutionFailed>()(
  "NameResolutionFailed",
  transportFields
) {
  override get message() {
    return transportLine(this, "the name could not be resolved")
  }
}

/**
 * Network: nothing listens at that address, or a firewall refuses.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionRefused extends Schema.TaggedError<ConnectionRefused>()("ConnectionRefused", transportFields) {
  override get message() {
    return transportLine(this, "connection refused")
  }
}

/**
 * Network: the operating system gave up on the connection (ETIMEDOUT).
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionTimedOut extends Schema.TaggedError<ConnectionTimedOut>()(
  "ConnectionTimedOut",
  transportFields
) {
  override get message() {
    return transportLine(this, "the operating system gave up on the connection")
  }
}

/**
 * Network: the peer reset the connection.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionReset extends Schema.TaggedError<ConnectionReset>()("ConnectionReset", endedFields) {
  override get message() {
    return transportLine(
      this,
      this.inHead === true ? "connection reset within the head of the response" : "connection reset"
    )
  }
}

/**
 * Network: the peer closed the connection before the response began, or within its head.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionClosed extends Schema.TaggedError<ConnectionClosed>()("ConnectionClosed", endedFields) {
  override get message() {
    const where = this.inHead === true ? "within the head of the response" : "before the response began"
    return transportLine(this, `connection closed ${where}`)
  }
}

/**
 * Network: there is no route to the address.
 *
 * @category errors
 * @since 0.1.0
 */
export class NetworkUnreachable extends Schema.TaggedError<NetworkUnreachable>()(
  "NetworkUnreachable",
  transportFields
) {
  override get message() {
    return transportLine(this, "there is no route to the address")
  }
}

/**
 * Network: the proxy refused or failed to open the connection.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProxyFailed extends Schema.TaggedError<ProxyFailed>()("ProxyFailed", transportFields) {
  override get message() {
    return transportLine(this, "the proxy refused or failed to open the connection")
  }
}

/**
 * Network: the transport failed with an error that no other reason describes.
 *
 * @category errors
 * @since 0.1.0
 */
export class TransportFailed extends Schema.TaggedError<TransportFailed>()("TransportFailed", transportFields) {
  override get message() {
    return transportLine(this, "the transport failed in an unknown way")
  }
}

/**
 * Network: every connection is in use and the queue for one is full.
 *
 * @category errors
 * @since 0.1.0
 */
export class PoolExhausted extends Schema.TaggedError<PoolExhausted>()("PoolExhausted", {
  endpoint: Schema.String,
  /** Connections that the pool may open to this endpoint. */
  connections: Schema.Int,
  /** Calls that were waiting for one. */
  queued: Schema.Int,
  /** How long this call had waited for one; left out when it was refused at once. */
  waited: Schema.optionalKey(Schema.DurationFromMillis)
}) {
  override get message() {
    const waited = this.waited === undefined ? "" : `no connection came free within ${Duration.format(this.waited)}: `
    return oneLine(
      `${this.endpoint}: ${waited}all ${this.connections} connections are in use and ${this.queued} calls wait for one`
    )
  }
}

/**
 * Network: the addresses that may be called do not include this one. Nothing was sent to it.
 *
 * @category errors
 * @since 0.1.0
 */
export class AddressDenied extends Schema.TaggedError<AddressDenied>()("AddressDenied", {
  endpoint: Schema.String,
  /** The refused target: the address that the name stood for, or the endpoint itself. */
  address: Schema.String,
  /** The rule that refuses it, in words: `loopback is denied`. */
  rule: Schema.String
}) {
  override get message() {
    return oneLine(`${this.endpoint}: ${this.address} may not be called (${this.rule})${nothingSent}`)
  }
}

/**
 * Every reason of the network domain.
 *
 * @category schemas
 * @since 0.1.0
 */
export const NetworkReason = Schema.Union([
  NameResolutionFailed,
  ConnectionRefused,
  ConnectionTimedOut,
  ConnectionReset,
  ConnectionClosed,
  NetworkUnreachable,
  ProxyFailed,
  TransportFailed,
  PoolExhausted,
  AddressDenied
])

/**
 * Every reason of the network domain.
 *
 * @category models
 * @since 0.1.0
 */
export type NetworkReason = typeof NetworkReason.Type
