export * as RequestEdge from "./RequestEdge.ts"
