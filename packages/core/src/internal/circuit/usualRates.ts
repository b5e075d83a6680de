/** The usual thresholds of a window's rates, in memory and in a store. */
export const usualRates = { failureRate: 0.5, minimumCalls: 20 } as const
