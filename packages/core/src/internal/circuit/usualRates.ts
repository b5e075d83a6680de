/** What a window's rates are held against where nobody says otherwise, in memory and in a store. */
export const usualRates = { failureRate: 0.5, minimumCalls: 20 } as const
