/** A duration, as short as a glance needs it. */
export const shownMillis = (millis: number): string => {
  if (millis < 9.95) return `${millis.toFixed(1)} ms`
  if (millis < 999.5) return `${Math.round(millis)} ms`
  if (millis < 59_995) return `${(millis / 1000).toFixed(2)} s`
  const seconds = Math.round(millis / 1000)
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
}
