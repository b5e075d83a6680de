// Packs every package as it would be published and uses the tarballs as a stranger would: installed in an empty project,
// imported by plain Node, compiled against.

import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync
} from "node:fs"
import { tmpdir } from "node:os"
import { basename, dirname, join } from "node:path"
import { packageManager } from "../bootstrap.mjs"
import type { Result } from "./command.ts"
import { forEachWide, root, run } from "./command.ts"
import type { Check, Report } from "./report.ts"
import { count, nothingYet } from "./report.ts"
import { build } from "./types.ts"
import type { Package } from "./workspace.ts"
import { files, packages } from "./workspace.ts"

interface Packed extends Package {
  readonly tarball: string
}

export const pack: Check = {
  name: "pack",
  promise: "the published packages hold what they should, install, import and type-check",
  alone: false,
  run: async (): Promise<Report> => {
    const all = packages(root)
    const empty = all.filter(({ folder }) => !existsSync(join(root, folder, "src", "index.ts")))
    if (empty.length > 0) return nothingYet(`src/index.ts in ${empty.map(({ folder }) => folder).join(", ")}`)
    const built = await build()
    if (built.code !== 0) return failure("nothing to pack", "The build failed: see the check `types`.")

    const workshop = realpathSync(mkdtempSync(join(tmpdir(), "holdfast-pack-")))
    try {
      return await packAndUse(all, workshop)
    } finally {
      rmSync(workshop, { recursive: true, force: true })
    }
  }
}

const failure = (summary: string, output: string): Report => ({ passed: 0, failed: 1, skipped: 0, summary, output })

const packAndUse = async (all: ReadonlyArray<Package>, workshop: string): Promise<Report> => {
  const tarballs = await forEachWide(all, 2, (owner) => packOne(owner, join(workshop, basename(owner.folder))))
  const broken = tarballs.filter((tarball) => typeof tarball !== "object")
  if (broken.length > 0) return failure("does not pack", broken.join("\n"))
  const packed = tarballs.filter((tarball) => typeof tarball === "object")

  const project = join(workshop, "project")
  const installed = await install(packed, project)
  if (installed.code !== 0) return failure("does not install", installed.output)

  const problems = await Promise.all([
    ...packed.map(async (one) => [...contents(one, project), ...(await published(one))]),
    imports(packed, project),
    consumerTypes(packed, project)
  ])
  const failed = problems.filter((list) => list.length > 0).length
  const total = entriesOf(packed, project).length
  return {
    passed: problems.length - failed,
    failed,
    skipped: 0,
    summary: `${count(packed.length, "package")}, ${count(total, "public entry", "public entries")}`,
    output: problems.flat().join("\n")
  }
}

/** Gives the tarball, or what went wrong in words. */
const packOne = async (owner: Package, folder: string): Promise<Packed | string> => {
  mkdirSync(folder, { recursive: true })
  const result = await run("npx", ["--yes", packageManager, "pack", "--pack-destination", folder], {
    cwd: join(root, owner.folder)
  })
  const [tarball] = globSync("*.tgz", { cwd: folder })
  return result.code === 0 && tarball !== undefined
    ? { ...owner, tarball: join(folder, tarball) }
    : `${owner.manifest.name}: pnpm pack failed\n${result.output}`
}

/**
 * Installs the tarballs by what their manifests declare and nothing else: what a package imports without declaring it
 * is not there. Everything from the registry is linked to this workspace's own copy, so that no network is needed.
 */
