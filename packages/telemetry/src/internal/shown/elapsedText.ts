/** A measured time as a person reads it, as in the line of a `CallError`: `0.4ms`, `12ms`, `1.24s`. */
export const elapsedText = (millis: number): string => {
  if (millis < 10) return `${Number(millis.toFixed(1))}ms`
  return millis < 1000 ? `${Math.round(millis)}ms` : `${(millis / 1000).toFixed(2)}s`
}
