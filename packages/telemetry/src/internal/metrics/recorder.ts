/** The figures that calls and attempts add to the metrics, with their labels. */

import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type { Reason } from "@holdfast/core/Reason"
import type { AttemptEnd, CallEnd, CallObserver, ObservedCall } from "@holdfast/http/CallObserver"
import * as StageOrder from "@holdfast/http/StageOrder"
import type { Registered } from "@holdfast/http/UpstreamRegistry"
import { attemptErrorType, callErrorType, other } from "./errorType.ts"
import { endpointLabels } from "./endpointLabels.ts"
import type { Distribution, HistogramName, Labels, Opened, Owner, Sum, SumName, Table } from "./series.ts"

export interface RecorderOptions {
  /** Operations of one upstream that have series of their own. */
  readonly maxOperations: number
  /** Endpoints of one upstream that have series of their own at a time, at least 1. */
  readonly maxEndpoints: number
  /** Upstreams that have series of their own. */
  readonly maxUpstreams: number
  /** Whether the sizes of bodies are measured: two histograms for each operation and status. */
  readonly bodySizes: boolean
  /** How long the series of an upstream that has left are still there to be read. */
  readonly keepMillis: number
  /** A clock that only goes forward. */
  readonly nowMillis: () => number
  /** The time of day, for the times of exemplars. */
  readonly epochMillis: () => number
  /** A call of this upstream has begun, and the one before was of another of its name, or of none. */
  readonly onMet: (upstream: Registered) => void
}

/** Turns what happens to calls into figures. */
export interface Recorder {
  readonly observer: CallObserver
  /** An upstream of this name lives. Several may have the same. */
  readonly arrived: (upstream: string) => void
  readonly left: (upstream: string) => void
  /** Whether any call was heard of. */
  readonly hasHeard: () => boolean
}