const install = (packed: ReadonlyArray<Packed>, project: string): Promise<Result> => {
  mkdirSync(project)
  const own = Object.fromEntries(packed.map(({ manifest, tarball }) => [manifest.name, `file:${tarball}`]))
  const foreign = Object.fromEntries(
    packed.flatMap(({ folder, manifest }) =>
      Object.keys({ ...manifest.dependencies, ...manifest.peerDependencies })
        .filter((name) => !(name in own))
        .map((name) => [name, `link:${realpathSync(join(root, folder, "node_modules", name))}`])
    )
  )
  const nodeTypes = { "@types/node": `link:${realpathSync(join(root, "node_modules", "@types", "node"))}` }
  const peers = Object.fromEntries(
    Object.entries(foreign).filter(([name]) => packed.some(({ manifest }) => name in (manifest.peerDependencies ?? {})))
  )
  const manifest = { name: "stranger", private: true, type: "module", dependencies: { ...own, ...peers, ...nodeTypes } }
  const overrides = Object.entries({ ...own, ...foreign }).map(([name, target]) => `  "${name}": "${target}"`)
  writeFileSync(join(project, "package.json"), JSON.stringify(manifest, null, 2))
  writeFileSync(
    join(project, "pnpm-workspace.yaml"),
    ['packages: ["."]', "autoInstallPeers: false", "overrides:", ...overrides, ""].join("\n")
  )
  return run("npx", ["--yes", packageManager, "install", "--offline", "--no-frozen-lockfile"], { cwd: project })
}

const installedFolder = ({ manifest }: Packed, project: string): string => join(project, "node_modules", manifest.name)

/** Compares what is in a package with what should be in it. */
const contents = (one: Packed, project: string): ReadonlyArray<string> => {
  const folder = installedFolder(one, project)
  const present = new Set(
    globSync("**/*.*", { cwd: folder }).concat(existsSync(join(folder, "LICENSE")) ? ["LICENSE"] : [])
  )
  const sources = files(join(root, one.folder), "src/**/*.ts").filter((file) => !file.endsWith(".test.ts"))
  const wanted = [
    "package.json",
    "LICENSE",
    "README.md",
    // the guides, and files for other programs: a dashboard, alert rules
    ...files(join(root, one.folder), "docs/**/*.md", "{dashboards,rules}/*"),
    // and for editors
    ...files(join(root, one.folder), "*.schema.json"),
    ...sources,
    ...sources
      .map((file) => file.replace(/^src/, "dist").replace(/\.ts$/, ""))
      .flatMap((stem) => [`${stem}.js`, `${stem}.js.map`, `${stem}.d.ts`, `${stem}.d.ts.map`])
  ]
  const manifest = readFileSync(join(folder, "package.json"), "utf8")
  return [
    ...wanted.filter((file) => !present.has(file)).map((file) => `the tarball lacks ${file}`),
    ...[...present].filter((file) => !wanted.includes(file)).map((file) => `the tarball should not hold ${file}`),
    ...deadLinks(folder, present),
    ...(manifest.includes("workspace:") ? ["its package.json still says workspace:"] : []),
    ...(manifest.includes("./src/") ? ["its package.json still exports sources; set publishConfig.exports"] : [])
  ].map((problem) => `${one.manifest.name}: ${problem}`)
}

