/** What calls and attempts add to which metric, under which labels. */

import * as ErrorCatalog from "@holdfast/core/ErrorCatalog"
import type { Reason } from "@holdfast/core/Reason"
import type { AttemptEnd, CallEnd, CallObserver, ObservedCall } from "@holdfast/http/CallObserver"
import * as StageOrder from "@holdfast/http/StageOrder"
import type { Registered } from "@holdfast/http/UpstreamRegistry"
import { attemptErrorType, callErrorType, other } from "./errorType.ts"
import { type EndpointLabels, endpointLabels } from "./endpointLabels.ts"
import type { Distribution, HistogramName, Labels, Opened, Owner, Sum, SumName, Table } from "./series.ts"

export interface RecorderOptions {
  /** Operations of one upstream that have series of their own. */
  readonly maxOperations: number
  /** Upstreams that have series of their own. */
  readonly maxUpstreams: number
  /** Whether the sizes of bodies are measured: two histograms for each operation and status. */
  readonly bodySizes: boolean
  /** How long the series of an upstream that has left are still there to be read. */
  readonly keepMillis: number
  /** A clock that only goes forward. */
  readonly nowMillis: () => number
  /** What a calendar says, for the times of exemplars. */
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

/** The methods of the conventions; others are `_OTHER`, because whoever calls could make up any number of them. */
const knownMethods = new Set(["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"])

const natures = ["transient", "throttle", "timeout", "refusal", "caller", "permanent"] as const

/** What kind of trouble a failure is. A defect, and an error of a client's own, is none that the catalogue knows. */
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

/** What attempts of one label set are measured with. */
interface RequestSeries {
  readonly duration: Distribution
  requestBytes: Distribution | undefined
  responseBytes: Distribution | undefined
}

/** The series of one operation: each is made when it is first needed, and then found by a short key. */
class Operation {
  readonly upstream: UpstreamRecord
  private readonly table: Table
  private readonly labels: Labels
  private readonly requestLabels: Labels
  private readonly activeLabels: Labels
  private readonly options: RecorderOptions
  private readonly sums = new Map<string, Sum>()
  private readonly histograms = new Map<string, Distribution>()
  private readonly requests = new Map<string | number, RequestSeries>()
  // the way of a call that succeeds at first try looks nothing up
  private calls: Sum | undefined = undefined
  private durations: Distribution | undefined = undefined
  private attempts: Sum | undefined = undefined
  private active: Sum | undefined = undefined
  private connectionWaits: Distribution | undefined = undefined
  private answered: RequestSeries | undefined = undefined
  private answeredKey: string | number | undefined = undefined

  constructor(
    table: Table,
    upstream: UpstreamRecord,
    labels: { readonly of: Labels; readonly request: Labels; readonly active: Labels },
    options: RecorderOptions
  ) {
    this.table = table
    this.upstream = upstream
    this.labels = labels.of
    this.requestLabels = labels.request
    this.activeLabels = labels.active
    this.options = options
  }

  add(name: SumName, key: string, labels: Labels | undefined): void {
    this.sum(name, key, labels).value++
  }

  /** What the attributes beyond the operation are is said once, in the key, and once, in the labels of who is first. */
  private sum(name: SumName, key: string, labels: Labels | undefined): Sum {
    const id = key === "" ? name : `${name} ${key}`
    const known = this.sums.get(id)
    if (known !== undefined) return known
    return keepOwn(this.sums, id, this.table.sum(name, { ...this.labels, ...labels }, this.upstream))
  }

  record(name: HistogramName, key: string, labels: Labels | undefined, value: number): void {
    this.histogram(name, key, labels).record(value)
  }

  private histogram(name: HistogramName, key: string, labels: Labels | undefined): Distribution {
    const id = key === "" ? name : `${name} ${key}`
    const known = this.histograms.get(id)
    if (known !== undefined) return known
    return keepOwn(this.histograms, id, this.table.histogram(name, { ...this.labels, ...labels }, this.upstream))
  }

  attemptStarted(): void {
    this.upstream.inFlight++
    // kept whether it is its own or not, so that an attempt leaves the series that it came to
    this.active ??= this.upstream.active(this.table, this.activeLabels)
    this.active.value++
  }

  /** Records how long something of a call took, with its trace where that is kept. */
  private took(durations: Distribution, seconds: number, { span }: ObservedCall): void {
    const bucket = durations.record(seconds)
    if (bucket < 0 || span === undefined || !span.sampled) return
    const { spanId, traceId } = span
    durations.exemplify(bucket, { value: seconds, traceId, spanId, epochMillis: this.options.epochMillis() })
  }

