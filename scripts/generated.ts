// The parts of the documents that are made from the code, so that they cannot lie. A document marks such a part with
// `<!-- generated: name -->` and `<!-- /generated -->`; what stands between is this module's. Some files are made whole.

import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import {
  AdaptiveConcurrency,
  AttemptTimeout,
  Backoff,
  Bulkhead,
  CircuitBreaker,
  ErrorCatalog,
  Hedge,
  HttpPolicy,
  HttpPolicyJson,
  PolicySource,
  RateLimit,
  Retry,
  RetryBudget,
  SingleFlight,
  StageOrder,
  Throttle
} from "holdfast"
import { NodeTransport } from "holdfast/node"
import { Metrics, Prometheus } from "holdfast/telemetry"
import { Duration } from "effect"
import { alertRules } from "./alertRules.ts"
import { checks } from "./checks/all.ts"
import { dashboard } from "./dashboard.ts"
import { table } from "./markdownTable.ts"
import { optionTables } from "./policyTables.ts"
import { mainEntries, toleratedModules, unstableImports, unstableLoaded } from "./unstable.ts"

const errorRow = ([tag, entry]: readonly [string, ErrorCatalog.Entry]): ReadonlyArray<string> => [
  tag,
  `\`${entry.code}\``,
  entry.nature,
  entry.severity,
  entry.retryable ? "yes" : "no",
  entry.applied,
  String(entry.answerStatus),
  entry.summary,
  entry.advice
]

const errorHead = [
  "reason",
  "code",
  "nature",
  "severity",
  "retryable",
  "applied",
  "answer",
  "what happened",
  "what to do"
]

const errors = (): string => {
  const byDomain = Map.groupBy(Object.entries(ErrorCatalog.table), ([, entry]) => entry.domain)
  return [...byDomain]
    .map(([domain, entries]) => `### ${domain}\n\n${table(errorHead, entries.map(errorRow))}`)
    .join("\n\n")
}

/** One row of each domain that a newcomer meets on the first bad day. */
const errorSample = (): string => {
  const tags = [
    "ConnectionRefused",
    "ConnectionReset",
    "CertificateExpired",
    "ResponseTruncated",
    "AttemptTimeout",
    "CircuitOpen",
    "TooManyRequests",
    "ServiceUnavailable",
    "ResponseDecodeFailed"
  ] as const
  const rows = tags.map((tag) => {
    const entry = ErrorCatalog.table[tag]
    return [tag, `\`${entry.code}\``, entry.nature, entry.retryable ? "yes" : "no", entry.applied, entry.summary]
  })
  return table(["reason", "code", "nature", "retryable", "applied", "what happened"], rows)
}

const inWords = (value: unknown): string =>
  Duration.isDuration(value)
    ? Duration.format(value)
    : typeof value === "object"
      ? JSON.stringify(value)
      : String(value)

const defaults = (groups: ReadonlyArray<readonly [string, object]>): string =>
  table(
    ["option", "default"],
    groups.flatMap(([prefix, group]) =>
      Object.entries(group)
        .filter(([, value]) => typeof value !== "object" || Duration.isDuration(value))
        .map(([name, value]) => [`\`${prefix}${name}\``, inWords(value)])
    )
  )

const { deadline, attemptTimeout, limits, nonIdempotent, redirects } = HttpPolicy.defaults

/** When a breaker opens, as `describe` says it. */
const tripInWords = (trip: CircuitBreaker.Options["trip"]): string =>
  HttpPolicy.describe(HttpPolicy.make({ breaker: { trip, openTime: "1 second" } })).replace(/^breaker |, open 1s$/g, "")

type OpenTime = NonNullable<CircuitBreaker.Options["openTime"]>

const openTimeInWords = (openTime: OpenTime): string =>
  HttpPolicy.describe(HttpPolicy.make({ breaker: { openTime } })).replace(/^.*, open /, "")

type Figures = { readonly [option: string]: unknown }

