export * as LeakCheck from "./LeakCheck.ts"
export * as OtlpReceiver from "./OtlpReceiver.ts"
export * as ScriptedTransport from "./ScriptedTransport.ts"
