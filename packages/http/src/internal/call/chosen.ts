/**
 * How an attempt finds its place, where there are several: the endpoints choose one, its stages are asked, and where they refuse, the
 * attempt goes on to the next that it has not tried. The chosen endpoint hears how the attempt ended, once.
 */

import type * as CircuitBreaker from "@holdfast/core/CircuitBreaker"
import type * as Deadline from "@holdfast/core/Deadline"
import { ignored, type Outcome } from "@holdfast/core/Outcome"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Predicate from "effect/Predicate"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Endpoints from "../../Endpoints.ts"
import type { Encoded } from "../request/encodeRequest.ts"
import { type Guarded, guarded } from "./guard.ts"
import type { Refusal } from "./order.ts"
import type { Place, Places } from "./places.ts"
import { type EndpointStages, hasRoom, hasRoomForHedge } from "./stages.ts"

type Attempt = Effect.Effect<unknown, Reason.Reason, unknown>

/** The call whose attempts they are. */
export interface Choosing {
  readonly upstream: string
  readonly operation: string
  readonly method: string
  readonly requestId: string
  readonly request: Encoded | undefined
  readonly context: Context.Context<never>
  readonly fiber: Fiber.Fiber<unknown, unknown>
  readonly deadline: Deadline.Deadline | undefined
  readonly tried: Array<Endpoints.Endpoint> | undefined
  place: Place
  readonly keepPlaces: ((answer: unknown, giveBack: () => void) => void) | undefined
  readonly nowMillis: () => number
  readonly sendTo: (place: Place, nowMillis: number, ordinal: number) => Attempt
  readonly outcomeOf: (exit: Exit.Exit<unknown, Reason.Reason>) => Outcome
  readonly onWaited: (stage: "bulkhead", millis: number) => void
  readonly onRefused: (reason: Refusal) => void
  readonly onCircuit: (state: CircuitBreaker.Phase) => void
}

/** An attempt at the place that is chosen for it. */
export const chosen = (call: Choosing, endpoints: Endpoints.Endpoints, places: Places, ordinal: number): Attempt =>
  // made anew for every run: what is run twice is chosen twice
  Effect.suspend(() => new ChosenAttempt(call, endpoints, places, ordinal).next(undefined))

/** Whether a hedge has somewhere to go: an endpoint that this call has not tried, and that is well. */
export const hasOtherPlace = (
  { tried }: Choosing,
  endpoints: Endpoints.Endpoints,
  places: Places,
  nowMillis: number
): boolean =>
  listed(endpoints).some(({ origin }) => {
    if (hasTried(tried, origin)) return false
    const stages = places.known(origin)
    return stages === undefined || hasRoomForHedge(stages, nowMillis)
  })

/** The endpoints that there are; none where that cannot be said, which is no reason to end a call that is under way. */
export const listed = (endpoints: Endpoints.Endpoints): ReadonlyArray<Endpoints.Endpoint> => {
  try {
    const found = endpoints.list()
    return Array.isArray(found) ? found.filter(isEndpoint) : []
  } catch {
    return []
  }
}

const hasTried = (tried: ReadonlyArray<Endpoints.Endpoint> | undefined, origin: string): boolean =>
  tried?.some((endpoint) => endpoint.origin === origin) === true

/** Endpoints that one attempt goes on to, each having refused it: where they are many, the rest would mostly refuse it too. */
const mostRefusals = 8

class ChosenAttempt implements Guarded<unknown, Reason.Reason, unknown> {
  readonly #call: Choosing
  readonly #endpoints: Endpoints.Endpoints
  readonly #places: Places
  readonly #ordinal: number
  #place: Place
  #choice: Endpoints.Choice | undefined
  /** The outcome of the attempt, once it was sent. */
  #outcome: Outcome | undefined
  #isSent = false
  #refusals = 0
  /** Whether it has waited for a place: a second wait would make a limit twice as long. */
  #hasWaited = false
  /** Why the place that was chosen last did not let it through. */
  #refusal: Refusal | undefined
  /** Gives back the places that a success holds on to. */
  #giveBack: (() => void) | undefined

  constructor(call: Choosing, endpoints: Endpoints.Endpoints, places: Places, ordinal: number) {
    this.#call = call
    this.#endpoints = endpoints
    this.#places = places
    this.#ordinal = ordinal
    this.#place = call.place
  }

