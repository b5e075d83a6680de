import { join } from "node:path"
import type { ServerProgram, Setting } from "./setting.ts"

/** Its workers are to read what only root may read, where root runs this. */
const user = process.getuid?.() === 0 ? ["user root;"] : []

const temporaryFolders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]

const configuration = ({ backendPort, certificate, directives, folder, port, protocol }: Setting): string =>
  [
    ...user,
    "daemon off;",
    "worker_processes 2;",
    `pid ${join(folder, "nginx.pid")};`,
    "events { worker_connections 1024; }",
    "http {",
    "access_log off;",
    ...temporaryFolders.map((name) => `${name}_temp_path ${join(folder, name)};`),
    `upstream backend { server 127.0.0.1:${backendPort}; keepalive 64; }`,
    "server {",
    `listen 127.0.0.1:${port}${protocol === "1.1" ? "" : protocol === "2" ? " ssl http2" : " ssl"};`,
    ...(protocol === "1.1"
      ? []
      : [`ssl_certificate ${certificate.chainFile};`, `ssl_certificate_key ${certificate.keyFile};`]),
    ...directives,
    'location / { proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; }',
    "}",
    "}"
  ].join("\n")

export const nginx: ServerProgram = {
  command: "nginx",
  versionOption: "-v",
  package: "nginx",
  configuration,
  arguments: (file, folder) => ["-c", file, "-p", folder, "-e", join(folder, "error.log")],
  reloadsBy: "SIGHUP"
}