/** What a stage of a policy does, option by option; nothing when it is off. */
const stages: ReadonlyArray<readonly [stage: string, figures: (policy: HttpPolicy.HttpPolicy) => Figures | undefined]> =
  [
    ["singleFlight", ({ singleFlight }) => singleFlight && { ...SingleFlight.defaults, ...singleFlight }],
    ["rateLimit", ({ rateLimit }) => rateLimit && { ...RateLimit.defaults, ...rateLimit }],
    ["deadline", ({ call }) => call.deadline && { "": call.deadline }],
    [
      "retry",
      ({ call: { retry } }) =>
        retry && {
          maxAttempts: retry.loop.maxAttempts,
          nonIdempotent: retry.nonIdempotent,
          refusals: retry.refusals,
          maxServerWait: retry.loop.maxServerWait,
          serverWaitJitter: retry.loop.serverWaitJitter
        }
    ],
    [
      "retry.backoff",
      ({ call: { retry } }) =>
        retry && typeof retry.backoff === "object"
          ? { shape: "exponential", ...Backoff.defaults, ...retry.backoff }
          : undefined
    ],
    ["retry.budget", ({ budget }) => budget && { ...RetryBudget.defaults, ...budget, costs: undefined }],
    ["hedge", ({ hedge }) => hedge && { delay: "learned", ...Hedge.defaults, ...hedge }],
    [
      "breaker",
      ({ breaker }) => {
        if (breaker === undefined) return undefined
        const {
          openTime = CircuitBreaker.defaults.openTime,
          trip,
          ...others
        } = { ...CircuitBreaker.defaults, ...breaker }
        return { trip: tripInWords(trip), openTime: openTimeInWords(openTime), ...others, counts: undefined }
      }
    ],
    ["throttle", ({ throttle }) => throttle && { ...Throttle.defaults, ...throttle }],
    ["bulkhead", ({ bulkhead }) => bulkhead && { ...Bulkhead.defaults, ...bulkhead }],
    ["adaptiveConcurrency", ({ adaptiveConcurrency: given }) => given && { ...AdaptiveConcurrency.defaults, ...given }],
    [
      "attemptTimeout",
      ({ attemptTimeout, call }) =>
        attemptTimeout === undefined
          ? call.attemptTimeout && { "": call.attemptTimeout }
          : { "": "learned", ...AttemptTimeout.adaptiveDefaults, ...attemptTimeout, window: undefined }
    ],
    ["redirects", ({ call }) => call.redirects && { ...call.redirects }],
    ["limits", ({ call }) => ({ ...call.limits })]
  ]

/** A value as a table shows it, whatever way the time of an option is written in. */
const figure = (value: unknown): string => {
  if (value === undefined) return "–"
  if (Array.isArray(value)) return value.join(", ")
  if (typeof value !== "string" || !/^\d/.test(value) || !/ (milli|second|minute)s?$/.test(value)) return inWords(value)
  // the pattern lets only times in words through
  return Duration.format(Duration.fromInputUnsafe(value as Duration.Input))
}

/** What every stage of each preset does; a stage that none has is one row. */
const presets = (): string => {
  const policies = [HttpPolicy.standard(), HttpPolicy.aggressive(), HttpPolicy.gentle()]
  const rows = stages.flatMap(([stage, figuresOf]) => {
    const figures = policies.map(figuresOf)
    const options = [...new Set(figures.flatMap((one) => Object.keys(one ?? {})))].filter(
      (option) => option !== "mode" && figures.some((one) => one?.[option] !== undefined)
    )
    if (options.length === 0) return [[`\`${stage}\``, ...policies.map(() => "off")]]
    return options.map((option) => [
      `\`${option === "" ? stage : `${stage}.${option}`}\``,
      ...figures.map((one) => (one === undefined ? "off" : figure(one[option])))
    ])
  })
  return table(["option", "standard", "aggressive", "gentle"], rows)
}

/** What the options of the stages that no preset has mean when they are left out. */
const optionalStages = (): string =>
  defaults([
    ["singleFlight.", SingleFlight.defaults],
    ["rateLimit.", RateLimit.defaults],
    ["adaptiveConcurrency.", AdaptiveConcurrency.defaults],
    ["redirects.", redirects]
  ])

type MetricEntry = readonly [Metrics.Name, Metrics.Definition]

// what `Object.entries` gives of a record that says all its keys
const metricEntries = Object.entries(Metrics.catalogue) as ReadonlyArray<MetricEntry>

const kinds: { readonly [K in Metrics.Definition["kind"]]: string } = {
  counter: "counter",
  upDownCounter: "up-down counter",
  histogram: "histogram",
  gauge: "gauge"
}

const metricsOf = (sources: ReadonlyArray<Metrics.Definition["source"]>): string =>
  table(
    ["metric", "kind", "unit", "in Prometheus", "what it is", "attributes"],
    metricEntries
      .filter(([, { source }]) => sources.includes(source))
      .map(([name, { attributes, description, kind, unit }]) => [
        `\`${name}\``,
        kinds[kind],
        `\`${unit}\``,
        `\`${Prometheus.nameOf(name)}\``,
        description,
        attributes.map((attribute) => `\`${attribute}\``).join(", ")
      ])
  )

const metricBuckets = (): string =>
  table(
    ["metric", "upper bounds of its buckets"],
    metricEntries.flatMap(([name, { boundaries }]) =>
      boundaries === undefined ? [] : [[`\`${name}\``, boundaries.join(", ")]]
    )
  )

const checkTable = (): string =>
  table(
    ["check", "what it holds when it passes"],
    checks.filter(({ isLong }) => isLong !== true).map(({ name, promise }) => [`\`${name}\``, promise])
  )

const repository = join(import.meta.dirname, "..")

const inCode = (names: ReadonlyArray<string>): string => names.map((name) => `\`${name}\``).join(", ")

/** Each file that imports a module of Effect which is not stable. */
const unstable = (): string => {
  const byFile = [...Map.groupBy(unstableImports(repository), ({ file }) => file)]
  const modules = (imports: ReturnType<typeof unstableImports>, isType: boolean): string =>
    inCode([...new Set(imports.filter((each) => each.isType === isType).map(({ specifier }) => specifier))].toSorted())
  return table(
    ["file", "imports", "types only", "loaded by"],
    byFile.map(([file, imports]) => [
      `\`${file}\``,
      modules(imports, false),
      modules(imports, true),
      inCode((imports[0]?.entries ?? []).filter((entry) => entry.startsWith("@")))
    ])
  )
}

