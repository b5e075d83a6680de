/** The way of a call through its stages: what is asked in which order, and what each attempt is sent with. */

import * as AttemptTimeout from "@holdfast/core/AttemptTimeout"
import { CallError } from "@holdfast/core/CallError"
import type * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import * as Criticality from "@holdfast/core/Criticality"
import * as Deadline from "@holdfast/core/Deadline"
import type * as Hedge from "@holdfast/core/Hedge"
import * as Outcome from "@holdfast/core/Outcome"
import type * as RateLimit from "@holdfast/core/RateLimit"
import * as Reason from "@holdfast/core/Reason"
import * as Retry from "@holdfast/core/Retry"
import type { RetryBudget } from "@holdfast/core/RetryBudget"
import { stackless } from "@holdfast/core/Stackless"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Redacted from "effect/Redacted"
import * as Tracer from "effect/Tracer"
import type { ObservedCall } from "../../CallObserver.ts"
import { callPolicy, CurrentOverrides, none } from "../../HttpPolicy.ts"
import * as Redaction from "../../Redaction.ts"
import type * as CallLayer from "../../CallLayer.ts"
import type { Endpoint } from "../../Endpoints.ts"
import type * as Transport from "../../Transport.ts"
import type { Registered } from "../../UpstreamRegistry.ts"
import { annotated } from "../watch/annotated.ts"
import { appliedOf, type AttemptsMade, isUnsent, toldOf, withAttempt } from "./attemptsMade.ts"
import { type Encoded, type Given, requestIdOf } from "../request/encodeRequest.ts"
import { flightKey } from "./flightKey.ts"
import { type Arrived, follow } from "../request/follow.ts"
import { deadlineExceeded, type Guarded, guarded } from "./guard.ts"
import { aroundCall, type Seen } from "./callLayers.ts"
import { inTurn } from "./inTurn.ts"
import type { Live } from "./live.ts"
import { pace } from "./pace.ts"
import { isIssue, type Issue, refusedTemplate } from "../request/pathTemplate.ts"
import { callEnd, failureOf, type Observer } from "../watch/observing.ts"
import type { CallPolicy, RedirectPolicy } from "../policy/policyModel.ts"
import { withBaggage, withTrace } from "../request/propagation.ts"
import type { Hop } from "../request/redirects.ts"
import { isCallersAffair, judged, mayRepeat } from "../request/replay.ts"
import { bytesOf } from "../request/requestBody.ts"
import { randomHex } from "../request/requestId.ts"
import type { Runtime } from "./runtime.ts"
import * as SpanEvents from "../watch/spanEvents.ts"
import * as Spans from "../watch/spans.ts"
import { chosen, hasOtherPlace, listed } from "./chosen.ts"
import type { Decider, Refusal } from "./order.ts"
import type { Place } from "./places.ts"
import { type EndpointStages, endpointStages, hasRoomForHedge, through } from "./stages.ts"
import { tellUnobserved } from "../watch/unobserved.ts"
import { heardAttempt, WatchedAttempt } from "../watch/watchedAttempt.ts"

const once: Retry.Retry = Retry.make({ maxAttempts: 1 })

export type Attempt = Effect.Effect<unknown, Reason.Reason, unknown>

/** The question of a call, from any kind of caller. */
export interface Asked {
  readonly method: string
  /** The path as it was written; empty where nobody wrote one. */
  readonly template: string
  readonly operation: string
  readonly given: Given
  /** Why no request can be made of it. */
  readonly issue?: Issue | undefined
}

/** The question of an operation of an upstream. Of a path that is none only so much is told as holds no secret. */
export const askedOf = (method: string, template: string, given: Given): Asked => {
  const refused = refusedTemplate(template)
  if (refused === undefined) return { method, template, operation: `${method} ${template}`, given }
  return { method, template: refused.shown, operation: `${method} ${refused.shown}`, given, issue: refused.issue }
}

/**
 * The part of a call that differs between kinds: how its request is made, and what an attempt gives. The engine is given one for
 * each call, and whatever it knows of the kind it asks here.
 */
