export * as HttpClientTransport from "./HttpClientTransport.ts"
export * as ResilientClient from "./ResilientClient.ts"
export * as UpstreamApi from "./UpstreamApi.ts"
export * as UpstreamClient from "./UpstreamClient.ts"
