export * as LeakCheck from "./LeakCheck.ts"
export * as MockUpstream from "./MockUpstream.ts"
export * as OtlpReceiver from "./OtlpReceiver.ts"
export * as ScriptedTransport from "./ScriptedTransport.ts"