export interface Exchange extends Seen {
  /** Whether equal reads may have one answer. One that can be read once is no answer for two. */
  readonly isShareable: boolean
  /** Whether a success outlives the call: the exchange tells when it has ended, and ends the spans. */
  readonly isOpen: boolean
  /** Makes the request of a call, once for all its attempts. */
  readonly encode: (call: Call) => Encoded | Issue | Effect.Effect<Encoded, Issue>
  /** One exchange with the upstream, up to the answer that the caller asked for. */
  readonly attempt: (
    call: Call,
    place: Place,
    resend: number,
    headers: { readonly [name: string]: string },
    attempt: WatchedAttempt | undefined
  ) => Attempt
  /** The caller's answer from a response that a layer has made. */
  readonly made: (call: Call, response: CallLayer.Response) => Attempt
  /** The attempts of a call below that failed for this reason. */
  readonly beneath?: ((reason: Reason.Reason) => Pick<CallError, "applied" | "previous"> | undefined) | undefined
  /** Keeps the places of a success until it has ended. */
  readonly keepPlaces?: ((answer: unknown, giveBack: () => void) => void) | undefined
  /** Before an attempt that failed for this reason is repeated. */
  readonly onRetry?: ((call: Call, reason: Reason.Reason) => Effect.Effect<void>) | undefined
  /** The end as observers are told it; the end itself where it is left out. */
  readonly endedAs?: ((exit: Exit.Exit<unknown, CallError>) => Exit.Exit<unknown, CallError>) | undefined
  /** The result of a call that failed for good; `undefined` for its error. */
  readonly onGiveUp?:
    | ((
        call: Call,
        reason: Reason.Reason,
        stopped: Retry.RetryStopped
      ) => Effect.Effect<unknown, CallError> | undefined)
    | undefined
}

/**
 * The engine: a call under way, what it asks for, what it may do, and what has become of it. It is one object, and the loop and the stages
 * put their questions to it: closures for each of them would be most of the weight of a call in flight.
 */
