/** The layers that an upstream declares, from the declaration to the functions around its calls. */

import * as Effect from "effect/Effect"
import type * as AttemptLayer from "../../AttemptLayer.ts"
import type * as CallLayer from "../../CallLayer.ts"
import type { Endpoints } from "../../Endpoints.ts"
import type { Runtime } from "./runtime.ts"

/** Runs the effects that make layers. A value that is no layer is refused here, and not at the first call. */
export const built = <L extends AttemptLayer.AttemptLayer | CallLayer.CallLayer>(
  upstream: string,
  place: "call" | "attempt",
  declared: ReadonlyArray<L | Effect.Effect<L, unknown, unknown>> | undefined
): Effect.Effect<ReadonlyArray<L> | undefined, unknown, unknown> => {
  if (declared === undefined) return Effect.succeed(undefined)
  if (!Array.isArray(declared)) throw new RangeError(`Upstream ${upstream}: ${place} must be a list of layers`)
  if (declared.length === 0) return Effect.succeed(undefined)
  const checked = (layer: L, index: number): L => {
    if (typeof layer?.around === "function" && typeof layer.name === "string") return layer
    throw new RangeError(
      `Upstream ${upstream}: ${place}[${index}] must be a layer, with a name and \`around\`, or an effect that makes one, ` +
        `got ${layer === null ? "null" : typeof layer}`
    )
  }
  return Effect.forEach(declared, (layer: L | Effect.Effect<L, unknown, unknown>, index) =>
    Effect.map(Effect.isEffect(layer) ? layer : Effect.succeed(layer), (layer) => checked(layer, index))
  )
}

/** The attributes of the layers on spans: their names, put together once. */
export const shownOf = (
  calls: ReadonlyArray<CallLayer.CallLayer> | undefined,
  attempts: ReadonlyArray<AttemptLayer.AttemptLayer> | undefined,
  endpoints: Endpoints | undefined
): Runtime["layersShown"] =>
  Object.entries({
    "holdfast.call_layers": calls,
    "holdfast.attempt_layers": attempts,
    "holdfast.endpoints": endpoints && [endpoints]
  }).flatMap(([key, named]) => (named === undefined ? [] : [[key, named.map(({ name }) => name).join(", ")] as const]))
