/**
 * A real upstream for tests: servers in a process of their own, so that their sockets, their event loop and their
 * garbage are not the client's.
 *
 * ```ts
 * const upstream = yield* startUpstream
 * const payments = yield* upstream.listen(Behaviour.http([Behaviour.status(503), Behaviour.json({ ok: true })]))
 * // … call payments.url …
 * const facts = yield* upstream.awaitRequests(payments, 2)
 * ```
 *
 * What goes wrong here is a fault of the test, never something under test: it is a defect, and says what happened.
 */
import type { ChildProcess } from "node:child_process"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import type { Scope } from "effect"
import { Context, Effect, Layer } from "effect"
import * as Behaviour from "./behaviour.ts"
import type { CertificateCase } from "./certificates.ts"
import type {
  Command,
  CommandMessage,
  FactCondition,
  Facts,
  Replies,
  ReplyMessage,
  TlsMaterial,
  TlsVersion
} from "./upstreamMessages.ts"
import { awaitFactsMillis } from "./upstreamMessages.ts"

export { Behaviour }
export type { ConnectionFact, FactCondition, Facts, RequestFact, TlsVersion } from "./upstreamMessages.ts"

export interface TlsOptions {
  /** Default: `good`. */
  readonly certificate?: CertificateCase
  readonly minVersion?: TlsVersion
  /** Below TLS 1.2 the server speaks the old versions only. */
  readonly maxVersion?: TlsVersion
  /** Default: `none`. `required` refuses a client without a certificate of the trusted root. */
  readonly clientCertificate?: "none" | "requested" | "required"
  /** ALPN. Default: `http/1.1`, or `h2` with the option `http2`. What the client chooses is spoken. */
  readonly applicationProtocols?: ReadonlyArray<string>
}

export interface ListenOptions {
  readonly tls?: TlsOptions
  /** HTTP/2: without TLS from the first byte on, and with it as the only protocol unless told otherwise. */
  readonly http2?: boolean
  /** Default: an ephemeral port. Give the port of a stopped listener to come back on it. */
  readonly port?: number
}

export interface Listener {
  readonly id: number
  readonly port: number
  /** The origin: `http://127.0.0.1:49152`, without a slash at its end. */
  readonly url: string
  /** PEM of the root a client is to trust, with TLS. */
  readonly trustedRoot: string | undefined
}

export interface Port {
  readonly port: number
  readonly url: string
}

export interface Upstream {
  readonly listen: (behaviour: Behaviour.Behaviour, options?: ListenOptions) => Effect.Effect<Listener>
  /**
   * From now on, new connections meet another behaviour; so do new requests on the open ones, when it is an `Http` one.
   * Its steps begin at the first. Ordinals in the facts go on.
   */
  readonly become: (listener: Listener, behaviour: Behaviour.Behaviour) => Effect.Effect<void>
  /** Ends every open connection now. */
  readonly endConnections: (listener: Listener, end: "reset" | "close") => Effect.Effect<void>
  /** Closes the port and every connection; facts can still be read. */
  readonly stop: (listener: Listener) => Effect.Effect<void>
  readonly facts: (listener: Listener) => Effect.Effect<Facts>
  /**
   * Gives the facts as soon as the condition holds, or dies, after 20 seconds unless told otherwise, with what it waited
   * for and what it got.
   */
  readonly awaitFacts: (
    listener: Listener,
    condition: FactCondition,
    options?: { readonly withinMillis?: number }
  ) => Effect.Effect<Facts>
  /** So many requests have arrived: their heads, not necessarily their bodies. */
  readonly awaitRequests: (listener: Listener, count: number) => Effect.Effect<Facts>
  readonly awaitConnectionsOpened: (listener: Listener, count: number) => Effect.Effect<Facts>
  readonly awaitConnectionsClosed: (listener: Listener, count: number) => Effect.Effect<Facts>
  readonly awaitNoOpenConnections: (listener: Listener) => Effect.Effect<Facts>
  /** A port that refuses every connection for as long as the upstream lives. */
  readonly refusedPort: Effect.Effect<Port>
  /** A port on which a connection is neither made nor refused: SYNs are dropped. */
  readonly unansweredPort: Effect.Effect<Port>
}

