// Who is compared, in the order of the tables. A contender is one small file; it is loaded only in the process that
// measures it.

import type { CallContender } from "./call/contender.ts"
import type { RequestContender } from "./request/contender.ts"

export interface Entry<Contender> {
  readonly id: string
  readonly title: string
  /** What its figures are compared with: the id of a contender of the same section. A floor has none. */
  readonly floor?: string
  readonly load: () => Promise<Contender>
}

/** Around a real request. */
export const requests: ReadonlyArray<Entry<RequestContender>> = [
  {
    id: "undici",
    title: "undici.request",
    load: async () => (await import("./request/undici.ts")).contender
  },
  {
    id: "undici-decode",
    title: "undici.request, body decoded with a schema",
    floor: "undici",
    load: async () => (await import("./request/undiciDecode.ts")).contender
  },
  {
    id: "cockatiel",
    title: "cockatiel (retry, breaker, timeout, bulkhead) + undici.request",
    floor: "undici",
    load: async () => (await import("./request/cockatiel.ts")).contender
  },
  {
    id: "effect",
    title: "Effect HttpClient on undici, spans off",
    floor: "undici",
    load: async () =>
      (await import("./request/effectHttpClient.ts")).effectHttpClient({ policies: false, spans: false })
  },
  {
    id: "effect-spans",
    title: "Effect HttpClient on undici, spans recorded",
    floor: "undici",
    load: async () => (await import("./request/effectHttpClient.ts")).effectHttpClient({ policies: false, spans: true })
  },
  {
    id: "effect-policies",
    title: "Effect HttpClient + limiter, retry, timeout, breaker, spans off",
    floor: "undici",
    load: async () => (await import("./request/effectHttpClient.ts")).effectHttpClient({ policies: true, spans: false })
  },
  {
    id: "effect-policies-spans",
    title: "Effect HttpClient + limiter, retry, timeout, breaker, spans recorded",
    floor: "undici",
    load: async () => (await import("./request/effectHttpClient.ts")).effectHttpClient({ policies: true, spans: true })
  },
  {
    id: "holdfast-transport",
    title: "Holdfast: the transport alone",
    floor: "undici",
    load: async () => (await import("./request/holdfastTransport.ts")).contender
  },
  {
    id: "holdfast-none",
    title: "Holdfast: HttpPolicy.none",
    floor: "undici",
    load: async () => (await import("./request/holdfast.ts")).none
  },
  {
    id: "holdfast-standard",
    title: "Holdfast: HttpPolicy.standard()",
    floor: "undici",
    load: async () => (await import("./request/holdfast.ts")).standard
  },
  {
    id: "holdfast-standard-decode",
    title: "Holdfast: HttpPolicy.standard(), body decoded",
    floor: "undici",
    load: async () => (await import("./request/holdfast.ts")).standardDecode
  },
  {
    id: "holdfast-standard-decode-spans",
    title: "Holdfast: HttpPolicy.standard(), body decoded, spans recorded",
    floor: "undici",
    load: async () => (await import("./request/holdfast.ts")).standardDecodeSpans
  },
  {
    id: "holdfast-standard-decode-metrics",
    title: "Holdfast: HttpPolicy.standard(), body decoded, metrics recorded",
    floor: "undici",
    load: async () => (await import("./request/holdfast.ts")).standardDecodeMetrics
  },
  {
    id: "holdfast-standard-decode-spans-metrics",
    title: "Holdfast: HttpPolicy.standard(), body decoded, spans and metrics recorded",
    floor: "undici",
    load: async () => (await import("./request/holdfast.ts")).standardDecodeSpansMetrics
  }
]

/** Around an operation in memory: what a call costs, and what a call in flight holds. */
export const calls: ReadonlyArray<Entry<CallContender>> = [
  { id: "promise", title: "async no-op", load: async () => (await import("./call/bare.ts")).promise },
  { id: "fiber", title: "Effect.callback no-op in a fiber", load: async () => (await import("./call/bare.ts")).fiber },
  {
    id: "cockatiel",
    title: "cockatiel (retry, breaker, timeout, bulkhead)",
    floor: "promise",
    load: async () => (await import("./call/cockatiel.ts")).contender
  },
  {
    id: "effect-parts",
    title: "Effect retry, timeout, semaphore",
    floor: "fiber",
    load: async () => (await import("./call/effectParts.ts")).withoutBreaker
  },
  {
    id: "effect-parts-breaker",
    title: "Effect breaker, retry, timeout, semaphore",
    floor: "fiber",
    load: async () => (await import("./call/effectParts.ts")).withBreaker
  },
  {
    id: "holdfast-none",
    title: "Holdfast: HttpPolicy.none",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).none
  },
  {
    id: "holdfast-standard",
    title: "Holdfast: HttpPolicy.standard()",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).standard
  },
  {
    id: "holdfast-standard-decode",
    title: "Holdfast: HttpPolicy.standard(), body parsed and decoded",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).standardDecode
  },
  {
    id: "holdfast-standard-spans",
    title: "Holdfast: HttpPolicy.standard(), spans recorded",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).standardSpans
  },
  {
    id: "holdfast-standard-metrics",
    title: "Holdfast: HttpPolicy.standard(), metrics recorded",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).standardMetrics
  },
  {
    id: "holdfast-standard-spans-metrics",
    title: "Holdfast: HttpPolicy.standard(), spans and metrics recorded",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).standardSpansMetrics
  },
  {
    id: "holdfast-standard-attempt-layer",
    title: "Holdfast: HttpPolicy.standard(), an empty layer around attempts",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).standardAttemptLayer
  },
  {
    id: "holdfast-standard-call-layer",
    title: "Holdfast: HttpPolicy.standard(), an empty layer around calls",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).standardCallLayer
  },
  {
    id: "holdfast-standard-endpoints",
    title: "Holdfast: HttpPolicy.standard(), one of two endpoints chosen",
    floor: "fiber",
    load: async () => (await import("./call/holdfast.ts")).standardEndpoints
  }
]

/** Calls that are refused before anything is sent. */
export const refusals: ReadonlyArray<Entry<CallContender>> = [
  {
    id: "cockatiel-breaker",
    title: "cockatiel's circuit, open",
    load: async () => (await import("./refusal/cockatiel.ts")).breaker
  },
  {
    id: "cockatiel",
    title: "cockatiel's circuit, open, in its stack",
    load: async () => (await import("./refusal/cockatiel.ts")).stack
  },
  {
    id: "effect-breaker",
    title: "Effect's circuit, open",
    load: async () => (await import("./refusal/effectBreaker.ts")).contender
  },
  {
    id: "holdfast-breaker",
    title: "Holdfast's circuit, open",
    load: async () => (await import("./refusal/holdfastBreaker.ts")).contender
  }
]