  attemptEnded(call: ObservedCall, end: AttemptEnd): void {
    this.upstream.inFlight--
    if (this.active !== undefined) this.active.value--
    const errorType = end.outcome === "failure" ? attemptErrorType(end.reason) : undefined
    if (end.outcome === "success" && end.resend === 0 && !end.isHedge) {
      this.attempts ??= this.attempt(end, undefined)
      this.attempts.value++
    } else this.attempt(end, errorType).value++
    const queueMillis = end.timings?.queueMillis
    if (queueMillis !== undefined) {
      this.connectionWaits ??= this.upstream.connectionWaits(this.table, this.activeLabels)
      this.connectionWaits.record(queueMillis / 1000)
    }
    const seconds = secondsAtUpstream(end)
    if (seconds === undefined) return
    const request = this.request(end, errorType)
    this.took(request.duration, seconds, call)
    if (!this.options.bodySizes) return
    if (end.requestBytes !== undefined) {
      request.requestBytes ??= this.sizes("http.client.request.body.size", end, errorType)
      request.requestBytes.record(end.requestBytes)
    }
    if (end.responseBytes !== undefined) {
      request.responseBytes ??= this.sizes("http.client.response.body.size", end, errorType)
      request.responseBytes.record(end.responseBytes)
    }
  }

  private attempt(end: AttemptEnd, errorType: string | undefined): Sum {
    const kind = kindOf(end)
    return this.sum("holdfast.attempts", `${kind} ${end.outcome} ${errorType ?? ""}`, {
      "holdfast.attempt.kind": kind,
      "holdfast.outcome": end.outcome,
      ...(errorType === undefined ? undefined : { "error.type": errorType, "holdfast.nature": natureOf(end.reason) })
    })
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
      // who fails in ever new ways is not remembered for each of them
      if (!isOwn) return found
      this.requests.set(key, found)
    }
    this.answeredKey = key
    this.answered = found
    return found
  }

  private sizes(
    name: "http.client.request.body.size" | "http.client.response.body.size",
    end: AttemptEnd,
    errorType: string | undefined
  ): Distribution {
    return this.openRequest(name, end, errorType).series
  }

  private openRequest(name: HistogramName, end: AttemptEnd, errorType: string | undefined): Opened<Distribution> {
    const protocol = end.timings?.protocol
    const labels: Labels = {
      ...this.requestLabels,
      "holdfast.outcome": end.outcome,
      ...(end.status === undefined ? undefined : { "http.response.status_code": String(end.status) }),
      ...(errorType === undefined ? undefined : { "error.type": errorType }),
      ...(protocol === undefined ? undefined : { "network.protocol.version": protocolVersions[protocol] })
    }
    return this.table.histogram(name, labels, this.upstream)
  }