const host = "127.0.0.1"
/** Far beyond what any of it takes on a machine that is busy: they are there so that nothing hangs. */
const startMillis = 30_000
const replyMillis = 20_000
const exitMillis = 20_000

/**
 * Real time, of purpose: the sockets on the other side know nothing of a TestClock, and a bound that a test's clock
 * could hold back would be none.
 */
const bounded = <A>(
  millis: number,
  late: () => Error,
  register: (succeed: (value: A) => void, fail: (error: Error) => void) => () => void
): Effect.Effect<A> =>
  Effect.callback<A>((resume) => {
    const settle = (result: Effect.Effect<A>): void => {
      clearTimeout(timer)
      forget()
      resume(result)
    }
    const timer = setTimeout(() => settle(Effect.die(late())), millis)
    const forget = register(
      (value) => settle(Effect.succeed(value)),
      (error) => settle(Effect.die(error))
    )
    return Effect.sync(() => {
      clearTimeout(timer)
      forget()
    })
  })

interface Running {
  readonly child: ChildProcess
  readonly nextId: () => number
  /** What the process wrote to its error output: nothing, unless it crashed. */
  readonly errorOutput: () => string
}

const spawn = (): Running => {
  const child = fork(fileURLToPath(new URL("./upstreamProcess.ts", import.meta.url)), [], {
    execPath: process.execPath,
    // Options of the test runner's process are not meant for this one.
    execArgv: [],
    env: { ...process.env, NODE_OPTIONS: "--disable-warning=ExperimentalWarning" },
    serialization: "json",
    stdio: ["ignore", "ignore", "pipe", "ipc"]
  })
  // Each command in flight listens for itself.
  child.setMaxListeners(0)
  let output = ""
  child.stderr?.on("data", (chunk: Buffer) => {
    output = (output + chunk.toString("utf8")).slice(-4_096)
  })
  let last = 0
  return { child, nextId: () => ++last, errorOutput: () => output }
}

const ended = ({ child, errorOutput }: Running): Error =>
  new Error(`Upstream: its process ended (code ${child.exitCode}, signal ${child.signalCode})\n${errorOutput()}`)

const receive = <A>(
  running: Running,
  options: {
    readonly millis: number
    readonly late: string
    readonly select: (message: ReplyMessage, succeed: (value: A) => void, fail: (error: Error) => void) => void
    readonly send?: () => void
  }
): Effect.Effect<A> =>
  bounded<A>(
    options.millis,
    () => new Error(`Upstream: ${options.late}\n${running.errorOutput()}`),
    (succeed, fail) => {
      const { child } = running
      const onMessage = (message: ReplyMessage): void => options.select(message, succeed, fail)
      const onExit = (): void => fail(ended(running))
      child.on("message", onMessage)
      child.on("exit", onExit)
      child.on("error", fail)
      options.send?.()
      return () => {
        child.off("message", onMessage)
        child.off("exit", onExit)
        child.off("error", fail)
      }
    }
  )

const ask = <C extends Command>(running: Running, command: C): Effect.Effect<Replies[C["_tag"]]> =>
  Effect.suspend(() => {
    if (!running.child.connected) return Effect.die(ended(running))
    const message: CommandMessage = { id: running.nextId(), command }
    // Beyond the bound that the process itself keeps, so that its own, better message comes first.
    const millis = replyMillis + (command._tag === "AwaitFacts" ? command.withinMillis : 0)
    return receive<Replies[C["_tag"]]>(running, {
      millis,
      late: `no reply to ${command._tag} in ${millis} ms`,
      send: () => running.child.send(message),
      select: (reply, succeed, fail) => {
        if (reply._tag === "Ready" || reply.id !== message.id) return
        if (reply._tag === "Failed") return fail(new Error(`Upstream: ${reply.message}`))
        // The boundary of the process: a reply has the type that its command names.
        succeed(reply.value as Replies[C["_tag"]])
      }
    })
  })

const start: Effect.Effect<Running> = Effect.suspend(() => {
  const running = spawn()
  return receive<Running>(running, {
    millis: startMillis,
    late: `its process did not start in ${startMillis} ms`,
    select: (message, succeed) => {
      if (message._tag === "Ready") succeed(running)
    }
  }).pipe(Effect.onError(() => kill(running)))
})