export class Call
  implements
    Retry.Loop<unknown, Reason.Reason, unknown, unknown, CallError, never>,
    Guarded<unknown, Reason.Reason, unknown>,
    ObservedCall
{
  readonly runtime: Runtime
  readonly live: Live
  readonly policy: CallPolicy
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly context: Context.Context<never>
  readonly method: string
  readonly template: string
  private readonly issue: Issue | undefined
  readonly operation: string
  readonly requestId: string
  readonly given: Given
  readonly exchange: Exchange
  /** Read once: the fiber may have ended, or go on with another clock, while an answer is still open. */
  readonly clock: Clock.Clock
  readonly startMillis: number
  deadline: Deadline.Deadline | undefined
  readonly retry: Retry.Retry
  readonly budget: RetryBudget | undefined
  /** Where its attempts go: the upstream's one place, or the one that was chosen last. */
  place: Place
  /** Where its attempts went, or were refused, if that is chosen for each. */
  readonly tried: Array<Endpoint> | undefined
  /** Its observers, as one; `undefined` for none. */
  readonly observer: Observer | undefined
  /** Attempts that were sent: first ones, retries and hedges. */
  private sent = 0
  /** Whether the attempts under way replace one whose connection was stale. */
  private isFresh = false
  /** Attempts that the loop asked for. The call's own turn in the rate limit is the first one's. */
  private rounds = 0
  /** Why the attempt before this one failed, and what the rate limit said to this one. */
  private failedBefore: Reason.Reason | undefined = undefined
  private limited: Reason.RateLimited | undefined = undefined
  /** The failures of the attempts before, and the last refusal of a stage on this side. */
  private made: AttemptsMade | undefined = undefined
  private refused: Reason.Reason | undefined = undefined
  /** A layer's part in a failure: it had sent something that may have been applied, or it failed before anything was sent. */
  private layersPart: Map<Reason.Reason, "doubt" | "unsent"> | undefined = undefined
  /** Whether what a layer sent last asks for a part of a body; `undefined` where none stands around attempts. */
  private sentRange: boolean | undefined = undefined
  /** The last judgement: every stage asks, and a reason is judged once. */
  private judged: { readonly reason: Reason.Reason; readonly outcome: Outcome.Failure } | undefined = undefined
  request: Encoded | undefined = undefined
  span: Tracer.Span | undefined = undefined

  constructor(runtime: Runtime, fiber: Fiber.Fiber<unknown, unknown>, asked: Asked, exchange: Exchange) {
    const { given, issue, method, operation, template } = asked
    this.runtime = runtime
    this.live = runtime.live
    this.fiber = fiber
    this.context = fiber.context
    this.method = method
    this.template = template
    this.operation = operation
    this.issue = issue
    this.exchange = exchange
    this.clock = fiber.getRef(Clock.Clock)
    this.policy = callPolicy(this.live.policy, this.operation, fiber.getRef(CurrentOverrides))
    this.requestId = requestIdOf(runtime, given, fiber) ?? randomHex(fiber)
    this.given = given
    this.startMillis = this.nowMillis()
    this.deadline = Deadline.tighten(fiber.getRef(Deadline.Current), this.startMillis, deadlineMillis(this.policy))
    this.retry = this.policy.retry?.loop ?? once
    this.budget = this.live.stages.budget
    this.place = this.live.place ?? nowhere
    this.tried = runtime.endpoints === undefined ? undefined : []
    this.observer = runtime.observers.of(this.context)
  }

  get upstream(): string {
    return this.runtime.name
  }

  get origin(): string {
    if (this.place !== nowhere) return this.place.origin
    const { endpoints } = this.runtime
    return endpoints === undefined ? "" : (listed(endpoints)[0]?.origin ?? "")
  }

  get stages(): EndpointStages {
    return this.place.stages
  }

  get registered(): Registered | undefined {
    return this.runtime.registered
  }

  get keepPlaces(): ((answer: unknown, giveBack: () => void) => void) | undefined {
    return this.exchange.keepPlaces
  }

  run(span: Tracer.Span | undefined): Effect.Effect<unknown, CallError, unknown> {
    this.span = span
    if (span !== undefined) for (const [name, value] of this.runtime.layersShown) span.attribute(name, value)
    if (this.observer === undefined) tellUnobserved(this)
    const run = this.observer === undefined ? this.asked() : this.heard()
    return this.runtime.annotatesLogs ? annotated(this, run) : run
  }

  /** Tells of the call's begin and end. */
  private heard(): Effect.Effect<unknown, CallError, unknown> {
    let isStarted = false
    // begun inside the effect that ends it, so that no interruption can come between the two
    return Effect.onExitPrimitive(
      Effect.suspend(() => {
        isStarted = true
        this.observer?.callStarted?.(this)
        return this.asked()
      }),
      (exit) => {
        if (isStarted && (Exit.isFailure(exit) || !this.exchange.isOpen)) this.tellEnded(exit)
        return undefined
      }
    )
  }

  tellEnded(exit: Exit.Exit<unknown, CallError>): void {
    const { callEnded } = this.observer ?? nobody
    const told = this.exchange.endedAs?.(exit) ?? exit
    callEnded?.(this, callEnd(told, this.nowMillis() - this.startMillis, this.sent))
  }

  private asked(): Effect.Effect<unknown, CallError, unknown> {
    const request = this.issue ?? this.exchange.encode(this)
    if (Effect.isEffect(request)) {
      // a schema may do anything, and for as long as it likes
      return Effect.matchEffect(AttemptTimeout.bounded(request, Infinity, this.deadline, this.startMillis), {
        onFailure: (issue) => {
          if (isIssue(issue)) return this.notEncoded(issue)
          this.refused = issue
          return Effect.fail(this.failed(issue, "deadline"))
        },
        onSuccess: (request) => this.throughCallStages(request)
      })
    }
    return isIssue(request) ? this.notEncoded(request) : this.throughCallStages(request)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the call stage
  // -------------------------------------------------------------------------------------------------------------------

  private throughCallStages(request: Encoded): Effect.Effect<unknown, CallError, unknown> {
    const { deadline } = this
    if (deadline !== undefined && deadline.atMillis <= this.startMillis) {
      const spent = deadlineExceeded(deadline)
      this.onRefused(spent)
      return Effect.fail(this.failed(spent, "deadline"))
    }
    const { callLayers } = this.runtime
    if (callLayers === undefined) return this.throughStages(request)
    const made = (response: CallLayer.Response) => this.exchange.made(this, response)
    return aroundCall(this, callLayers, request, this.exchange, made, (request) => {
      // a layer that asks again has another turn
      this.rounds = 0
      return this.throughStages(request)
    })
  }

  private throughStages(request: Encoded): Effect.Effect<unknown, CallError, unknown> {
    this.request = request
    return this.shared(request, () => this.rateLimited(this.throughOthers(Retry.loop(this))))
  }

  /** Through the stages that run by themselves; with a refusal of theirs nothing was sent. */
  private throughOthers(run: Effect.Effect<unknown, CallError, unknown>): Effect.Effect<unknown, CallError, unknown> {
    const { others } = this.live.stages
    if (others === undefined) return run
    const running = { deadline: this.deadline, classify: () => Outcome.ignored }
    return Effect.mapError(through<CallError>(others, run, running), (error) => {
      if (error instanceof CallError) return error
      this.onRefused(error)
      return this.failed(error, "not-retryable")
    })
  }

  /** Joins an equal read that is under way, where the policy says so. */
  private shared(
    request: Encoded,
    run: () => Effect.Effect<unknown, CallError, unknown>
  ): Effect.Effect<unknown, CallError, unknown> {
    const flights = this.live.stages.singleFlight
    if (flights === undefined || !this.policy.singleFlight || !this.exchange.isShareable) return run()
    // a layer may say to the upstream who calls, and one caller's answer is not another's
    if (this.runtime.attemptLayers?.some(({ perCaller }) => perCaller !== false) === true) return run()
    if ((this.method !== "GET" && this.method !== "HEAD") || request.body.body !== undefined) return run()
    // a run has the policy's time, and each caller that waits for it its own: a caller with little time must not end it for the others
    this.deadline = Deadline.tighten(undefined, this.startMillis, deadlineMillis(this.policy))
    const reader = {
      method: this.method,
      template: this.template,
      policy: this.live.policy,
      overrides: this.fiber.getRef(CurrentOverrides),
      criticality: this.fiber.getRef(Criticality.Current),
      headers: this.callersHeaders()
    }
    const key = flightKey(reader, request, this.given)
    let isUnderWay = false
    let joinedMillis: number | undefined
    const own = Effect.suspend(() => {
      isUnderWay = true
      return run()
    })
    const onJoined = (shared: Context.Context<never>) => {
      isUnderWay = true
      joinedMillis ??= this.nowMillis()
      if (this.span !== undefined) {
        SpanEvents.joined(this.span, this.nowNanos(), Context.getOrUndefined(shared, Tracer.ParentSpan))
      }
      this.observer?.joined?.(this)
    }
    const shared = Effect.mapError(flights.run(own, { key, onJoined, joinedDeadline: this.deadline }), (error) => {
      if (error instanceof CallError) return error
      if (!isUnderWay) this.onRefused(error, "singleFlight")
      return this.failed(error, error._tag === "DeadlineExceeded" ? "deadline" : "not-retryable")
    })
    if (this.span === undefined) return shared
    return Effect.onExitPrimitive(shared, () => {
      if (joinedMillis !== undefined) {
        SpanEvents.waited(this.span, this.nowNanos(), "singleFlight", this.nowMillis() - joinedMillis)
      }
      return undefined
    })
  }

  /** Waits for the call's turn in the rate limit, within the deadline. */
  private rateLimited(run: Effect.Effect<unknown, CallError, unknown>): Effect.Effect<unknown, CallError, unknown> {
    const limit = this.live.stages.rateLimit
    if (limit === undefined) return run
    const refused = (reason: Reason.RateLimited) => {
      this.onRefused(reason)
      return this.failed(reason, "not-retryable")
    }
    const waited = (stage: "rateLimit", millis: number) => this.onWaited(stage, millis)
    return inTurn(limit, this.clock, this.deadline, run, refused, waited)
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the questions of the retry loop
  // -------------------------------------------------------------------------------------------------------------------

  attempt(_: number, isFresh: boolean): Attempt {
    this.isFresh = isFresh
    // one reason may stand for two attempts, and mean another thing of a fresh one
    this.judged = undefined
    const limit = this.live.stages.rateLimit
    if (this.rounds++ === 0 || limit === undefined) return this.hedged()
    // a retry is a request, and asks before it holds anything of the stages below
    return this.paid(limit, this.hedged())
  }

  private hedged(): Attempt {
    const hedge = this.policy.hedge && this.request?.repeatable === true ? this.live.stages.hedge : undefined
    if (hedge === undefined) return this.guarded(0)
    const limit = this.live.stages.rateLimit
    const attempt = (ordinal: number): Attempt => {
      const run = this.guarded(ordinal)
      const cutOff = Effect.onInterrupt(run, () => Effect.sync(() => this.attempted(undefined, "maybe")))
      return ordinal === 0 || limit === undefined ? cutOff : this.paid(limit, cutOff)
    }
    return hedge.run(attempt, {
      repeatable: () => this.request?.body.replayable() === true,
      mayStart: () => {
        const nowMillis = this.nowMillis()
        return (limit === undefined || limit.hasRoom(nowMillis)) && this.hasPlaceForHedge(nowMillis)
      },
      classify: (exit) => {
        const outcome = this.outcomeOf(exit)
        const reason = failureOf(exit)
        if (reason !== undefined) this.attempted(reason, appliedOf(outcome, reason))
        return outcome
      },
      deadline: this.deadline,
      onEvent: this.span === undefined && this.observer === undefined ? undefined : (event) => this.onHedge(event)
    })
  }

  /** An attempt through the stages of the place where it goes. */
  private guarded(ordinal: number): Attempt {
    const { endpoints } = this.runtime
    const { places } = this.live
    return endpoints === undefined || places === undefined
      ? guarded<unknown, Reason.Reason, unknown>(this, ordinal)
      : chosen(this, endpoints, places, ordinal)
  }

  /** Whether another attempt has somewhere else to go. */
  private hasOtherPlace(): boolean {
    const { endpoints } = this.runtime
    const { places } = this.live
    return endpoints !== undefined && places !== undefined && hasOtherPlace(this, endpoints, places, this.nowMillis())
  }

  private hasPlaceForHedge(nowMillis: number): boolean {
    const { endpoints } = this.runtime
    const { places } = this.live
    return endpoints === undefined || places === undefined
      ? hasRoomForHedge(this.stages, nowMillis)
      : hasOtherPlace(this, endpoints, places, nowMillis)
  }

  /** An attempt that waits for a turn of its own in the rate limit. */
  private paid(limit: RateLimit.RateLimit, attempt: Attempt): Attempt {
    const refused = (reason: Reason.RateLimited) => {
      this.limited = reason
      this.onRefused(reason)
      return reason
    }
    const waited = (stage: "rateLimit", millis: number) => this.onWaited(stage, millis)
    return inTurn(limit, this.clock, this.deadline, attempt, refused, waited)
  }

  private onHedge(event: Hedge.Event): void {
    if (this.span !== undefined) SpanEvents.hedge(this.span, this.nowNanos(), event)
    const { hedgeSettled, hedgeStarted } = this.observer ?? nobody
    switch (event._tag) {
      case "HedgeStarted":
        if (!event.observed) hedgeStarted?.(this, { afterMillis: Duration.toMillis(event.after) })
        return
      case "HedgeSettled":
        // without a winner its caller has left
        if (event.winner !== undefined) hedgeSettled?.(this, { isHedge: event.winner > 0 })
        return
      case "HedgeDenied":
        return
    }
  }

  /** The judgement that the retry goes by. A server speaks of its own endpoint: the wait that it asks for is not one for another. */
  classify(reason: Reason.Reason): Outcome.Failure {
    const outcome = this.judge(reason)
    const isServers = outcome.retryAfter !== undefined && "status" in reason
    return isServers && this.hasOtherPlace() ? { ...outcome, retryAfter: undefined } : outcome
  }

  private judge(reason: Reason.Reason): Outcome.Failure {
    if (this.judged?.reason === reason) return this.judged.outcome
    const { classify, name: upstream } = this.runtime
    const by = { upstream, classify, refusals: this.policy.retry?.refusals, isFresh: this.isFresh }
    const usual = judged(reason, by)
    const isDoubtful = this.layersPart?.get(reason) === "doubt" || this.exchange.beneath?.(reason)?.applied === "maybe"
    const outcome: Outcome.Failure = isDoubtful ? { ...usual, applied: "maybe" } : usual
    this.judged = { reason, outcome }
    return outcome
  }

  replayable(outcome: Outcome.Failure, reason: Reason.Reason): boolean {
    const { request } = this
    if (request === undefined) return false
    const nonIdempotent = this.policy.retry?.nonIdempotent ?? "never"
    return mayRepeat(request.repeatable, nonIdempotent, outcome, reason) && request.body.replayable()
  }

  /** Remembers what an attempt that was sent came to. */
  attempted(reason: Reason.Reason | undefined, applied: CallError["applied"]): void {
    const beneath = reason === undefined ? undefined : this.exchange.beneath?.(reason)
    if (beneath !== undefined) this.made = withAttempt(this.made, beneath.previous, beneath.applied)
    if (reason === undefined || !isUnsent(reason, this.refused)) this.made = withAttempt(this.made, reason, applied)
  }

  onRetry(reason: Reason.Reason, scheduled: Retry.Scheduled): Effect.Effect<void> {
    this.attempted(reason, scheduled.outcome.applied)
    if (reason !== this.limited) this.failedBefore = reason
    if (this.span !== undefined) {
      SpanEvents.retry(this.span, this.nowNanos(), reason, { ...scheduled, resend: this.sent })
    }
    this.observer?.retryScheduled?.(this, {
      reason,
      delayMillis: Duration.toMillis(scheduled.delay),
      resend: this.sent,
      ...(scheduled.isFresh ? { isFresh: true } : {})
    })
    return this.exchange.onRetry?.(this, reason) ?? Effect.void
  }

  onGiveUp(reason: Reason.Reason, { outcome, stopped }: Retry.GivenUp): Effect.Effect<unknown, CallError> {
    this.attempted(reason, outcome.applied)
    // an attempt that this side did not send is not why the call failed
    if (reason === this.limited && this.failedBefore !== undefined) return this.gaveUp(this.failedBefore, "rate-limit")
    return this.gaveUp(reason, stopped)
  }

  private gaveUp(reason: Reason.Reason, stopped: Retry.RetryStopped): Effect.Effect<unknown, CallError> {
    if (this.span !== undefined) SpanEvents.giveUp(this.span, this.nowNanos(), reason, stopped)
    return this.exchange.onGiveUp?.(this, reason, stopped) ?? Effect.fail(this.failed(reason, stopped))
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the questions of an attempt's stages
  // -------------------------------------------------------------------------------------------------------------------

  /** An interruption says nothing of the upstream, nor does a caller in a hurry; a defect is a bug on this side. */
  outcomeOf(exit: Exit.Exit<unknown, Reason.Reason>): Outcome.Outcome {
    if (Exit.isSuccess(exit)) return Outcome.success
    const reason = failureOf(exit)
    if (reason === undefined || isCallersAffair(reason)) return Outcome.ignored
    // the upstream was not asked, and cannot be to blame
    return this.layersPart?.get(reason) === "unsent" ? Outcome.ignored : this.judge(reason)
  }

  onWaited(stage: "rateLimit" | "bulkhead", millis: number): void {
    if (this.span !== undefined) SpanEvents.waited(this.span, this.nowNanos(), stage, millis)
    this.observer?.waited?.(this, { stage, millis })
  }

  onRefused(reason: Refusal, stage?: Decider): void {
    this.refused = reason
    if (this.span !== undefined) SpanEvents.refused(this.span, this.nowNanos(), reason, stage)
    this.observer?.refused?.(this, reason)
  }

  /** An attempt layer sends once more within its attempt. */
  onTriedAgain(): void {
    if (this.span !== undefined) SpanEvents.triedAgain(this.span, this.nowNanos())
  }

  /** A layer was in the way of an attempt that failed. */
  onLayersPart(reason: Reason.Reason, part: "doubt" | "unsent"): void {
    this.layersPart ??= new Map()
    this.layersPart.set(reason, part)
    if (this.judged?.reason === reason) this.judged = undefined
  }

  onCircuit(state: CircuitBreaker.Phase): void {
    if (this.span !== undefined) SpanEvents.circuit(this.span, this.nowNanos(), state)
  }

  send(nowMillis: number, ordinal: number): Attempt {
    return this.sendTo(this.place, nowMillis, ordinal)
  }

  sendTo(place: Place, nowMillis: number, ordinal: number): Attempt {
    const { others } = place.stages
    if (others === undefined) return this.sendNow(place, nowMillis, ordinal)
    let isSent = false
    const sent = Effect.suspend(() => {
      isSent = true
      return this.sendNow(place, this.nowMillis(), ordinal)
    })
    const running = {
      deadline: this.deadline,
      classify: (exit: Exit.Exit<unknown, Reason.Reason>) => this.outcomeOf(exit)
    }
    return Effect.tapError(through<Reason.Reason>(others, sent, running), (reason) =>
      // nothing but a stage can have failed what was not sent
      Effect.sync(() => {
        if (!isSent) this.onRefused(reason as Refusal)
      })
    )
  }

  private sendNow(place: Place, nowMillis: number, ordinal: number): Attempt {
    const resend = this.sent++
    const learned = this.policy.learnsTimeout ? place.stages.attemptTimeout : undefined
    const limitMillis = learned?.limitMillis(nowMillis) ?? fixedLimit(this.policy)
    const headers = this.headersOf(limitMillis, nowMillis)
    const { observer } = this
    if (this.span === undefined && observer === undefined) {
      return this.timed(place, limitMillis, nowMillis, this.exchange.attempt(this, place, resend, headers, undefined))
    }
    const attempt = new WatchedAttempt(place.origin, resend, ordinal > 0, nowMillis, this.clock)
    const run =
      this.span === undefined
        ? this.timed(place, limitMillis, nowMillis, this.exchange.attempt(this, place, resend, headers, attempt))
        : this.traced(place, attempt, (span) => {
            attempt.span = span
            const traced = withTrace(headers, this.runtime.propagation, span)
            return this.timed(
              place,
              limitMillis,
              nowMillis,
              this.exchange.attempt(this, place, resend, traced, attempt)
            )
          })
    if (observer === undefined) return run
    const hearing = {
      nowMillis: () => this.nowMillis(),
      reasonOf: (reason: Reason.Reason) => reason,
      requestBytes: () => this.request?.body.bytes ?? bytesOf(this.request?.body.body)
    }
    return heardAttempt(observer, this, attempt, hearing, run)
  }

  /** Makes an attempt within its span. */
  private traced(place: Place, attempt: WatchedAttempt, run: (span: Tracer.Span) => Attempt): Attempt {
    const within = this.exchange.isOpen ? Spans.openAttemptSpan : Spans.withAttemptSpan
    return within(this.attemptSpan(place, attempt), run)
  }

  private attemptSpan({ origin, server }: Place, { isHedge, resend }: WatchedAttempt): Spans.AttemptSpan {
    return {
      method: this.method,
      template: this.template,
      origin,
      server,
      shownPath: this.request?.shownPath ?? "",
      resend,
      isHedge
    }
  }

  /** Bounds an attempt, and tells the learned limit what became of it. */
  private timed({ stages }: Place, limitMillis: number, startMillis: number, attempt: Attempt): Attempt {
    const learned = this.policy.learnsTimeout ? stages.attemptTimeout : undefined
    const callers = this.request?.body.callers
    const within = AttemptTimeout.bounded(
      callers === undefined ? attempt : Effect.mapError(attempt, callers.blamed),
      limitMillis,
      this.deadline,
      startMillis,
      stages.fairShare.millis()
    )
    if (learned === undefined) return within
    return Effect.onExitPrimitive(within, (exit) => {
      const nowMillis = this.nowMillis()
      learned.settle(nowMillis, limitMillis, nowMillis - startMillis, this.outcomeOf(exit))
      return undefined
    })
  }

  /** The request's headers, with the caller's baggage where it is sent. */
  callersHeaders(): { readonly [name: string]: string } {
    const given = this.request?.headers ?? {}
    return this.runtime.propagation.baggage ? withBaggage(given, this.context) : given
  }

  /**
   * The request's headers, with the time that the upstream has: relative, because clocks differ, and this attempt's own. There is some
   * left, or nothing would be sent; a part of a millisecond is not told as none.
   */
  private headersOf(limitMillis: number, nowMillis: number): { readonly [name: string]: string } {
    const headers = this.callersHeaders()
    const name = this.live.policy.deadlineHeader
    if (name === undefined) return headers
    const left = Math.min(limitMillis, this.deadline === undefined ? Infinity : this.deadline.atMillis - nowMillis)
    return Number.isFinite(left) ? { ...headers, [name]: String(Math.max(1, Math.floor(left))) } : headers
  }

  /** The request of one attempt, ready for a transport. */
  wireRequest(
    place: Place,
    resend: number,
    headers: { readonly [name: string]: string },
    limits: Transport.Limits,
    attempt: WatchedAttempt | undefined
  ): Transport.Request {
    const { given, request, runtime } = this
    const wire: Transport.Request = {
      upstream: runtime.name,
      operation: this.operation,
      resend,
      method: this.method,
      origin: place.origin,
      path: request?.path ?? "",
      headers,
      body: request?.body.body,
      expectedStatus: given.expectedStatus ?? noStatus,
      limits
    }
    if (this.isFresh) Object.assign(wire, onFreshConnection)
    if (attempt === undefined) return wire
    const isMeasured = attempt.span !== undefined || this.observer?.attemptEnded !== undefined
    return isMeasured ? { ...wire, onTimings: attempt.onTimings } : wire
  }

  /** Whether a part of a body was asked for, by the caller or by a layer. */
  asksForPart(): boolean {
    return this.sentRange ?? this.request?.headers["range"] !== undefined
  }

  /** Layers may have made another request of it. */
  onSent({ headers }: Transport.Request): void {
    this.sentRange = headers["range"] !== undefined
  }

  /** Hears what the upstream says of its own limit; another endpoint, where a redirect led, has limits of its own. */
  paced(
    place: Place,
    endpoint: string,
    response: { readonly status: number; readonly headers: { readonly [name: string]: string } }
  ): void {
    if (endpoint !== place.endpoint) return
    pace(this.live.stages.rateLimit, this.clock, response.status, response.headers)
  }

  /** Follows a redirect to the response that is none. */
  followed<R extends { readonly status: number; readonly headers: { readonly [name: string]: string } }>(
    place: Place,
    policy: RedirectPolicy,
    from: Arrived<R>,
    send: (request: Transport.Request) => Effect.Effect<R, Reason.Reason>,
    discard: (response: R) => Effect.Effect<void>,
    attempt: WatchedAttempt | undefined
  ): Effect.Effect<Arrived<R>, Reason.Reason> {
    return follow(
      {
        policy,
        replayable: () => this.request?.body.replayable() === true,
        secretHeaders: this.secretHeaders(),
        send,
        discard,
        onHop: (status, hop) => {
          // counted afterwards: an attempt that waited here would hold the places of others
          if (hop.origin === place.origin) this.live.stages.rateLimit?.spend(this.nowMillis())
          attempt?.redirected(hopShown(status, hop))
        }
      },
      from
    )
  }

  /** Names of the headers that were declared as secrets, with the upstream or with this request. */
  private secretHeaders(): ReadonlySet<string> {
    const names = new Set(this.runtime.secretHeaders)
    for (const [name, value] of Object.entries(this.given.headers ?? {})) {
      if (Redacted.isRedacted(value)) names.add(name.toLowerCase())
    }
    return names
  }

  // -------------------------------------------------------------------------------------------------------------------

  nowMillis(): number {
    return Deadline.nowMillisUnsafe(this.clock)
  }

  /** The instant of an event, on the clock that spans use. */
  private nowNanos(): bigint {
    return this.clock.currentTimeNanosUnsafe()
  }

  notEncoded(issue: Issue): Effect.Effect<never, CallError> {
    const reason = stackless(() => new Reason.RequestEncodeFailed(issue))
    return Effect.fail(this.failed(reason, "not-retryable"))
  }

  failed(reason: Reason.Reason, stopped: Retry.RetryStopped): CallError {
    return stackless(
      () =>
        new CallError({
          upstream: this.runtime.name,
          operation: this.operation,
          requestId: this.requestId,
          attempts: this.sent,
          elapsed: Duration.millis(this.nowMillis() - this.startMillis),
          retryStopped: stopped,
          reason,
          ...toldOf(this.made, reason, this.refused)
        })
    )
  }
}

/** Of a call whose first place is still to be chosen. */
const nowhere: Place = {
  origin: "",
  endpoint: "",
  server: { scheme: "http", host: "", port: 80 },
  stages: endpointStages(none)
}

/** An observer that hears nothing. */
const nobody: Partial<Observer> = {}

const noStatus: ReadonlyArray<number> = []

const onFreshConnection: Pick<Transport.Request, "freshConnection"> = { freshConnection: true }

/** A redirect as spans show it: its path may be the secret. */
const hopShown = (status: number, hop: Hop) => ({
  "http.response.status_code": status,
  "http.request.method": hop.method,
  "url.full": `${hop.origin}/${Redaction.redacted}`
})

const deadlineMillis = (policy: CallPolicy): number | undefined =>
  policy.deadline === undefined ? undefined : Duration.toMillis(policy.deadline)

const fixedLimit = (policy: CallPolicy): number =>
  policy.attemptTimeout === undefined ? Infinity : Duration.toMillis(policy.attemptTimeout)