/** Links between the documents of a package that lead to no file of it. There is no other place where they could lead. */
const deadLinks = (folder: string, present: ReadonlySet<string>): ReadonlyArray<string> =>
  [...present]
    .filter((file) => file.endsWith(".md"))
    .flatMap((file) => {
      const text = readFileSync(join(folder, file), "utf8").replaceAll(/^```[\s\S]*?^```/gm, "")
      return [...text.matchAll(/\]\((?![a-z]+:|#)([^)\s#]+)/g)]
        .map(([, target = ""]) => target)
        .filter((target) => !present.has(join(dirname(file), target)))
        .map((target) => `${file} links to ${target}, which is not in the tarball`)
    })

const published = async (one: Packed): Promise<ReadonlyArray<string>> => {
  const result = await run("publint", ["run", one.tarball, "--strict"])
  return result.code === 0 ? [] : [`${one.manifest.name}: publint\n${result.output.trimEnd()}`]
}

/** Every module that a user may import: the exact exports, and each module that `./*` stands for. */
const entriesOf = (packed: ReadonlyArray<Packed>, project: string): ReadonlyArray<string> =>
  packed.flatMap((one) =>
    Object.entries(one.manifest.exports ?? {}).flatMap(([path, target]) => {
      if (target === null || path.endsWith(".json")) return []
      if (path !== "./*") return [one.manifest.name + path.slice(1)]
      return globSync("dist/*.js", { cwd: installedFolder(one, project) })
        .map((file) => basename(file, ".js"))
        .filter((name) => name !== "index")
        .toSorted()
        .map((name) => `${one.manifest.name}/${name}`)
    })
  )

/** Imports every entry and all data in plain Node, and asks that what is internal stays out of reach. */
const imports = async (packed: ReadonlyArray<Packed>, project: string): Promise<ReadonlyArray<string>> => {
  const internals = packed
    .map((one) => ({
      name: one.manifest.name,
      file: globSync("dist/internal/*.js", { cwd: installedFolder(one, project) })[0]
    }))
    .flatMap(({ name, file }) => (file === undefined ? [] : [`${name}/internal/${basename(file, ".js")}`]))
  const data = packed.flatMap((one) =>
    Object.keys(one.manifest.exports ?? {})
      .filter((path) => path.endsWith(".json"))
      .map((path) => one.manifest.name + path.slice(1))
  )
  const program = [
    `for (const entry of ${JSON.stringify(data)}) {`,
    "  await import(entry, { with: { type: 'json' } }).catch((error) => console.log(`${entry}: ${error.stack}`))",
    "}",
    `for (const entry of ${JSON.stringify(entriesOf(packed, project))}) {`,
    "  const module = await import(entry).catch((error) => console.log(`${entry}: ${error.stack}`))",
    "  if (module && Object.keys(module).length === 0) console.error(`${entry} exports types only`)",
    "}",
    `for (const entry of ${JSON.stringify(internals)}) {`,
    "  await import(entry).then(",
    "    () => console.log(`${entry}: is private, and can be imported`),",
    "    (error) => error.code === 'ERR_PACKAGE_PATH_NOT_EXPORTED' || console.log(`${entry}: ${error.stack}`)",
    "  )",
    "}"
  ]
  writeFileSync(join(project, "imports.mjs"), program.join("\n"))
  const result = await run(process.execPath, ["imports.mjs"], { cwd: project, timeoutMillis: 60_000 })
  if (result.code !== 0) return [`importing the packages: exit code ${result.code}\n${result.output}`]
  return result.stdout.trim() === "" ? [] : [result.stdout.trimEnd()]
}

/**
 * Compiles a program that imports every entry, with the declarations themselves checked. It has Node's types and no DOM,
 * as a service has. Complaints about other people's declarations are theirs.
 */
const consumerTypes = async (packed: ReadonlyArray<Packed>, project: string): Promise<ReadonlyArray<string>> => {
  const entries = entriesOf(packed, project)
  const program = [
    ...entries.map((entry, index) => `import * as module${index} from "${entry}"`),
    `export const all: ReadonlyArray<object> = [${entries.map((_, index) => `module${index}`).join(", ")}]`
  ]
  writeFileSync(join(project, "consumer.ts"), `${program.join("\n")}\n`)
  writeFileSync(
    join(project, "tsconfig.json"),
    JSON.stringify({
      compilerOptions: {
        target: "ES2022",
        lib: ["ES2024", "ESNext.Disposable"],
        module: "NodeNext",
        strict: true,
        exactOptionalPropertyTypes: true,
        skipLibCheck: false,
        noEmit: true,
        types: ["node"]
      },
      files: ["consumer.ts"]
    })
  )
  const result = await run("tsc", ["--project", project, "--pretty", "false"], { cwd: project })
  const complaints = result.output.split("\n").filter((line) => /^\S.*error TS\d+/.test(line))
  const names = packed.map(({ manifest }) => `${manifest.name}/`)
  const ours = complaints.filter((line) => {
    const [place = ""] = line.split("(")
    const owner = place.split("/node_modules/")
    return owner.length === 1 || names.some((name) => owner.at(-1)?.startsWith(name))
  })
  if (result.code !== 0 && complaints.length === 0) return [`compiling against the packages\n${result.output}`]
  return ours
}
