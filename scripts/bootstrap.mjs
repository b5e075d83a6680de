// Gets a fresh checkout ready, then hands over to the Node that the workspace pins.
//
// This module runs on whatever Node the machine has (20 or later) before anything is installed, so it is plain
// JavaScript and imports nothing but Node itself.

import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, readFileSync, readdirSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"

export const root = fileURLToPath(new URL("..", import.meta.url))

export const packageManager = "pnpm@12.21.0"
const pinnedNode = join(root, "node_modules", "node", "bin", process.platform === "win32" ? "node.exe" : "node")
const stampFile = join(root, "node_modules", ".holdfast-installed")

const packageFolders = () =>
  readdirSync(join(root, "packages"), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(root, "packages", entry.name, "package.json")))
    .map((entry) => join(root, "packages", entry.name))
    .toSorted()

/** What an install depends on, in one word: it is stale when this differs from what the last one left behind. */
const fingerprint = () => {
  const hash = createHash("sha256").update(`${packageManager} ${process.platform} ${process.arch}`)
  const files = [
    join(root, "pnpm-lock.yaml"),
    join(root, "pnpm-workspace.yaml"),
    join(root, "package.json"),
    ...packageFolders().map((folder) => join(folder, "package.json"))
  ]
  for (const file of files) hash.update("\0").update(file.slice(root.length)).update("\0").update(readFileSync(file))
  return hash.digest("hex")
}

/** @param {string} wanted */
const isInstalled = (wanted) =>
  existsSync(stampFile) &&
  readFileSync(stampFile, "utf8") === wanted &&
  existsSync(pinnedNode) &&
  packageFolders().every((folder) => existsSync(join(folder, "node_modules")))

const install = async () => {
  const wanted = fingerprint()
  if (isInstalled(wanted)) return
  const firstRun = !existsSync(stampFile)
  process.stderr.write(`holdfast: installing dependencies … (${firstRun ? "first run only" : "they have changed"})\n`)
  const child = spawn("npx", ["--yes", packageManager, "install", "--frozen-lockfile"], {
    cwd: root,
    // CI: without a terminal pnpm would otherwise stop to ask before it replaces an older node_modules.
    env: { ...process.env, CI: "true", npm_config_update_notifier: "false" },
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32"
  })
  let output = ""
  child.stdout.on("data", (chunk) => (output += chunk))
  child.stderr.on("data", (chunk) => (output += chunk))
  const code = await new Promise((resolve) => {
    child.on("error", (error) => {
      output += `${error.message}\n`
      resolve(1)
    })
    child.on("close", (code) => resolve(code ?? 1))
  })
  if (code !== 0 || !existsSync(pinnedNode)) {
    process.stderr.write(output)
    process.stderr.write(
      [
        "",
        `holdfast: the install failed (npx ${packageManager} install --frozen-lockfile, exit code ${code}).`,
        "  - The first run needs the npm registry: check the network, a proxy, or the `registry` line of ~/.npmrc.",
        "  - After a change of dependencies, bring the lockfile up to date with:",
        `      npx ${packageManager} install --no-frozen-lockfile`,
        "  - To start afresh, delete node_modules and run this again.",
        ""
      ].join("\n")
    )
    process.exit(1)
  }
  writeFileSync(stampFile, wanted)
}

/**
 * Installs what is missing, then runs a script of this repository on the pinned Node and exits as it exits.
 *
 * @param {string} script path of the script, from the root of the repository
 * @param {ReadonlyArray<string>} args
 */
export const runPinned = async (script, args) => {
  await install()
  const child = spawn(pinnedNode, [join(root, script), ...args], {
    cwd: root,
    stdio: "inherit",
    env: {
      ...process.env,
      // The pinned Node comes first, so that every tool of node_modules/.bin runs on it too.
      PATH: [
        join(root, "node_modules", "node", "bin"),
        join(root, "node_modules", ".bin"),
        process.env["PATH"] ?? ""
      ].join(delimiter),
      // Compiled code is kept between runs, stripped types included: programs that share a library start faster.
      NODE_COMPILE_CACHE: process.env["NODE_COMPILE_CACHE"] ?? join(root, "node_modules", ".cache", "node-compile")
    }
  })

  // A terminal sends Ctrl-C to the child as well, and twice would mean "now, without cleaning up".
  process.on("SIGINT", () => {
    if (!process.stdin.isTTY) child.kill("SIGINT")
  })
  process.on("SIGTERM", () => child.kill("SIGTERM"))
  process.on("SIGHUP", () => child.kill("SIGHUP"))

  // npm runs a script through a shell, and a shell that is told to stop does not tell this process.
  if (process.env["npm_lifecycle_event"] !== undefined) {
    const shell = process.ppid
    const watch = setInterval(() => {
      if (process.ppid === shell) return
      clearInterval(watch)
      child.kill("SIGTERM")
    }, 250)
    watch.unref()
  }

  child.on("error", (error) => {
    process.stderr.write(`holdfast: ${pinnedNode} does not start: ${error.message}\n`)
    process.exit(1)
  })
  child.on("close", (code, signal) => {
    if (signal === null) process.exit(code ?? 1)
    // Dying of the same signal tells a shell and a supervisor what happened; an exit code would not.
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}
