import { join } from "node:path"
import type { ServerProgram, Setting } from "./setting.ts"

const configuration = ({ backendPort, certificate, directives, folder, port, protocol }: Setting): string =>
  [
    "global",
    "maxconn 2000",
    // a new worker is given the listening sockets of the old one: no connection is lost in between
    `stats socket ${join(folder, "haproxy.sock")} mode 600 level admin expose-fd listeners`,
    "defaults",
    "mode http",
    "timeout connect 5s",
    "timeout client 30s",
    "timeout server 30s",
    "frontend front",
    `bind 127.0.0.1:${port}${
      protocol === "1.1" ? "" : ` ssl crt ${certificate.bothFile} alpn ${protocol === "2" ? "h2,http/1.1" : "http/1.1"}`
    }`,
    ...directives,
    "default_backend back",
    "backend back",
    `server one 127.0.0.1:${backendPort}`,
    ""
  ].join("\n")

export const haproxy: ServerProgram = {
  command: "haproxy",
  versionOption: "-v",
  package: "haproxy",
  configuration,
  // master and worker, in the foreground: the master starts itself anew with -sf
  arguments: (file) => ["-W", "-db", "-f", file],
  reloadsBy: "SIGUSR2"
}
