/**
 * The origin of all exported items: first the options, then the environment, then the defaults. Effect reads the environment
 * too, and a variable that it cannot read keeps the program from starting.
 */

import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/** The resource in the options of an exporter. */
export interface Given {
  readonly serviceName?: string | undefined
  readonly serviceVersion?: string | undefined
  readonly attributes?: Readonly<Record<string, unknown>> | undefined
}

export interface Resource {
  readonly serviceName: string
  readonly serviceVersion: string | undefined
  readonly attributes: Record<string, unknown>
}

export interface ReadAttributes {
  readonly attributes: Record<string, string>
  /** Places of the entries, from 1, that are not as they should be. Their values are not shown: one may be a secret. */
  readonly faults: ReadonlyArray<number>
}

/**
 * `OTEL_RESOURCE_ATTRIBUTES`: pairs parted by commas, percent-encoded. A value whose percent signs encode nothing is taken as it
 * stands, because a template has put it there; an entry without a key or without `=` is left out. Both are faults.
 */
export const readAttributes = (text: string): ReadAttributes => {
  const attributes: Record<string, string> = {}
  const faults: Array<number> = []
  text.split(",").forEach((entry, index) => {
    if (entry.trim() === "") return
    const at = entry.indexOf("=")
    const key = at === -1 ? undefined : decoded(entry.slice(0, at).trim())
    if (key === undefined || key === "") {
      faults.push(index + 1)
      return
    }
    const written = entry.slice(at + 1).trim()
    const value = decoded(written)
    if (value === undefined) faults.push(index + 1)
    // an own property, under any name
    Object.defineProperty(attributes, key, {
      value: value ?? written,
      enumerable: true,
      configurable: true,
      writable: true
    })
  })
  return { attributes, faults }
}

const decoded = (text: string): string | undefined => {
  try {
    return decodeURIComponent(text)
  } catch {
    return undefined
  }
}

const optional = <A>(config: Config.Config<A>): Effect.Effect<Option.Option<A>> =>
  Effect.option(Effect.suspend(() => config))

const Pairs = Config.Record(Schema.String, Schema.String, "OTEL_RESOURCE_ATTRIBUTES")

/** From the variable, or from a provider that has the pairs already. */
const attributesOfEnvironment: Effect.Effect<ReadAttributes> = Effect.gen(function* () {
  const text = yield* optional(Config.String("OTEL_RESOURCE_ATTRIBUTES"))
  if (Option.isSome(text)) return readAttributes(text.value)
  const pairs = yield* optional(Pairs)
  return { attributes: Option.isSome(pairs) ? { ...pairs.value } : {}, faults: [] }
})

/** A variable that is empty, or blank, is as if it were not there (OpenTelemetry, "Parsing empty value"). */
const variable = (name: string): Effect.Effect<string | undefined> =>
  Effect.map(optional(Config.String(name)), (found) => named(Option.getOrUndefined(found)))

const named = (value: unknown): string | undefined => {
  const text = typeof value === "string" ? value.trim() : ""
  return text === "" ? undefined : text
}

let instance: string | undefined

/** One for this process, so that a store does not take two replicas for one series. */
const instanceOfProcess = (): string => (instance ??= globalThis.crypto.randomUUID())

/** The resource. Warns once when the environment is not as it should be; never fails. */
export const resourceOf = (given: Given = {}): Effect.Effect<Resource> =>
  Effect.gen(function* () {
    const { attributes: environment, faults } = yield* attributesOfEnvironment
    if (faults.length > 0) {
      yield* Effect.logWarning(
        `Otlp: OTEL_RESOURCE_ATTRIBUTES is not as it should be (key=value, parted by commas, a % written %25): ` +
          `see ${faults.length === 1 ? "entry" : "entries"} ${faults.join(", ")}. What can be read of it is used`
      )
    }
    const own = given.attributes ?? {}
    const { "service.name": _name, "service.version": _version, ...attributes } = { ...environment, ...own }
    return {
      // OpenTelemetry's name for a service that nobody has named
      serviceName:
        named(given.serviceName) ??
        named(own["service.name"]) ??
        (yield* variable("OTEL_SERVICE_NAME")) ??
        named(environment["service.name"]) ??
        "unknown_service",
      serviceVersion:
        named(given.serviceVersion) ??
        named(own["service.version"]) ??
        (yield* variable("OTEL_SERVICE_VERSION")) ??
        named(environment["service.version"]),
      attributes: {
        ...attributes,
        "service.instance.id": named(attributes["service.instance.id"]) ?? instanceOfProcess()
      }
    }
  })
