/**
 * Learns from an upstream's successes how long an attempt takes: the smoothed mean and mean deviation that TCP keeps of its round
 * trips (RFC 6298 §2, after Jacobson, "Congestion Avoidance and Control", 1988). It takes two numbers where a histogram takes 22 KB,
 * and its bound (the mean and four deviations) holds nearly all of them.
 */
export interface FairShareState {
  /** `NaN` before the first success. */
  meanMillis: number
  deviationMillis: number
}

export const makeFairShareState = (): FairShareState => ({ meanMillis: NaN, deviationMillis: 0 })

export const succeeded = (state: FairShareState, durationMillis: number): void => {
  if (!(durationMillis >= 0)) return
  if (Number.isNaN(state.meanMillis)) {
    state.meanMillis = durationMillis
    state.deviationMillis = durationMillis / 2
    return
  }
  state.deviationMillis += (Math.abs(durationMillis - state.meanMillis) - state.deviationMillis) / 4
  state.meanMillis += (durationMillis - state.meanMillis) / 8
}

/** Twice the bound: an attempt that usually takes that long may take so long again before anybody is to blame. */
export const millis = (
  { deviationMillis, meanMillis }: FairShareState,
  { floorMillis, unknownMillis }: { readonly floorMillis: number; readonly unknownMillis: number }
): number => (Number.isNaN(meanMillis) ? unknownMillis : Math.max(floorMillis, 2 * (meanMillis + 4 * deviationMillis)))
