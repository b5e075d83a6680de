export * as CertificatePin from "./CertificatePin.ts"
export * as ConnectionPools from "./ConnectionPools.ts"
export * as NodeTransport from "./NodeTransport.ts"
export * as Tls from "./Tls.ts"
