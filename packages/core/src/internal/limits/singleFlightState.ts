/** The runs in flight, by their keys, and how many callers wait for each. */
export interface SingleFlightState<K, F extends Flight> {
  readonly flights: Map<K, F>
  /** Callers that may wait for one run. */
  maxCallers: number
}

export interface Flight {
  /** Callers that wait for the run. */
  callers: number
  /** Whether the run has ended, or was given up by all its callers. Nobody joins it any more. */
  isOver: boolean
}

export const makeSingleFlightState = <K, F extends Flight>(maxCallers: number): SingleFlightState<K, F> => ({
  flights: new Map(),
  maxCallers
})

/** The run that a caller with this key waits for: one that is in flight, or the one that it has to make; `full` when it may not. */
export const join = <K, F extends Flight>(state: SingleFlightState<K, F>, key: K, makeFlight: () => F): F | "full" => {
  const flight = state.flights.get(key)
  if (flight === undefined) {
    const made = makeFlight()
    made.callers = 1
    state.flights.set(key, made)
    return made
  }
  if (flight.callers >= state.maxCallers) return "full"
  flight.callers++
  return flight
}

/** A caller leaves; whether it was the last that waits, so that the run is to be ended. */
export const leave = <K, F extends Flight>(state: SingleFlightState<K, F>, key: K, flight: F): boolean => {
  flight.callers--
  if (flight.callers > 0 || flight.isOver) return false
  // at once, and not when the run has ended: a new caller must not wait for a run that is being interrupted
  over(state, key, flight)
  return true
}

/** The run has ended: a new caller starts another. */
export const over = <K, F extends Flight>(state: SingleFlightState<K, F>, key: K, flight: F): void => {
  flight.isOver = true
  if (state.flights.get(key) === flight) state.flights.delete(key)
}

/** Callers that wait, over all runs. */
export const waiting = <K, F extends Flight>(state: SingleFlightState<K, F>): number => {
  let callers = 0
  for (const flight of state.flights.values()) callers += flight.callers
  return callers
}
