import { assert, describe, it } from "@effect/vitest"
import { ConfigProvider, Effect, Layer, Logger, Metric, Schema } from "effect"
import { HttpClient, HttpClientResponse } from "effect/http"
import { Otlp } from "@holdfast/telemetry"
import { readAttributes } from "../src/internal/otlp/otlpResource.ts"

const Exported = Schema.fromJsonString(
  Schema.Struct({
    resourceSpans: Schema.Array(
      Schema.Struct({
        resource: Schema.Struct({
          attributes: Schema.Array(
            Schema.Struct({ key: Schema.String, value: Schema.Struct({ stringValue: Schema.String }) })
          )
        })
      })
    )
  })
)

/** The resource that a program exports under an environment, and what it logs. */
const exported = (env: Record<string, string>, resource?: Otlp.Options["resource"]) =>
  Effect.gen(function* () {
    const bodies: Array<string> = []
    const lines: Array<string> = []
    const client = HttpClient.make((request) =>
      Effect.sync(() => {
        if (request.body._tag === "Uint8Array") bodies.push(new TextDecoder().decode(request.body.body))
        return HttpClientResponse.fromWeb(request, new Response(null, { status: 200 }))
      })
    )
    const telemetry = Otlp.layer({
      url: "http://collector.internal",
      protocol: "json",
      signals: ["traces"],
      resource
    }).pipe(
      Layer.provide(Layer.succeed(HttpClient.HttpClient, client)),
      Layer.provide(Logger.layer([Logger.make(({ message }) => void lines.push(String(message)))]))
    )
    yield* Effect.withSpan(Effect.void, "work").pipe(
      Effect.provide(telemetry),
      Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromEnv({ env })),
      Effect.provideService(Metric.MetricRegistry, new Map())
    )
    const { resourceSpans } = yield* Schema.decodeEffect(Exported)(bodies[0] ?? "")
    const attributes = resourceSpans[0]?.resource.attributes ?? []
    return { attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue])), lines }
  })

describe("the resource of what is exported", () => {
  it.effect.each([
    ["deployment.environment=canary 50%,zone=b", { "deployment.environment": "canary 50%", zone: "b" }],
    ["a=%zz,zone=b", { a: "%zz", zone: "b" }],
    ["a,zone=b", { zone: "b" }],
    ["=x,zone=b", { zone: "b" }],
    ["%zz=x,zone=b", { zone: "b" }]
  ] as const)("under OTEL_RESOURCE_ATTRIBUTES=%s is what can be read of it, with one warning", ([text, expected]) =>
    Effect.gen(function* () {
      const { attributes, lines } = yield* exported({ OTEL_RESOURCE_ATTRIBUTES: text })
      assert.deepInclude(attributes, expected)
      assert.notProperty(attributes, "")
      assert.lengthOf(lines, 1)
      assert.match(lines[0] ?? "", /^Otlp: OTEL_RESOURCE_ATTRIBUTES is not as it should be .*: see entry 1\./)
    })
  )

  it.effect("is decoded, and warns of nothing, where the variable is as it should be", () =>
    Effect.gen(function* () {
      const { attributes, lines } = yield* exported({
        OTEL_RESOURCE_ATTRIBUTES: " a = M%C3%BCller%2C 50%25 ,, b==c, d=,"
      })
      assert.deepInclude(attributes, { a: "Müller, 50%", b: "=c", d: "" })
      assert.deepStrictEqual(lines, [])
    })
  )

  it("a variable does not say where its faults are by what it holds", () => {
    assert.deepStrictEqual(readAttributes("password 50%,a=1,b=50%"), {
      attributes: { a: "1", b: "50%" },
      faults: [1, 3]
    })
  })

  it.effect.each([
    [{ OTEL_SERVICE_NAME: "" }, "unknown_service"],
    [{ OTEL_SERVICE_NAME: "  " }, "unknown_service"],
    [{ OTEL_RESOURCE_ATTRIBUTES: "service.name=" }, "unknown_service"],
    [{ OTEL_RESOURCE_ATTRIBUTES: "service.name=shop" }, "shop"],
    [{ OTEL_SERVICE_NAME: "cart", OTEL_RESOURCE_ATTRIBUTES: "service.name=shop" }, "cart"]
  ] as const)("%o: the service is called %s", ([env, name]) =>
    Effect.gen(function* () {
      assert.strictEqual((yield* exported(env)).attributes["service.name"], name)
    })
  )

  it("has what an attribute is said to be last", () => {
    assert.deepStrictEqual(readAttributes("a=1,b=2,a=3"), { attributes: { a: "3", b: "2" }, faults: [] })
    const { attributes } = readAttributes("__proto__=1,__proto__=2")
    assert.deepStrictEqual(Object.entries(attributes), [["__proto__", "2"]])
  })

  it.effect("is named by the program before the environment, and by its own word before its attributes", () =>
    Effect.gen(function* () {
      const env = {
        OTEL_SERVICE_NAME: "variable",
        OTEL_SERVICE_VERSION: "3",
        OTEL_RESOURCE_ATTRIBUTES: "service.name=pairs,service.version=4"
      }
      const own = { "service.name": "attribute", "service.version": "2" }
      const said = (env: Record<string, string>, resource?: Otlp.Options["resource"]) =>
        Effect.map(exported(env, resource), ({ attributes }) => [
          attributes["service.name"],
          attributes["service.version"]
        ])
      assert.deepStrictEqual(yield* said(env, { serviceName: "option", serviceVersion: "1", attributes: own }), [
        "option",
        "1"
      ])
      assert.deepStrictEqual(yield* said(env, { serviceName: " ", serviceVersion: "", attributes: own }), [
        "attribute",
        "2"
      ])
      assert.deepStrictEqual(yield* said(env), ["variable", "3"])
      const { OTEL_RESOURCE_ATTRIBUTES } = env
      assert.deepStrictEqual(yield* said({ OTEL_RESOURCE_ATTRIBUTES }), ["pairs", "4"])
      assert.deepStrictEqual(yield* said({}), ["unknown_service", undefined])
    })
  )

  it.effect("has an instance of this process, the same for all of its layers, unless it is told one", () =>
    Effect.gen(function* () {
      const { attributes: first } = yield* exported({})
      const { attributes: second } = yield* exported({})
      assert.match(
        first["service.instance.id"] ?? "",
        /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}$/
      )
      assert.strictEqual(second["service.instance.id"], first["service.instance.id"])
      const { attributes: named } = yield* exported({ OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=pod-7" })
      assert.strictEqual(named["service.instance.id"], "pod-7")
      const { attributes: told } = yield* exported(
        { OTEL_RESOURCE_ATTRIBUTES: "service.instance.id=pod-7" },
        { attributes: { "service.instance.id": "a" } }
      )
      assert.strictEqual(told["service.instance.id"], "a")
    })
  )
})