const kill = ({ child }: Running): Effect.Effect<void> =>
  bounded<void>(
    exitMillis,
    () => new Error(`Upstream: its process ${child.pid} did not end in ${exitMillis} ms`),
    (succeed) => {
      const onExit = (): void => succeed(undefined)
      if (child.exitCode !== null || child.signalCode !== null) {
        queueMicrotask(onExit)
        return () => {}
      }
      child.once("exit", onExit)
      child.kill("SIGKILL")
      return () => {
        child.off("exit", onExit)
      }
    }
  )

const tlsMaterial = Effect.fnUntraced(function* (options: TlsOptions) {
  // Loaded when first asked for: most tests speak plain TCP and need not wait for it.
  const { certificates } = yield* Effect.promise(() => import("./certificates.ts"))
  const { servers, trustedRoot } = yield* certificates
  const material: TlsMaterial = {
    ...servers[options.certificate ?? "good"],
    clientAuthority: trustedRoot,
    clientCertificate: options.clientCertificate ?? "none",
    ...(options.minVersion === undefined ? {} : { minVersion: options.minVersion }),
    ...(options.maxVersion === undefined ? {} : { maxVersion: options.maxVersion }),
    ...(options.applicationProtocols === undefined ? {} : { applicationProtocols: options.applicationProtocols })
  }
  return { material, trustedRoot }
})

const makeUpstream = (running: Running): Upstream => {
  const awaitFacts: Upstream["awaitFacts"] = (listener, condition, options) =>
    ask(running, {
      _tag: "AwaitFacts",
      listener: listener.id,
      condition,
      withinMillis: options?.withinMillis ?? awaitFactsMillis
    })

  const withUrl = ({ port }: { readonly port: number }): Port => ({ port, url: `http://${host}:${port}` })

  return {
    listen: Effect.fnUntraced(function* (behaviour, options = {}) {
      const offered = options.http2 === true ? { applicationProtocols: ["h2"] } : {}
      const secure = options.tls === undefined ? undefined : yield* tlsMaterial({ ...offered, ...options.tls })
      const { id, port } = yield* ask(running, {
        _tag: "Listen",
        behaviour,
        protocol: options.http2 === true ? "http/2" : "http/1.1",
        ...(secure === undefined ? {} : { tls: secure.material }),
        ...(options.port === undefined ? {} : { port: options.port })
      })
      const scheme = secure !== undefined ? "https" : behaviour._tag === "Raw" ? (behaviour.scheme ?? "http") : "http"
      // Certificates name localhost and 127.0.0.1; the address needs no name resolution.
      return { id, port, url: `${scheme}://${host}:${port}`, trustedRoot: secure?.trustedRoot }
    }),
    become: (listener, behaviour) => ask(running, { _tag: "Become", listener: listener.id, behaviour }),
    endConnections: (listener, end) => ask(running, { _tag: "EndConnections", listener: listener.id, end }),
    stop: (listener) => ask(running, { _tag: "Stop", listener: listener.id }),
    facts: (listener) => ask(running, { _tag: "Facts", listener: listener.id }),
    awaitFacts,
    awaitRequests: (listener, count) => awaitFacts(listener, { requestsArrived: count }),
    awaitConnectionsOpened: (listener, count) => awaitFacts(listener, { connectionsOpened: count }),
    awaitConnectionsClosed: (listener, count) => awaitFacts(listener, { connectionsClosed: count }),
    awaitNoOpenConnections: (listener) => awaitFacts(listener, { connectionsOpenAtMost: 0 }),
    refusedPort: ask(running, { _tag: "RefusedPort" }).pipe(Effect.map(withUrl)),
    unansweredPort: ask(running, { _tag: "UnansweredPort" }).pipe(Effect.map(withUrl))
  }
}

/** Starts the process; it is killed when the scope closes, and ends by itself should this process go. */
export const startUpstream: Effect.Effect<Upstream, never, Scope.Scope> = Effect.acquireRelease(start, kill).pipe(
  Effect.map(makeUpstream)
)

/** One upstream for all tests of a `layer(TestUpstream.layer)(…)`: a process is worth sharing, a listener is not. */
export class TestUpstream extends Context.Service<TestUpstream, Upstream>()("test/support/TestUpstream") {
  static readonly layer: Layer.Layer<TestUpstream> = Layer.effect(TestUpstream, startUpstream)
}
