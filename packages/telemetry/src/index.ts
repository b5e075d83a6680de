export * as Windows from "./Windows.ts"
