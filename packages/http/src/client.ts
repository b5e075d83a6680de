export * as HttpClientTransport from "./HttpClientTransport.ts"
export * as ResilientClient from "./ResilientClient.ts"
export * as UpstreamClient from "./UpstreamClient.ts"
