export * as ErrorReport from "./ErrorReport.ts"
export * as Windows from "./Windows.ts"
