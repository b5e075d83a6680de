/** How a connection is made: its route, the addresses, TCP, the tunnel through a proxy, TLS. */

import { connect as connectOfNode, type Socket } from "node:net"
import { TLSSocket } from "node:tls"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import { ConnectionRefused, NameResolutionFailed, TransportFailed, type TransportReason } from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as FailureClassifier from "@holdfast/http/FailureClassifier"
import * as Transport from "@holdfast/http/Transport"
import type * as AddressPolicy from "../../AddressPolicy.ts"
import type * as NameResolver from "../../NameResolver.ts"
import * as Proxy from "../../Proxy.ts"
import { allowedOf, deniedHost } from "./allowedAddresses.ts"
import type { Connected } from "../pool/connection.ts"
import { type Connect, dial, type DialError, dialUnix } from "./dial.ts"
import { nowMillis } from "../exchange/monotonic.ts"
import { reasonOfHandshake } from "../tls/secure.ts"
import type { TlsClient } from "../tls/tlsClient.ts"
import { ProxyError, proxyReason, tunnel } from "../proxy/tunnel.ts"

/** How long a connection may be idle before the system asks whether the peer is still there, as undici has it. */
const keepAliveProbeMillis = 60_000

/** The settings that the connections of one transport are made with. */
export interface Means {
  readonly resolver: NameResolver.NameResolver
  readonly addresses: AddressPolicy.AddressPolicy | undefined
  readonly tls: TlsClient
  /** For a proxy that is itself spoken to with TLS: pins and a certificate of one's own are between us and the endpoint. */
  readonly proxyTls: TlsClient
  readonly socketPath: string | undefined
  readonly applicationProtocols: ReadonlyArray<"h2" | "http/1.1">
  /** Whether HTTP/2 is spoken without TLS, and without asking whether the server can. */
  readonly priorKnowledge: boolean
}

/** Where an origin is, and through which proxy it is reached. */
export interface Route extends Transport.Server {
  /** Host and port, as errors name it. */
  readonly endpoint: string
  readonly proxy: Proxy.ProxyTarget | undefined
}

/** The route to an origin. */
export const routeOf = (origin: string, endpoint: string, proxies: Proxy.Settings | undefined): Route => {
  const server = Transport.serverOf(origin)
  return { ...server, endpoint, proxy: proxies === undefined ? undefined : Proxy.proxyFor(proxies, server) }
}

/**
 * Makes a connection on which HTTP can begin. Every part of it is destroyed when it fails or is interrupted.
 *
 * It is to be run by a fiber that is uninterruptible, and can be interrupted all the same for as long as it makes the connection:
 * in any other, an interruption that comes between its last step and the end of the fiber loses a connection that is made.
 */
export const connect = (means: Means, route: Route): Effect.Effect<Connected, TransportReason> =>
  Effect.suspend(() => {
    const begun = nowMillis()
    let resolvedAt: number | undefined
    let connectedAt = begun
    const sockets: Array<Socket> = []
    const begin: Begin = {
      onResolved: () => (resolvedAt = nowMillis()),
      open: (options) => {
        const socket = connectOfNode(options)
        sockets.push(socket)
        return socket
      }
    }
    const opened = Effect.flatMap(reached(means, route, begin), (socket) => {
      connectedAt = nowMillis()
      return route.scheme === "https" ? secured(means, route, socket) : Effect.succeed(socket)
    })
    const connected = Effect.map(opened, (socket): Connected => ({
      socket,
      protocol: speaksHttp2(means, route, socket) ? "http/2" : "http/1.1",
      peer: peerOf(socket) ?? means.socketPath ?? route.endpoint,
      dnsMillis: resolvedAt === undefined ? undefined : resolvedAt - begun,
      connectMillis: connectedAt - (resolvedAt ?? begun),
      tlsMillis: route.scheme === "https" ? nowMillis() - connectedAt : undefined
    }))
    // known here from the moment it is opened, because a socket that goes from one step to the next is nobody's in between; the
    // protocol on it closes with it
    return Effect.onExitPrimitive(Effect.interruptible(connected), (exit) => {
      if (Exit.isFailure(exit)) for (const socket of sockets) socket.destroy()
      return undefined
    })
  })

/** A proxy that is asked for the whole URL is no server that this was said of. */
const speaksHttp2 = ({ priorKnowledge }: Means, { proxy, scheme }: Route, socket: Socket): boolean =>
  scheme === "https"
    ? socket instanceof TLSSocket && socket.alpnProtocol === "h2"
    : priorKnowledge && proxy === undefined

