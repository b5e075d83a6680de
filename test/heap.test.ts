import { holdsNoIdleOrigins } from "./heap/endpoints.ts"

holdsNoIdleOrigins(30_000)