/** What is loaded with `holdfast` all the same, and by which module. */
const unstableInMain = (): string => {
  const loaded = unstableLoaded(repository, ...mainEntries)
  const byLoader = [...Map.groupBy(loaded, ({ by }) => by)].toSorted(([one], [other]) => (one < other ? -1 : 1))
  return [
    table(
      ["module", "why it is imported"],
      toleratedModules().map(([module, why]) => [`\`${module}\``, why])
    ),
    table(
      ["loaded by", "not stable"],
      byLoader.map(([by, modules]) => [`\`${by}\``, inCode(modules.map(({ module }) => module))])
    )
  ].join("\n\n")
}

const parts: { readonly [name: string]: () => string } = {
  errors,
  "error-sample": errorSample,
  checks: checkTable,
  "unstable-imports": unstable,
  "unstable-loaded": unstableInMain,
  "policy-defaults": () =>
    defaults([
      ["", { deadline, attemptTimeout }],
      ["retry.", { maxAttempts: Retry.defaults.maxAttempts, nonIdempotent }],
      ["retry.", { maxServerWait: Retry.defaults.maxServerWait, serverWaitJitter: Retry.defaults.serverWaitJitter }],
      ["retry.budget.", RetryBudget.defaults],
      ["limits.", limits]
    ]),
  ...optionTables,
  "policy-presets": presets,
  "policy-optional-stages": optionalStages,
  "stage-order": () =>
    table(
      ["stage", "once for", "of", "refuses with", "why it stands there"],
      StageOrder.all.map(({ around, isRemembering, name, refusals, why }) => [
        `\`${name}\``,
        around === "call" ? "a call" : "each attempt",
        isRemembering ? (around === "call" ? "the upstream" : "its endpoint") : "the call",
        refusals.map((tag) => `\`${tag}\``).join(", "),
        why
      ])
    ),
  "transport-defaults": () => defaults([["", NodeTransport.defaults]]),
  "metrics-of-calls": () => metricsOf(["calls"]),
  "metrics-of-upstreams": () => metricsOf(["upstreams"]),
  "metrics-of-policies": () => metricsOf(["policies"]),
  "metrics-of-pools": () => metricsOf(["pools"]),
  "metric-buckets": metricBuckets,
  "metric-attributes": () =>
    table(
      ["attribute", "what it says"],
      Object.entries(Metrics.attributes).map(([name, what]) => [`\`${name}\``, what])
    ),
  "metrics-defaults": () => defaults([["", Metrics.defaults]])
}

const part = /(<!-- generated: ([a-z-]+) -->\n)[\s\S]*?(<!-- \/generated -->)/g

/** What a document should say, and the parts that it has. */
export const regenerate = (text: string): { readonly text: string; readonly parts: number } => {
  let count = 0
  const fresh = text.replace(part, (_, open: string, name: string, close: string) => {
    const make = parts[name]
    if (make === undefined)
      throw new Error(`no generated part is named "${name}"; there are: ${Object.keys(parts).join(", ")}`)
    count++
    return `${open}\n${make()}\n\n${close}`
  })
  return { text: fresh, parts: count }
}

const policyFile = (): string => `${JSON.stringify(HttpPolicyJson.jsonSchema(), undefined, 2)}\n`
const upstreamsFile = (): string => `${JSON.stringify(PolicySource.jsonSchema(), undefined, 2)}\n`

/** Files that are made whole, by their path. */
export const wholeFiles: { readonly [path: string]: () => string } = {
  "holdfast-policy.schema.json": policyFile,
  "holdfast-upstreams.schema.json": upstreamsFile,
  "packages/http/holdfast-policy.schema.json": policyFile,
  "packages/http/holdfast-upstreams.schema.json": upstreamsFile,
  "packages/telemetry/dashboards/holdfast.json": dashboard,
  "packages/telemetry/rules/holdfast.rules.yml": alertRules
}

/** The documents and files of which a part is not what the code says; they are mended when `fix` is set. */
export const staleDocuments = (
  root: string,
  fix: boolean
): { readonly stale: ReadonlyArray<string>; readonly parts: number } => {
  const files = ["README.md", ...globSync("docs/**/*.md", { cwd: root })]
  const stale: Array<string> = []
  let count = 0
  for (const file of files) {
    const path = join(root, file)
    const text = readFileSync(path, "utf8")
    const fresh = regenerate(text)
    count += fresh.parts
    if (fresh.text === text) continue
    stale.push(file)
    if (fix) writeFileSync(path, fresh.text)
  }
  for (const [file, make] of Object.entries(wholeFiles)) {
    const path = join(root, file)
    const fresh = make()
    count++
    if (existsSync(path) && readFileSync(path, "utf8") === fresh) continue
    stale.push(file)
    if (!fix) continue
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, fresh)
  }
  return { stale, parts: count }
}