/** How a connection is begun. */
interface Begin {
  readonly onResolved: () => void
  readonly open: Connect
}

/** A socket to the endpoint: straight, through a proxy, or to the Unix socket that stands for every endpoint. */
const reached = (means: Means, route: Route, begin: Begin): Effect.Effect<Socket, TransportReason> => {
  const { endpoint, host, port, proxy } = route
  const { addresses, resolver, socketPath } = means
  if (socketPath !== undefined) {
    return Effect.mapError(dialUnix(socketPath, { connect: begin.open }), notTaken(endpoint, socketPath))
  }
  const denied = addresses === undefined ? undefined : deniedHost(addresses, host, port)
  if (denied !== undefined) return Effect.fail(denied)
  if (proxy !== undefined) return throughProxy(means, route, proxy, begin)
  return Effect.flatMap(Effect.mapError(resolver.resolve(host), unresolved(endpoint)), (found) => {
    begin.onResolved()
    const allowed = addresses === undefined ? found : allowedOf(addresses, host, port, found)
    if ("_tag" in allowed) return Effect.fail(allowed)
    return Effect.mapError(dial(allowed, port, { keepAliveProbeMillis, connect: begin.open }), classified(endpoint))
  })
}

const throughProxy = (
  { proxyTls, resolver }: Means,
  { endpoint, host, port, scheme }: Route,
  proxy: Proxy.ProxyTarget,
  begin: Begin
): Effect.Effect<Socket, TransportReason> => {
  const failed = (cause: unknown): TransportReason =>
    proxyReason(cause instanceof ProxyError ? cause : new ProxyError({ proxy: proxy.endpoint, cause }), endpoint)
  const dialled = Effect.flatMap(resolver.resolve(proxy.host), (found) => {
    begin.onResolved()
    return dial(found, proxy.port, { keepAliveProbeMillis, connect: begin.open })
  })
  const spoken: Effect.Effect<Socket, unknown> =
    proxy.scheme === "http"
      ? dialled
      : Effect.flatMap(dialled, (socket) =>
          proxyTls.secure(socket, { host: proxy.host, port: proxy.port, applicationProtocols: ["http/1.1"] })
        )
  // an unsecured connection needs no tunnel: the proxy is asked for the whole URL
  if (scheme === "http") return Effect.mapError(spoken, failed)
  const target = host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`
  return Effect.mapError(
    Effect.flatMap(spoken, (socket) => tunnel(socket, { proxy, target })),
    failed
  )
}

const secured = (
  means: Means,
  { endpoint, host, port }: Route,
  socket: Socket
): Effect.Effect<Socket, TransportReason> =>
  Effect.mapError(means.tls.secure(socket, { host, port, applicationProtocols: means.applicationProtocols }), (error) =>
    reasonOfHandshake(error, endpoint)
  )

/** Not by its code alone: a name server that refuses is no refused connection. */
const unresolved =
  (endpoint: string) =>
  ({ code }: NameResolver.NameResolutionError): TransportReason =>
    stackless(() => new NameResolutionFailed({ endpoint, phase: "connect", code }))

const classified =
  (endpoint: string) =>
  (error: unknown): TransportReason =>
    stackless(() => FailureClassifier.classify(error, { endpoint, phase: "connect" }))

/** The endpoint says nothing of a socket that stands for every host. */
const notTaken =
  (endpoint: string, socketPath: string) =>
  (error: DialError): TransportReason => {
    const detail = `at the socket ${socketPath}`
    return stackless(() =>
      refusals.has(error.code)
        ? new ConnectionRefused({ endpoint, phase: "connect", code: error.code, detail })
        : new TransportFailed({ endpoint, phase: "connect", code: error.code, detail })
    )
  }

/** Not there, nobody listens, not a socket or not for us, or too many wait for it. */
const refusals: ReadonlySet<string> = new Set(["ENOENT", "ENOTDIR", "ECONNREFUSED", "EACCES", "EPERM", "EAGAIN"])

const peerOf = ({ remoteAddress, remotePort }: Socket): string | undefined => {
  if (remoteAddress === undefined || remotePort === undefined) return undefined
  return remoteAddress.includes(":") ? `[${remoteAddress}]:${remotePort}` : `${remoteAddress}:${remotePort}`
}