  callEnded(call: ObservedCall, { durationMillis, error, outcome }: CallEnd): void {
    if (outcome === "success") {
      this.upstream.outcome(this.table, outcome, undefined).value++
      this.calls ??= this.sum("holdfast.calls", outcome, { "holdfast.outcome": outcome })
      this.calls.value++
      this.durations ??= this.histogram("holdfast.call.duration", outcome, { "holdfast.outcome": outcome })
      this.took(this.durations, durationMillis / 1000, call)
      return
    }
    // how soon a call is refused says nothing of its upstream, and would make it look the faster the more are
    if (error === undefined || error.attempts > 0) {
      const durations = this.histogram("holdfast.call.duration", outcome, { "holdfast.outcome": outcome })
      this.took(durations, durationMillis / 1000, call)
    }
    if (outcome === "interrupted") {
      this.upstream.outcome(this.table, outcome, undefined).value++
      this.add("holdfast.calls", outcome, { "holdfast.outcome": outcome })
      return
    }
    const nature = natureOf(error?.reason)
    this.upstream.outcome(this.table, outcome, nature).value++
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

/** The endpoint that an upstream calls. There is one for each version of it. */
class Endpoint {
  readonly labels: EndpointLabels
  readonly operations = new Map<string, Operation>()
  /** Those beyond the bound, by method. */
  readonly rest = new Map<string, Operation>()

  constructor(origin: string) {
    this.labels = endpointLabels(origin)
  }
}

/** An upstream, and what takes its series out of the registry. */
class UpstreamRecord implements Owner {
  readonly name: string
  readonly isBeyond: boolean
  readonly endpoints = new Map<string, Endpoint>()
  private readonly labels: Labels
  private readonly removals: Array<() => void> = []
  private readonly actives = new Map<string, Sum>()
  private readonly outcomes = new Map<string, Sum>()
  private readonly waits = new Map<string, Distribution>()
  private successes: Sum | undefined = undefined
  private inFlightSeries: Sum | undefined = undefined
  private readonly onRead: (record: UpstreamRecord) => void
  /** Operations that have series of their own, at all endpoints. */
  operations = 0
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

  constructor(name: string, isBeyond: boolean, onRead: (record: UpstreamRecord) => void) {
    this.name = name
    this.isBeyond = isBeyond
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
  }

  callsInFlight(table: Table): Sum {
    this.inFlightSeries ??= table.sum("holdfast.call.in_flight", this.labels, this).series
    return this.inFlightSeries
  }

  /** Every series of its outcomes, at 0: a rate is of a series that was there before. */
  begin(table: Table): void {
    this.outcome(table, "success", undefined)
    this.outcome(table, "interrupted", undefined)
    for (const nature of natures) this.outcome(table, "failure", nature)
  }

  outcome(table: Table, outcome: CallEnd["outcome"], nature: string | undefined): Sum {
    if (outcome === "success" && this.successes !== undefined) return this.successes
    const key = nature ?? outcome
    const known = this.outcomes.get(key)
    if (known !== undefined) return known
    const labels: Labels = {
      ...this.labels,
      "holdfast.outcome": outcome,
      ...(nature === undefined ? undefined : { "holdfast.nature": nature })
    }
    const { series } = table.sum("holdfast.upstream.calls", labels, this)
    this.outcomes.set(key, series)
    if (outcome === "success") this.successes = series
    return series
  }

  /** One for each endpoint. */
  connectionWaits(table: Table, labels: Labels): Distribution {
    const { "http.request.method": _, "url.scheme": __, ...at } = labels
    const key = `${at["server.address"]} ${at["server.port"]}`
    const known = this.waits.get(key)
    if (known !== undefined) return known
    const { series } = table.histogram("holdfast.connection.wait", at, this)
    this.waits.set(key, series)
    return series
  }

  /** One for each endpoint and method, shared by their operations. */
  active(table: Table, labels: Labels): Sum {
    const key = `${labels["http.request.method"]} ${labels["url.scheme"]} ${labels["server.address"]} ${labels["server.port"]}`
    const known = this.actives.get(key)
    if (known !== undefined) return known
    const { series } = table.sum("http.client.active_requests", labels, this)
    this.actives.set(key, series)
    return series
  }

  /** The operation of a call; one that has no room any more shares its method's. */
  operation(table: Table, call: ObservedCall, origin: string, options: RecorderOptions): Operation {
    let endpoint = this.endpoints.get(origin)
    if (endpoint === undefined) {
      endpoint = new Endpoint(origin)
      this.endpoints.set(origin, endpoint)
    }
    const known = endpoint.operations.get(call.operation)
    if (known !== undefined) return known
    const method = knownMethods.has(call.method) ? call.method : other
    const isOwn = this.operations < options.maxOperations
    if (!isOwn) {
      const rest = endpoint.rest.get(method)
      if (rest !== undefined) return rest
    }
    const base: Labels = isOwn ? this.labels : { ...this.labels, "otel.metric.overflow": "true" }
    const toward: Labels = { ...endpoint.labels, "http.request.method": method }
    const made = new Operation(
      table,
      this,
      {
        of: isOwn ? { ...base, "holdfast.operation": call.operation } : base,
        request:
          isOwn && call.template !== ""
            ? { ...base, ...toward, "url.template": call.template }
            : { ...base, ...toward },
        active: { ...this.labels, ...toward }
      },
      options
    )
    if (!isOwn) endpoint.rest.set(method, made)
    else {
      this.operations++
      endpoint.operations.set(call.operation, made)
    }
    return made
  }
}

const ignore = (): void => {}

export const makeRecorder = (table: Table, options: RecorderOptions): Recorder => {
  const { keepMillis, maxUpstreams, nowMillis } = options
  const upstreams = new Map<string, UpstreamRecord>()
  /** Upstreams beyond the bound share one record, and their calls stay with it though room should be made. */
  const crowd = new UpstreamRecord("", true, ignore)
  const crowdOperation = new Operation(table, crowd, { of: {}, request: {}, active: {} }, options)
  const ofTheCrowd = new WeakSet<ObservedCall>()
  let hasCrowd = false
  let hasHeard = false
  // what is told of a call often comes in pairs: the last one is found without a look
  let lastCall: ObservedCall | undefined = undefined
  let lastOrigin = ""
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
    const record = new UpstreamRecord(name, false, forgetIfDue)
    upstreams.set(name, record)
    record.begin(table)
    return record
  }

  /** The operation of a call at one of the endpoints; what is of no endpoint is counted at the call's own. */
  const find = (call: ObservedCall, origin = call.origin): Operation => {
    if (call === lastCall && origin === lastOrigin) return lastOperation
    if (hasCrowd && ofTheCrowd.has(call)) return crowdOperation
    const found = recordOf(call.upstream)?.operation(table, call, origin, options)
    if (found === undefined) {
      hasCrowd = true
      ofTheCrowd.add(call)
      return crowdOperation
    }
    lastCall = call
    lastOrigin = origin
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
        upstream.callsInFlight(table).value++
      },
      callEnded: (call, end) => {
        const operation = find(call)
        const { upstream } = operation
        upstream.inFlight--
        upstream.callsInFlight(table).value--
        operation.callEnded(call, end)
        lastCall = undefined
      },
      attemptStarted: (call, { origin }) => find(call, origin).attemptStarted(),
      attemptEnded: (call, end) => find(call, end.origin).attemptEnded(call, end),
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