/** The methods of the conventions; others are `_OTHER`, because callers could make up any number of them. */
const knownMethods = new Set(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"])

const natures = ["transient", "throttle", "timeout", "refusal", "caller", "permanent"] as const

/** The kind of trouble of a failure. A defect, and an error of a client's own, is none that the catalogue knows. */
const natureOf = (reason: Reason | undefined): string =>
  reason === undefined ? "unknown" : ErrorCatalog.of(reason).nature

/**
 * Seconds that an attempt was with its upstream, without its wait for a connection; `undefined` when it never got that far. One that
 * could not be connected was: the upstream, or the way to it, is why.
 */
const secondsAtUpstream = ({ durationMillis, outcome, reason, status, timings }: AttemptEnd): number | undefined => {
  if (reason !== undefined && ErrorCatalog.of(reason).nature === "refusal") return undefined
  const queueMillis = timings?.queueMillis
  if (queueMillis === undefined) return durationMillis / 1000
  if (timings?.connection !== undefined || status !== undefined) return Math.max(0, durationMillis - queueMillis) / 1000
  return outcome === "failure" && reason !== undefined && isOfConnecting(reason) ? durationMillis / 1000 : undefined
}

const isOfConnecting = (reason: Reason): boolean => {
  const { domain } = ErrorCatalog.of(reason)
  return domain === "network" || domain === "tls" || reason._tag === "ConnectTimeout"
}

const protocolVersions = { "http/1.1": "1.1", "http/2": "2" } as const

const kindOf = ({ isHedge, resend }: { readonly resend: number; readonly isHedge: boolean }): string =>
  isHedge ? "hedge" : resend === 0 ? "first" : "retry"

/** The series of the attempts of one label set. */
interface RequestSeries {
  readonly duration: Distribution
  requestBytes: Distribution | undefined
  responseBytes: Distribution | undefined
}

/** The series of one operation, at whatever endpoint: each is made when it is first needed, and then found by a short key. */
class Operation {
  readonly upstream: UpstreamRecord
  readonly method: string
  /** The labels of its attempts, without those of the endpoint. */
  readonly requestLabels: Labels
  private readonly labels: Labels
  private readonly sums = new Map<string, Sum>()
  private readonly histograms = new Map<string, Distribution>()
  // the way of a call that succeeds at first try looks nothing up
  private calls: Sum | undefined = undefined
  private durations: Distribution | undefined = undefined
  private attempts: Sum | undefined = undefined
  private lastOrigin = ""
  private lastAt: OperationAt | undefined = undefined

  constructor(upstream: UpstreamRecord, method: string, labels: { readonly of: Labels; readonly request: Labels }) {
    this.upstream = upstream
    this.method = method
    this.labels = labels.of
    this.requestLabels = labels.request
  }

  /** The operation at one of the upstream's endpoints. */
  at(origin: string): OperationAt {
    const last = this.lastAt
    if (last !== undefined && origin === this.lastOrigin && last.endpoint.isAt(origin)) return last
    const found = this.upstream.endpoint(origin).operation(this)
    this.lastOrigin = origin
    this.lastAt = found
    return found
  }

  add(name: SumName, key: string, labels: Labels | undefined): void {
    this.sum(name, key, labels).value++
  }

  /** The key names the attributes beyond the operation, and so do the labels of the first call that has them. */
  private sum(name: SumName, key: string, labels: Labels | undefined): Sum {
    const id = key === "" ? name : `${name} ${key}`
    const known = this.sums.get(id)
    if (known !== undefined) return known
    const { upstream } = this
    return keepOwn(this.sums, id, upstream.table.sum(name, { ...this.labels, ...labels }, upstream))
  }

  record(name: HistogramName, key: string, labels: Labels | undefined, value: number): void {
    this.histogram(name, key, labels).record(value)
  }

  private histogram(name: HistogramName, key: string, labels: Labels | undefined): Distribution {
    const id = key === "" ? name : `${name} ${key}`
    const known = this.histograms.get(id)
    if (known !== undefined) return known
    const { upstream } = this
    return keepOwn(this.histograms, id, upstream.table.histogram(name, { ...this.labels, ...labels }, upstream))
  }

  attemptEnded(end: AttemptEnd, errorType: string | undefined): void {
    if (end.outcome === "success" && end.resend === 0 && !end.isHedge) {
      this.attempts ??= this.attempt(end, undefined)
      this.attempts.value++
    } else this.attempt(end, errorType).value++
  }

  private attempt(end: AttemptEnd, errorType: string | undefined): Sum {
    const kind = kindOf(end)
    return this.sum("holdfast.attempts", `${kind} ${end.outcome} ${errorType ?? ""}`, {
      "holdfast.attempt.kind": kind,
      "holdfast.outcome": end.outcome,
      ...(errorType === undefined ? undefined : { "error.type": errorType, "holdfast.nature": natureOf(end.reason) })
    })
  }

  callEnded(call: ObservedCall, { durationMillis, error, outcome }: CallEnd): void {
    const { upstream } = this
    if (outcome === "success") {
      upstream.outcome(outcome, undefined).value++
      this.calls ??= this.sum("holdfast.calls", outcome, { "holdfast.outcome": outcome })
      this.calls.value++
      this.durations ??= this.histogram("holdfast.call.duration", outcome, { "holdfast.outcome": outcome })
      upstream.took(this.durations, durationMillis / 1000, call)
      return
    }
    // how soon a call is refused says nothing of its upstream, and would make it look the faster the more are
    if (error === undefined || error.attempts > 0) {
      const durations = this.histogram("holdfast.call.duration", outcome, { "holdfast.outcome": outcome })
      upstream.took(durations, durationMillis / 1000, call)
    }
    if (outcome === "interrupted") {
      upstream.outcome(outcome, undefined).value++
      this.add("holdfast.calls", outcome, { "holdfast.outcome": outcome })
      return
    }
    const nature = natureOf(error?.reason)
    upstream.outcome(outcome, nature).value++
    const errorType = callErrorType(error?.reason)
    this.add("holdfast.calls", errorType, {
      "holdfast.outcome": outcome,
      "error.type": errorType,
      "holdfast.nature": nature
    })
    if (error === undefined) return
    this.add("holdfast.retry.stops", error.retryStopped, { "holdfast.retry_stopped": error.retryStopped })
    if (error.reason._tag === "DeadlineExceeded" || error.retryStopped === "deadline") {
      this.add("holdfast.deadline.misses", "", undefined)
    }
  }
}

/** Keeps a series that stands for its labels alone: there is no end to the labels that share the one for the rest. */
const keepOwn = <S>(known: Map<string, S>, id: string, { isOwn, series }: Opened<S>): S => {
  if (isOwn) known.set(id, series)
  return series
}

/** The series of one operation that are of one endpoint. */
class OperationAt {
  readonly endpoint: Endpoint
  private readonly operation: Operation
  private readonly requests = new Map<string | number, RequestSeries>()
  // the way of an attempt that succeeds looks nothing up
  private answered: RequestSeries | undefined = undefined
  private answeredKey: string | number | undefined = undefined

  constructor(endpoint: Endpoint, operation: Operation) {
    this.endpoint = endpoint
    this.operation = operation
  }

  attemptStarted(origin: string): void {
    this.operation.upstream.inFlight++
    this.endpoint.started(origin)
    this.endpoint.active(this.operation.method).value++
  }

  attemptEnded(call: ObservedCall, end: AttemptEnd): void {
    const { endpoint, operation } = this
    operation.upstream.inFlight--
    endpoint.ended(end.origin)
    endpoint.active(operation.method).value--
    const errorType = end.outcome === "failure" ? attemptErrorType(end.reason) : undefined
    operation.attemptEnded(end, errorType)
    const queueMillis = end.timings?.queueMillis
    if (queueMillis !== undefined) endpoint.connectionWaits().record(queueMillis / 1000)
    const seconds = secondsAtUpstream(end)
    if (seconds === undefined) return
    const request = this.request(end, errorType)
    operation.upstream.took(request.duration, seconds, call)
    if (!operation.upstream.options.bodySizes) return
    if (end.requestBytes !== undefined) {
      request.requestBytes ??= this.openRequest("http.client.request.body.size", end, errorType).series
      request.requestBytes.record(end.requestBytes)
    }
    if (end.responseBytes !== undefined) {
      request.responseBytes ??= this.openRequest("http.client.response.body.size", end, errorType).series
      request.responseBytes.record(end.responseBytes)
    }
  }

  private request(end: AttemptEnd, errorType: string | undefined): RequestSeries {
    const protocol = end.timings?.protocol
    const version = protocol === undefined ? 0 : protocol === "http/2" ? 2 : 1
    const status = end.status ?? 0
    const key =
      end.outcome === "success" ? status * 4 + version : `${end.outcome} ${errorType ?? ""} ${status} ${version}`
    if (key === this.answeredKey && this.answered !== undefined) return this.answered
    let found = this.requests.get(key)
    if (found === undefined) {
      const { isOwn, series } = this.openRequest("http.client.request.duration", end, errorType)
      found = { duration: series, requestBytes: undefined, responseBytes: undefined }
      // an upstream that fails in ever new ways is not remembered for each of them
      if (!isOwn) return found
      this.requests.set(key, found)
    }
    this.answeredKey = key
    this.answered = found
    return found
  }

  private openRequest(name: HistogramName, end: AttemptEnd, errorType: string | undefined): Opened<Distribution> {
    const protocol = end.timings?.protocol
    const labels: Labels = {
      ...this.operation.requestLabels,
      ...this.endpoint.labels,
      "holdfast.outcome": end.outcome,
      ...(end.status === undefined ? undefined : { "http.response.status_code": String(end.status) }),
      ...(errorType === undefined ? undefined : { "error.type": errorType }),
      ...(protocol === undefined ? undefined : { "network.protocol.version": protocolVersions[protocol] })
    }
    return this.operation.upstream.table.histogram(name, labels, this.endpoint)
  }
}

/** An endpoint that an upstream calls, or all endpoints without room together: its series leave with it. */
class Endpoint implements Owner {
  readonly labels: Labels
  readonly isBeyond: boolean
  private readonly upstream: UpstreamRecord
  private readonly waitLabels: Labels
  private readonly operations = new Map<Operation, OperationAt>()
  private readonly removals: Array<() => void> = []
  private readonly actives = new Map<string, Sum>()
  private waits: Distribution | undefined = undefined
  /** Attempts under way, by origin. */
  private readonly inFlight = new Map<string, number>()
  private readonly origin: string | undefined
  private hasLeft = false
  /** When it was last used, in turns of its upstream. */
  lastUsed = 0

  constructor(upstream: UpstreamRecord, origin: string | undefined) {
    this.upstream = upstream
    this.isBeyond = upstream.isBeyond
    this.origin = origin
    if (origin === undefined) this.labels = this.waitLabels = { "otel.metric.overflow": "true" }
    else {
      const labels = endpointLabels(origin)
      const { "server.address": address, "server.port": port } = labels
      this.labels = labels
      this.waitLabels = { "server.address": address, "server.port": port }
    }
  }

  holds(remove: () => void): void {
    this.removals.push(remove)
  }

  wasRead(): void {
    this.upstream.wasRead()
  }

  /** Whether an attempt at this origin is one at this endpoint, without a further look. */
  isAt(origin: string): boolean {
    return !this.hasLeft && (this.origin === origin || this.inFlight.has(origin))
  }

  get isIdle(): boolean {
    return this.inFlight.size === 0
  }

  leave(): void {
    this.hasLeft = true
    for (const remove of this.removals) remove()
  }

  started(origin: string): void {
    this.lastUsed = ++this.upstream.turn
    this.inFlight.set(origin, (this.inFlight.get(origin) ?? 0) + 1)
  }

  ended(origin: string): void {
    this.lastUsed = ++this.upstream.turn
    const count = this.inFlight.get(origin) ?? 0
    if (count > 1) this.inFlight.set(origin, count - 1)
    else this.inFlight.delete(origin)
  }

  operation(operation: Operation): OperationAt {
    const known = this.operations.get(operation)
    if (known !== undefined) return known
    const made = new OperationAt(this, operation)
    this.operations.set(operation, made)
    return made
  }

  /** One for each method. It is kept whether it is its own or not, so that an attempt leaves the series that it came to. */
  active(method: string): Sum {
    const known = this.actives.get(method)
    if (known !== undefined) return known
    const labels: Labels = { ...this.upstream.labels, ...this.labels, "http.request.method": method }
    const { series } = this.upstream.table.sum("http.client.active_requests", labels, this)
    this.actives.set(method, series)
    return series
  }

  connectionWaits(): Distribution {
    if (this.waits !== undefined) return this.waits
    const labels: Labels = { ...this.upstream.labels, ...this.waitLabels }
    const { isOwn, series } = this.upstream.table.histogram("holdfast.connection.wait", labels, this)
    if (isOwn) this.waits = series
    return series
  }
}

/** An upstream, and what takes its series out of the registry. */
class UpstreamRecord implements Owner {
  readonly name: string
  readonly isBeyond: boolean
  readonly table: Table
  readonly options: RecorderOptions
  readonly labels: Labels
  private readonly operations = new Map<string, Operation>()
  /** Those beyond the bound, by method. */
  private readonly otherOperations = new Map<string, Operation>()
  private readonly endpoints = new Map<string, Endpoint>()
  /** Shared by endpoints that came when every other endpoint was busy. */
  private otherEndpoints: Endpoint | undefined = undefined
  private readonly removals: Array<() => void> = []
  private readonly outcomes = new Map<string, Sum>()
  private successes: Sum | undefined = undefined
  private inFlightSeries: Sum | undefined = undefined
  private readonly onRead: (record: UpstreamRecord) => void
  /** Counts the uses of endpoints. */
  turn = 0
  /** Whose the last call was. */
  lastMet: Registered | undefined = undefined
  /**
   * Calls and attempts under way: as long as there are any, more will be told of them. An attempt that other calls joined may
   * outlive its own.
   */
  inFlight = 0
  /** Upstreams of this name that live. */
  living = 0
  leftAtMillis: number | undefined = undefined

  constructor(
    name: string,
    isBeyond: boolean,
    {
      onRead,
      options,
      table
    }: {
      readonly table: Table
      readonly options: RecorderOptions
      readonly onRead: (record: UpstreamRecord) => void
    }
  ) {
    this.name = name
    this.isBeyond = isBeyond
    this.table = table
    this.options = options
    this.labels = { "holdfast.upstream": name }
    this.onRead = onRead
  }

  holds(remove: () => void): void {
    this.removals.push(remove)
  }

  wasRead(): void {
    if (this.leftAtMillis !== undefined) this.onRead(this)
  }

  remove(): void {
    for (const remove of this.removals) remove()
    for (const endpoint of this.endpoints.values()) endpoint.leave()
    this.otherEndpoints?.leave()
  }

  callsInFlight(): Sum {
    this.inFlightSeries ??= this.table.sum("holdfast.call.in_flight", this.labels, this).series
    return this.inFlightSeries
  }

  /** Every series of its outcomes, at 0: a rate is of a series that was there before. */
  begin(): void {
    this.outcome("success", undefined)
    this.outcome("interrupted", undefined)
    for (const nature of natures) this.outcome("failure", nature)
  }

  outcome(outcome: CallEnd["outcome"], nature: string | undefined): Sum {
    if (outcome === "success" && this.successes !== undefined) return this.successes
    const key = nature ?? outcome
    const known = this.outcomes.get(key)
    if (known !== undefined) return known
    const labels: Labels = {
      ...this.labels,
      "holdfast.outcome": outcome,
      ...(nature === undefined ? undefined : { "holdfast.nature": nature })
    }
    const { series } = this.table.sum("holdfast.upstream.calls", labels, this)
    this.outcomes.set(key, series)
    if (outcome === "success") this.successes = series
    return series
  }

  /** Records how long something of a call took, with its trace where that is kept. */
  took(durations: Distribution, seconds: number, { span }: ObservedCall): void {
    const bucket = durations.record(seconds)
    if (bucket < 0 || span === undefined || !span.sampled) return
    const { spanId, traceId } = span
    durations.exemplify(bucket, { value: seconds, traceId, spanId, epochMillis: this.options.epochMillis() })
  }

  /** The endpoint of an origin. A further one takes the place of the one that was idle longest. */
  endpoint(origin: string): Endpoint {
    const known = this.endpoints.get(origin)
    if (known !== undefined) return known
    // attempts end where they began, though room was made meanwhile
    if (this.otherEndpoints?.isAt(origin) === true) return this.otherEndpoints
    if (this.isBeyond || !this.makeRoom()) {
      this.otherEndpoints ??= new Endpoint(this, undefined)
      return this.otherEndpoints
    }
    const made = new Endpoint(this, origin)
    this.endpoints.set(origin, made)
    return made
  }

  private makeRoom(): boolean {
    if (this.endpoints.size < this.options.maxEndpoints) return true
    let idlest: readonly [origin: string, Endpoint] | undefined = undefined
    for (const entry of this.endpoints) {
      if (entry[1].isIdle && (idlest === undefined || entry[1].lastUsed < idlest[1].lastUsed)) idlest = entry
    }
    if (idlest === undefined) return false
    this.endpoints.delete(idlest[0])
    idlest[1].leave()
    return true
  }

  /** The operation of a call; one that has no room any more shares its method's. */
  operation(call: ObservedCall): Operation {
    const known = this.operations.get(call.operation)
    if (known !== undefined) return known
    const method = knownMethods.has(call.method) ? call.method : other
    if (this.operations.size < this.options.maxOperations) {
      const request: Labels = { ...this.labels, "http.request.method": method }
      const made = new Operation(this, method, {
        of: { ...this.labels, "holdfast.operation": call.operation },
        request: call.template === "" ? request : { ...request, "url.template": call.template }
      })
      this.operations.set(call.operation, made)
      return made
    }
    const shared = this.otherOperations.get(method)
    if (shared !== undefined) return shared
    const of: Labels = { ...this.labels, "otel.metric.overflow": "true" }
    const made = new Operation(this, method, { of, request: { ...of, "http.request.method": method } })
    this.otherOperations.set(method, made)
    return made
  }
}

const ignore = (): void => {}

export const makeRecorder = (table: Table, options: RecorderOptions): Recorder => {
  const { keepMillis, maxUpstreams, nowMillis } = options
  const upstreams = new Map<string, UpstreamRecord>()
  /** Upstreams beyond the bound share one record, and their calls stay with it though room should be made. */
  const crowd = new UpstreamRecord("", true, { table, options, onRead: ignore })
  const crowdOperation = new Operation(crowd, other, { of: {}, request: {} })
  const ofTheCrowd = new WeakSet<ObservedCall>()
  let hasCrowd = false
  let hasHeard = false
  // events of a call often come in pairs: the last call is found without a look
  let lastCall: ObservedCall | undefined = undefined
  let lastOperation = crowdOperation

  const forgetIfDue = (record: UpstreamRecord): void => {
    if (record.leftAtMillis === undefined || record.inFlight > 0) return
    if (nowMillis() - record.leftAtMillis < keepMillis) return
    upstreams.delete(record.name)
    record.remove()
  }

  const recordOf = (name: string): UpstreamRecord | undefined => {
    const known = upstreams.get(name)
    if (known !== undefined) return known
    if (upstreams.size >= maxUpstreams) return undefined
    const record = new UpstreamRecord(name, false, { table, options, onRead: forgetIfDue })
    upstreams.set(name, record)
    record.begin()
    return record
  }

  const find = (call: ObservedCall): Operation => {
    if (call === lastCall) return lastOperation
    if (hasCrowd && ofTheCrowd.has(call)) return crowdOperation
    const found = recordOf(call.upstream)?.operation(call)
    if (found === undefined) {
      hasCrowd = true
      ofTheCrowd.add(call)
      return crowdOperation
    }
    lastCall = call
    lastOperation = found
    return found
  }

  return {
    observer: {
      callStarted: (call) => {
        hasHeard = true
        const { upstream } = find(call)
        if (call.registered !== undefined && call.registered !== upstream.lastMet) {
          upstream.lastMet = call.registered
          options.onMet(call.registered)
        }
        upstream.inFlight++
        upstream.callsInFlight().value++
      },
      callEnded: (call, end) => {
        const operation = find(call)
        const { upstream } = operation
        upstream.inFlight--
        upstream.callsInFlight().value--
        operation.callEnded(call, end)
        lastCall = undefined
      },
      attemptStarted: (call, { origin }) => find(call).at(origin).attemptStarted(origin),
      attemptEnded: (call, end) => find(call).at(end.origin).attemptEnded(call, end),
      retryScheduled: (call, { delayMillis, reason }) => {
        const operation = find(call)
        const errorType = attemptErrorType(reason)
        operation.add("holdfast.retries", errorType, { "error.type": errorType })
        operation.record("holdfast.retry.delay", "", undefined, delayMillis / 1000)
      },
      refused: (call, reason) => {
        const errorType = callErrorType(reason)
        find(call).add("holdfast.refusals", errorType, {
          "holdfast.stage": StageOrder.stageOf(reason),
          "error.type": errorType
        })
      },
      waited: (call, { millis, stage }) =>
        find(call).record("holdfast.queue.duration", stage, { "holdfast.stage": stage }, millis / 1000),
      hedgeStarted: (call) => find(call).add("holdfast.hedges", "", undefined),
      hedgeSettled: (call, { isHedge }) => {
        if (isHedge) find(call).add("holdfast.hedge.wins", "", undefined)
      },
      joined: (call) => find(call).add("holdfast.single_flight.joins", "", undefined)
    },
    hasHeard: () => hasHeard,
    arrived: (upstream) => {
      for (const record of upstreams.values()) forgetIfDue(record)
      const record = recordOf(upstream)
      if (record === undefined) return
      record.living++
      record.leftAtMillis = undefined
    },
    left: (upstream) => {
      const record = upstreams.get(upstream)
      // one that came beyond the bound has no record, or that of a later one of its name
      if (record !== undefined && record.living > 0 && --record.living === 0) record.leftAtMillis = nowMillis()
      for (const record of upstreams.values()) forgetIfDue(record)
    }
  }
}
