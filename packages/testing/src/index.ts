export * as ScriptedTransport from "./ScriptedTransport.ts"
