import { holdsNoIdleOrigins } from "../heap/endpoints.ts"

holdsNoIdleOrigins(200_000)
