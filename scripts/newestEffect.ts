// Tries the packages with the newest Effect that their peer range lets in: a copy of the workspace gets it from the registry, and runs
// `types` and `unit` there, or the checks that are named. It takes minutes and needs the registry, so that `npm test` leaves it out.
//
//   npm run newest-effect                    what the registry has, unless it is what is installed
//   npm run newest-effect -- 4.2.0 types     that version, and these checks

import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, realpathSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { packageManager } from "./bootstrap.mjs"
import { root, run, stopAll } from "./checks/command.ts"
import { packages } from "./checks/workspace.ts"

const range = "effect@^4.1.0"

/** Those that are released together with Effect, and ask for no older one. */
const companions: ReadonlyArray<string> = ["effect", "@effect/platform-node"]

/** The newest version that the range lets in; nothing when the registry gives no answer. */
const newest = async (): Promise<string | undefined> => {
  const { code, stdout } = await run("npm", ["view", range, "version", "--json"], { timeoutMillis: 60_000 })
  if (code !== 0 || stdout.trim() === "") return undefined
  // one version alone is no list; a list has the newest last
  const versions: unknown = JSON.parse(stdout)
  const last: unknown = Array.isArray(versions) ? versions.at(-1) : versions
  return typeof last === "string" ? last : undefined
}

const installed = (): string =>
  // what every package.json has
  (JSON.parse(readFileSync(join(root, "node_modules/effect/package.json"), "utf8")) as { readonly version: string })
    .version

/** A copy of what is under version control, or will be, with another Effect in every manifest. */
const copyWith = async (version: string): Promise<string> => {
  const copy = realpathSync(mkdtempSync(join(tmpdir(), "holdfast-effect-")))
  const { stdout } = await run("git", ["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
  for (const file of stdout.split("\0").filter((name) => name !== "")) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    copyFileSync(join(root, file), join(copy, file))
  }
  for (const folder of [...packages(root).map((owner) => owner.folder), "bench"]) {
    const file = join(copy, folder, "package.json")
    const pins = new RegExp(`("(?:${companions.join("|")})": )"\\d[^"]*"`, "g")
    writeFileSync(file, readFileSync(file, "utf8").replace(pins, `$1"${version}"`))
  }
  return copy
}

const main = async (): Promise<number> => {
  const [first = "", ...rest] = process.argv.slice(2)
  const given = /^\d+\.\d+\.\d+/.test(first) ? first : undefined
  const checks = given === undefined ? process.argv.slice(2) : rest
  const version = given ?? (await newest())
  if (version === undefined) {
    console.log(
      "SKIPPED: the npm registry gives no answer, so nobody knows what the newest Effect is. Nothing was tested."
    )
    return 0
  }
  if (given === undefined && version === installed()) {
    console.log(`effect ${version} is the newest that ${range} lets in, and it is what the workspace is tested with.`)
    return 0
  }
  console.log(`effect ${version}, where the workspace has ${installed()} …`)
  const copy = await copyWith(version)
  try {
    const install = await run("npx", ["--yes", packageManager, "install", "--no-frozen-lockfile"], {
      cwd: copy,
      env: { CI: "true" }
    })
    if (install.code !== 0) {
      console.error(`It does not install:\n${install.output}`)
      return 1
    }
    const names = checks.length === 0 ? ["types", "unit"] : checks
    const { code, output } = await run("node", ["scripts/test.mjs", ...names], { cwd: copy })
    console.log(output.trimEnd())
    return code === 0 ? 0 : 1
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  process.once(signal, () => {
    stopAll()
    process.kill(process.pid, signal)
  })
}

process.exitCode = await main()
