export * as SharedCircuitBreaker from "./SharedCircuitBreaker.ts"
export * as SharedRateLimit from "./SharedRateLimit.ts"
