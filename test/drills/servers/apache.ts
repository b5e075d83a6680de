import { join } from "node:path"
import type { ServerProgram, Setting } from "./setting.ts"

/** Where Debian has them. */
const modulesFolder = "/usr/lib/apache2/modules"

const modules = ["mpm_event", "authz_core", "proxy", "proxy_http", "ssl", "http2"]

const configuration = ({ backendPort, certificate, directives, folder, port, protocol }: Setting): string =>
  [
    `ServerRoot ${folder}`,
    "ServerName localhost",
    `DefaultRuntimeDir ${folder}`,
    `PidFile ${join(folder, "apache.pid")}`,
    `ErrorLog ${join(folder, "error.log")}`,
    ...modules.map((name) => `LoadModule ${name}_module ${join(modulesFolder, `mod_${name}.so`)}`),
    // not to be root where root runs this; of no effect elsewhere
    "User nobody",
    "Group nogroup",
    `Listen 127.0.0.1:${port}`,
    `Protocols ${protocol === "2" ? "h2 http/1.1" : "http/1.1"}`,
    ...(protocol === "1.1"
      ? []
      : [
          "SSLEngine on",
          `SSLCertificateFile ${certificate.chainFile}`,
          `SSLCertificateKeyFile ${certificate.keyFile}`
        ]),
    ...directives,
    `ProxyPass / http://127.0.0.1:${backendPort}/`,
    ""
  ].join("\n")

export const apache: ServerProgram = {
  command: "apache2",
  versionOption: "-v",
  package: "apache2-bin",
  configuration,
  arguments: (file) => ["-DFOREGROUND", "-f", file],
  reloadsBy: "SIGUSR1"
}
