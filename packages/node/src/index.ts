export * as ConnectionPools from "./ConnectionPools.ts"
export * as NodeTransport from "./NodeTransport.ts"
