/**
 * The drill with real servers: nginx, HAProxy and Apache reload, reach their limits and close what rests, while callers call through
 * them; and servers of ours do it without good manners. Every scenario is run by Holdfast with its standard policy and, at the same time
 * and through the same server, by the bare clients `undici.request` and `node:http` or `node:http2`. The backend writes down what it was
 * asked, so that what was applied is known, and not guessed.
 */
import { afterAll, assert, beforeAll, describe, it } from "vitest"
import { Effect, Exit, Scope } from "effect"
import { certificates } from "../support/certificates.ts"
import { startProcesses } from "./servers/processes.ts"
import type { Processes } from "./servers/processes.ts"
import { clientNames } from "./servers/load.ts"
import { isInstalled, programs, realServer } from "./servers/realServer.ts"
import type { ServerName } from "./servers/realServer.ts"
import { scenarios } from "./servers/scenarios.ts"
import type { Scenario } from "./servers/scenarios.ts"
import type { Protocol } from "./servers/setting.ts"
import { broken, rowOf, tableOf } from "./servers/verdict.ts"
import type { Rows } from "./servers/verdict.ts"

const isRequired = (process.env["CI"] ?? "") !== "" || process.env["HOLDFAST_REQUIRE_SERVERS"] === "1"

const serverNames = ["nginx", "haproxy", "apache"] as const satisfies ReadonlyArray<ServerName>

const missing = new Set(serverNames.filter((name) => !isInstalled(name)))

if (missing.size > 0 && !isRequired) {
  console.warn(
    `skipped: no ${[...missing].join(" and no ")} on this machine, so nothing shows how a call survives its closes`
  )
}

describe("servers of other hands than ours", () => {
  it.skipIf(missing.size > 0 && !isRequired).each(serverNames)("there is an %s", (name) => {
    assert.isFalse(
      missing.has(name),
      `no ${name} on this machine: install Debian's ${programs[name].package}. It is required where CI or HOLDFAST_REQUIRE_SERVERS=1 is set`
    )
  })
})

interface Cell extends Scenario {
  readonly protocol: Protocol
  readonly title: string
  readonly prefix: string
}

const cells: ReadonlyArray<Cell> = scenarios
  .flatMap((scenario) => scenario.protocols.map((protocol) => ({ ...scenario, protocol })))
  .map((cell, index) => ({ ...cell, title: `${cell.server}, ${cell.name}, ${cell.protocol}`, prefix: `${index} ` }))

const isRealName = (server: Scenario["server"]): server is ServerName => server in programs

const isMissing = ({ server }: Cell): boolean => isRealName(server) && missing.has(server)

/** Where the clients call, and what makes the server reload. */
const serverOf = Effect.fnUntraced(function* (
  { after, directives = [], protocol, server }: Cell,
  { ports }: Processes
) {
  if (isRealName(server)) return yield* realServer({ name: server, backendPort: ports.backend, protocol, directives })
  const port =
    server === "hangs up"
      ? ports.hangsUp.find(({ afterMillis }) => afterMillis === after)
      : ports.endsHttp2.find(({ answers }) => answers === after)
  if (port === undefined) return yield* Effect.die(new Error(`no server of ours does that after ${after}`))
  const scheme = protocol === "1.1" ? "http" : "https"
  return { url: `${scheme}://127.0.0.1:${port.port}`, reload: Effect.void }
})

/** All clients at the same time, through one server. */
const drill = Effect.fnUntraced(function* (cell: Cell, processes: Processes) {
  const { load, prefix, protocol, reloadEveryMillis } = cell
  const { trustedRoot } = yield* certificates
  const told = yield* Effect.scoped(
    Effect.gen(function* () {
      const { reload, url } = yield* serverOf(cell, processes)
      if (reloadEveryMillis !== undefined) {
        yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(reloadEveryMillis), reload)))
      }
      return yield* Effect.forEach(
        clientNames,
        (name) => processes.run({ client: name, url, protocol, trustedRoot, load, prefix: `${prefix}${name} ` }),
        { concurrency: "unbounded" }
      )
    })
  )
  // the server is gone: nothing that it still had can be applied from now on
  const rows = yield* Effect.forEach(told, (each, index) =>
    Effect.map(processes.recorded(`${prefix}${clientNames[index]} `), (recorded) => rowOf(each, recorded))
  )
  const [holdfast, undici, node] = rows
  if (holdfast === undefined || undici === undefined || node === undefined) {
    return yield* Effect.die(new Error("a client said nothing"))
  }
  return { holdfast, undici, node } satisfies Rows
})

const results = new Map<Cell, Rows>()

describe("a call through a server that closes", () => {
  const scope = Effect.runSync(Scope.make())
  let processes: Processes | undefined

  beforeAll(async () => {
    processes = await Effect.runPromise(startProcesses.pipe(Scope.provide(scope)))
  })

  afterAll(async () => {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    const titled = cells.flatMap((cell) => {
      const rows = results.get(cell)
      return rows === undefined ? [] : [[[cell.server, cell.name, cell.protocol], rows] as const]
    })
    console.log(tableOf(titled))
  })

  const rehearse = async (cell: Cell): Promise<void> => {
    if (processes === undefined) throw new Error("the processes of the drill did not start")
    const rows = await Effect.runPromise(drill(cell, processes))
    results.set(cell, rows)
    assert.deepStrictEqual(broken(rows, cell), [])
  }

  for (const cell of cells.filter(({ isQuiet }) => isQuiet !== true)) {
    it.skipIf(isMissing(cell))(`loses no GET and applies no POST twice: ${cell.title}`, () => rehearse(cell))
  }

  describe("at its leisure", { concurrent: true }, () => {
    for (const cell of cells.filter(({ isQuiet }) => isQuiet === true)) {
      it.skipIf(isMissing(cell))(`loses no GET and applies no POST twice: ${cell.title}`, () => rehearse(cell))
    }
  })
})
