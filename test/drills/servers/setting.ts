/** What a server of the drill is set up with, and what is to be known of its program. */

/** As the table has it: HTTP/1.1 in clear text, HTTP/1.1 over TLS, HTTP/2 over TLS. */
export type Protocol = "1.1" | "1.1 TLS" | "2"

export interface Setting {
  readonly port: number
  readonly backendPort: number
  /** Of the server alone, and gone after it. */
  readonly folder: string
  readonly protocol: Protocol
  readonly certificate: {
    readonly keyFile: string
    readonly chainFile: string
    /** Chain and key in one. */
    readonly bothFile: string
  }
  /** In the server's own language: what the scenario is about. */
  readonly directives: ReadonlyArray<string>
}

export interface ServerProgram {
  readonly command: string
  /** With which it says its version and ends. */
  readonly versionOption: string
  /** Of Debian. */
  readonly package: string
  readonly configuration: (setting: Setting) => string
  readonly arguments: (configurationFile: string, folder: string) => ReadonlyArray<string>
  /** The signal by which it takes up its configuration anew, while old processes finish what they have. */
  readonly reloadsBy: NodeJS.Signals
}
