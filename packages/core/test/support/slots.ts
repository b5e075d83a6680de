import { Schema } from "effect"
import { assert } from "@effect/vitest"

/** What gives each call a time of its own: a token bucket, a sliding window. */
export interface Slots<State, Slot extends { readonly atMillis: number }> {
  readonly waitFor: (state: State, nowMillis: number, cost: number, notBeforeMillis: number) => number
  readonly take: (state: State, nowMillis: number, cost: number, waitMillis: number) => Slot | undefined
  readonly giveBack: (state: State, nowMillis: number, slot: Slot) => boolean
  readonly postpone: (state: State, nowMillis: number, untilMillis: number) => void
}

/** A call that went, or will. One that went at once has no slot. */
export interface Gone<Slot> {
  readonly slot: Slot | undefined
  readonly atMillis: number
  readonly cost: number
}

export const at = (gone: Gone<{ readonly atMillis: number }>): number => gone.slot?.atMillis ?? gone.atMillis

export const int = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

export const kind = Schema.Literals(["take", "take", "take", "giveBack", "postpone"])

export interface Happening {
  readonly event: typeof kind.Type
  readonly jumpMillis: number
  readonly cost: number
  readonly notBeforeMillis: number
  readonly who: number
}

/** Plays what happens, and gives every call that went or will, with the time as the state sees it. */
export const playOn =
  <State, Slot extends { readonly atMillis: number }>(slots: Slots<State, Slot>) =>
  (
    state: State,
    events: ReadonlyArray<Happening>,
    after: (gone: ReadonlyArray<Gone<Slot>>, latest: number) => void = () => {}
  ): { readonly gone: ReadonlyArray<Gone<Slot>>; readonly latest: number } => {
    let now = 1e6
    let seen = -Infinity
    let gone: Array<Gone<Slot>> = []
    for (const { cost, event, jumpMillis, notBeforeMillis, who } of events) {
      now += jumpMillis
      const latest = Math.max(seen, now)
      if (event === "take") {
        const wait = slots.waitFor(state, now, cost, latest + notBeforeMillis)
        if (wait === Infinity) continue
        seen = latest
        const slot = slots.take(state, now, cost, wait)
        assert.strictEqual(slot === undefined, wait === 0)
        gone.push({ slot, atMillis: latest + wait, cost })
      } else if (event === "giveBack") {
        const given = gone[who % Math.max(1, gone.length)]
        if (given?.slot === undefined) continue
        seen = latest
        const isPending = given.slot.atMillis > latest
        assert.strictEqual(slots.giveBack(state, now, given.slot), isPending)
        if (isPending) gone = gone.filter((other) => other !== given)
      } else {
        slots.postpone(state, now, latest + notBeforeMillis)
        seen = latest
      }
      after(gone, latest)
    }
    return { gone, latest: Math.max(seen, now) }
  }

/** The waits of so many calls that come at the same time and cost one. */
export const waitsOn =
  <State, Slot extends { readonly atMillis: number }>(slots: Slots<State, Slot>) =>
  (state: State, count: number, now: number): ReadonlyArray<number> =>
    Array.from({ length: count }, () => {
      const wait = slots.waitFor(state, now, 1, -Infinity)
      slots.take(state, now, 1, wait)
      return wait
    })