  /** Goes to the next place, the one before having refused. */
  next(before: Refusal | undefined): Attempt {
    this.#refusal = undefined
    this.#isSent = false
    const through = Effect.onExitPrimitive(
      // chosen inside the effect that settles it, so that no interruption can come between the two
      Effect.suspend(() => this.#through(before)),
      (exit) => {
        this.#settle(exit)
        return undefined
      }
    )
    return Effect.catch(through, (reason) => {
      const refusal = this.#refusal
      if (refusal === undefined || refusal !== reason || refusal._tag === "DeadlineExceeded") return Effect.fail(reason)
      const first = before === undefined ? refusal : sooner(before, refusal)
      return this.#hasWaited || ++this.#refusals >= mostRefusals ? Effect.fail(first) : this.next(first)
    })
  }

  #through(before: Refusal | undefined): Attempt {
    const call = this.#call
    const nowMillis = call.nowMillis()
    const found = this.#endpoints.choose(this.#asking(nowMillis))
    if (isRefusal(found)) {
      if (before !== undefined) return Effect.fail(before)
      call.onRefused(found)
      return Effect.fail(found)
    }
    if (!isChoice(found)) return Effect.die(new TypeError(noChoice(call, this.#endpoints, found)))
    this.#choice = found
    const { endpoint } = found
    const isTried = hasTried(call.tried, endpoint.origin)
    // an endpoint that has refused would refuse again
    if (isTried && before !== undefined) return Effect.fail(before)
    if (isTried && this.#ordinal > 0) {
      const nowhere = stackless(
        () => new Reason.NoEndpointAvailable({ detail: "a hedge goes where its call has not been" })
      )
      call.onRefused(nowhere)
      return Effect.fail(nowhere)
    }
    visit(call.tried, endpoint)
    this.#place = this.#places.at(endpoint.origin, nowMillis)
    call.place = this.#place
    return guarded<unknown, Reason.Reason, unknown>(this, this.#ordinal)
  }

  #asking(nowMillis: number): Endpoints.Attempt {
    const { context, fiber, method, operation, request, requestId, tried = [] } = this.#call
    const places = this.#places
    return {
      operation,
      method,
      requestId,
      headers: request?.headers ?? {},
      isHedge: this.#ordinal > 0,
      tried,
      nowMillis,
      context,
      random: () => fiber.getRef(Random.Random).nextDoubleUnsafe(),
      hasRoom: ({ origin }) => {
        const stages = places.known(origin)
        if (stages === undefined) return true
        return this.#ordinal > 0 ? hasRoomForHedge(stages, nowMillis) : hasRoom(stages, nowMillis)
      }
    }
  }

  #settle(exit: Exit.Exit<unknown, Reason.Reason>): void {
    const choice = this.#choice
    this.#choice = undefined
    const { keepPlaces } = this.#call
    if (choice?.settle === undefined && this.#giveBack === undefined) return
    const nowMillis = this.#call.nowMillis()
    // an attempt that was never sent says nothing of the endpoint
    const outcome = this.#isSent ? (this.#outcome ?? this.#call.outcomeOf(exit)) : ignored
    const giveBack = this.#giveBack
    const over = () => {
      giveBack?.()
      choice?.settle?.(nowMillis, outcome)
    }
    // an answer that is read later is load until then; what was learned of it, it has learned by now
    if (keepPlaces !== undefined && Exit.isSuccess(exit)) keepPlaces.call(this.#call, exit.value, over)
    else over()
  }

  // -------------------------------------------------------------------------------------------------------------------
  // the questions of its stages
  // -------------------------------------------------------------------------------------------------------------------

  get stages(): EndpointStages {
    return this.#place.stages
  }

  get fiber(): Fiber.Fiber<unknown, unknown> {
    return this.#call.fiber
  }

  get deadline(): Deadline.Deadline | undefined {
    return this.#call.deadline
  }

  get keepPlaces(): ((value: unknown, giveBack: () => void) => void) | undefined {
    return this.#call.keepPlaces === undefined ? undefined : (_, giveBack) => void (this.#giveBack = giveBack)
  }

  send(nowMillis: number, ordinal: number): Attempt {
    this.#isSent = true
    return this.#call.sendTo(this.#place, nowMillis, ordinal)
  }

  outcomeOf(exit: Exit.Exit<unknown, Reason.Reason>): Outcome {
    this.#outcome = this.#call.outcomeOf(exit)
    return this.#outcome
  }

  onWaited(stage: "bulkhead", millis: number): void {
    this.#hasWaited = true
    this.#call.onWaited(stage, millis)
  }

  onRefused(reason: Refusal): void {
    this.#refusal = reason
    this.#call.onRefused(reason)
  }

  onCircuit(state: CircuitBreaker.Phase): void {
    this.#call.onCircuit(state)
  }
}

/** Of two refusals, the one that is over first: a call that waits for a place waits for that. */
const sooner = (one: Refusal, other: Refusal): Refusal => (waitMillis(other) < waitMillis(one) ? other : one)

const waitMillis = (reason: Refusal): number =>
  "retryAfter" in reason && reason.retryAfter !== undefined ? Duration.toMillis(reason.retryAfter) : Infinity

/** Puts an endpoint behind all that the call has gone to. */
const visit = (tried: Array<Endpoints.Endpoint> | undefined, endpoint: Endpoints.Endpoint): void => {
  if (tried === undefined) return
  const index = tried.findIndex(({ origin }) => origin === endpoint.origin)
  if (index >= 0) tried.splice(index, 1)
  tried.push(endpoint)
}

const isPolicyReason = Schema.is(Reason.PolicyReason)

/** A reason is an error, so that a choice, which is made for every attempt, is told from it at once. */
const isRefusal = (found: unknown): found is Reason.PolicyReason => found instanceof Error && isPolicyReason(found)

const isEndpoint = (found: unknown): found is Endpoints.Endpoint =>
  Predicate.hasProperty(found, "origin") && Predicate.isString(found.origin)

const isChoice = (found: unknown): found is Endpoints.Choice =>
  Predicate.hasProperty(found, "endpoint") &&
  isEndpoint(found.endpoint) &&
  (!Predicate.hasProperty(found, "settle") || found.settle === undefined || Predicate.isFunction(found.settle))

const noChoice = ({ upstream }: Choosing, { name }: Endpoints.Endpoints, found: unknown): string =>
  `${upstream}: the endpoints \`${name}\` must choose an endpoint with an origin, or give a reason why there is none, ` +
  `got ${found === null ? "null" : typeof found}`
