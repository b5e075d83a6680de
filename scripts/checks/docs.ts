// Compiles and runs every TypeScript example of the documentation, and compares what it prints with what it says. Links between the
// pages must lead to a file, and to a heading of it.
//
// In README.md, docs/ and the JSDoc of the sources, a fence is a program:
//
//   ```ts          compiled and run; its output is what the `// => text` comments say, line by line
//   ```ts no-run   compiled only

import { randomUUID } from "node:crypto"
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { availableParallelism } from "node:os"
import { dirname, join, relative } from "node:path"
import { parseSync } from "vite"
import type { Result } from "./command.ts"
import { root, run } from "./command.ts"
import type { Check } from "./report.ts"
import { count, nothingYet } from "./report.ts"
import { files } from "./workspace.ts"

export interface Fence {
  /** Where it was found, from the root of the repository. */
  readonly file: string
  /** The line of the opening fence. The program's first line is the next one. */
  readonly line: number
  readonly code: string
  readonly runs: boolean
  /** Set when the fence cannot be understood. */
  readonly problem?: string
}

const timeLimitMillis = 20_000
const folder = join(root, ".cache", "doc-examples")

/** The fences of a Markdown text, which may be indented and may stand in a list. */
export const fencesOf = (file: string, text: string, firstLine = 1): ReadonlyArray<Fence> => {
  const fences: Array<Fence> = []
  let open:
    | { readonly ticks: string; readonly indent: number; readonly info: string; readonly line: number }
    | undefined
  let code: Array<string> = []
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (open === undefined) {
      const opening = /^(\s*)(`{3,}|~{3,})\s*([^`]*)$/.exec(line)
      if (opening === null) continue
      const [, indent = "", ticks = "", info = ""] = opening
      open = { ticks, indent: indent.length, info: info.trim(), line: firstLine + index }
      code = []
    } else if (line.trim().startsWith(open.ticks) && line.trim().replaceAll(open.ticks.charAt(0), "") === "") {
      const fence = fenceOf(file, open.line, open.info, code.join("\n"))
      if (fence !== undefined) fences.push(fence)
      open = undefined
    } else {
      const blank = /^\s*/.exec(line)?.[0].length ?? 0
      code.push(line.slice(Math.min(open.indent, blank)))
    }
  }
  if (open !== undefined) {
    fences.push({ file, line: open.line, code: "", runs: false, problem: "the fence is never closed" })
  }
  return fences
}

const fenceOf = (file: string, line: number, info: string, code: string): Fence | undefined => {
  const [language, ...words] = info.split(/\s+/)
  if (language === "typescript") {
    return { file, line, code, runs: false, problem: "write ```ts: only that is compiled and run" }
  }
  if (language !== "ts") return undefined
  const unknown = words.find((word) => word !== "no-run")
  if (unknown !== undefined) {
    return {
      file,
      line,
      code,
      runs: false,
      problem: `"${unknown}" means nothing here; \`\`\`ts and \`\`\`ts no-run do`
    }
  }
  return { file, line, code, runs: !words.includes("no-run") }
}

/** The fences in the JSDoc comments of a source file. */
export const fencesOfSource = (file: string, text: string): ReadonlyArray<Fence> =>
  parseSync(file, text)
    .comments.filter((comment) => comment.type === "Block" && comment.value.startsWith("*"))
    .flatMap((comment) => {
      const firstLine = text.slice(0, comment.start).split("\n").length
      // The star that begins the comment goes too, so that line numbers and content stay in step.
      const content = comment.value.replace(/^\*/, "").replaceAll(/^[ \t]*\*(?: |$)?/gm, "")
      return fencesOf(file, content, firstLine)
    })

/** What a program says it prints: the text of every `// => text` in it, in order. */
export const expectedOf = (code: string): ReadonlyArray<string> =>
  parseSync("fence.ts", code)
    .comments.filter((comment) => comment.type === "Line")
    .flatMap((comment) => /^\s*=>\s?(.*)$/.exec(comment.value)?.[1]?.trimEnd() ?? [])

const linesOf = (output: string): ReadonlyArray<string> => {
  const lines = output.split(/\r?\n/).map((line) => line.trimEnd())
  if (lines.at(-1) === "") lines.pop()
  return lines
}

/** The lines of both, one under the other, where they differ. */
const difference = (expected: ReadonlyArray<string>, printed: ReadonlyArray<string>): string => {
  const lines: Array<string> = []
  for (let index = 0; index < Math.max(expected.length, printed.length); index++) {
    const said = expected[index]
    const real = printed[index]
    if (said === real) lines.push(`    ${said}`)
    else {
      if (said !== undefined) lines.push(`  - ${said}`)
      if (real !== undefined) lines.push(`  + ${real}`)
    }
  }
  return lines.join("\n")
}

/** Why a program that has ended is wrong, or nothing when it is right. */
export const judge = (code: string, result: Result): string | undefined => {
  const expected = expectedOf(code)
  const printed = linesOf(result.stdout)
  const said = result.stderr.trim() === "" ? "" : `\nstandard error:\n${result.stderr.trimEnd()}`
  if (result.timedOut) return `still running after ${timeLimitMillis / 1000} s${said}`
  if (result.code !== 0) return `exit code ${result.code}${said}`
  if (expected.length === 0 && (printed.length > 0 || said !== "")) {
    return `it prints, but no \`// => …\` says so:\n${difference([], printed)}${said}`
  }
  if (expected.join("\n") !== printed.join("\n")) {
    return `it prints something else (- what it says, + what it prints):\n${difference(expected, printed)}${said}`
  }
  return undefined
}

const pages = (): ReadonlyArray<string> => files(root, "README.md", "packages/*/README.md", "docs/**/*.md")

const find = (): ReadonlyArray<Fence> => [
  ...pages().flatMap((file) => fencesOf(file, readFileSync(join(root, file), "utf8"))),
  ...files(root, "packages/*/src/**/*.ts", "src/**/*.ts")
    .filter((file) => !file.endsWith(".test.ts"))
    .flatMap((file) => fencesOfSource(file, readFileSync(join(root, file), "utf8")))
]

/** The text of a page without its code, line by line, so that no heading and no link of an example is taken for one of the page. */
const withoutCode = (text: string): string => {
  let fence = ""
  return text
    .split(/\r?\n/)
    .map((line) => {
      const [, ticks = ""] = /^\s*(`{3,}|~{3,})/.exec(line) ?? []
      if (fence === "") fence = ticks
      else if (ticks.startsWith(fence)) fence = ""
      else return ""
      return ticks === "" ? line : ""
    })
    .join("\n")
}

/** The anchors of a page: its headings as GitHub writes them, the second of two equal ones with a number. */
export const anchorsOf = (text: string): ReadonlySet<string> => {
  const anchors = new Set<string>()
  for (const [, heading = ""] of withoutCode(text).matchAll(/^#{1,6}\s+(.+?)\s*#*$/gm)) {
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)/g, "$1").toLowerCase()
    const anchor = words.replaceAll(/[^\p{L}\p{N}\p{M}_ -]/gu, "").replaceAll(" ", "-")
    let unused = anchor
    for (let again = 1; anchors.has(unused); again++) unused = `${anchor}-${again}`
    anchors.add(unused)
  }
  return anchors
}

/** The links of a page that lead to no file, or to no heading of one. `read` gives a page's text, and nothing for what is not there. */
export const deadLinksOf = (
  file: string,
  text: string,
  read: (file: string) => string | undefined
): ReadonlyArray<string> => {
  const prose = withoutCode(text).replaceAll(/`[^`\n]*`/g, (code) => " ".repeat(code.length))
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(({ 1: link = "", index }) => {
    if (/^[a-z][a-z+.-]*:/i.test(link)) return []
    const [path = "", anchor] = link.split("#")
    const target = path === "" ? file : join(dirname(file), path)
    const page = path === "" ? text : read(target)
    const place = `${file}:${prose.slice(0, index).split("\n").length}`
    if (page === undefined) return [`${place} ${link} leads to no file`]
    if (anchor === undefined || !target.endsWith(".md") || anchorsOf(page).has(anchor)) return []
    return [`${place} ${link} leads to no heading of ${target}`]
  })
}

/** The pages to which no other page leads: nobody would find them. The first page is where readers begin. */
export const lonelyPagesOf = (pages: ReadonlyMap<string, string>): ReadonlyArray<string> => {
  const [first, ...others] = pages.keys()
  const reached = new Set([first])
  for (const [file, text] of pages) {
    for (const [, path = ""] of withoutCode(text).matchAll(/\]\(([^)\s#]+)/g)) {
      const target = join(dirname(file), path)
      if (target !== file) reached.add(target)
    }
  }
  return others.filter((file) => !reached.has(file)).map((file) => `${file} has no link that leads to it`)
}

const readIfThere = (file: string): string | undefined => {
  const path = join(root, file)
  if (!existsSync(path)) return undefined
  return statSync(path).isDirectory() ? "" : readFileSync(path, "utf8")
}

const programName = (fence: Fence): string => `${fence.file.replaceAll(/[^A-Za-z0-9]+/g, "-")}-${fence.line}.ts`

/** Writes the programs and a project for them. Line n of a program is line n of its fence. */
const extract = (fences: ReadonlyArray<Fence>): void => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  for (const fence of fences) writeFileSync(join(folder, programName(fence)), `${fence.code}\n`)
  const project = {
    extends: "../../tsconfig.base.json",
    compilerOptions: {
      composite: false,
      incremental: false,
      declaration: false,
      declarationMap: false,
      sourceMap: false,
      noEmit: true,
      allowImportingTsExtensions: true,
      rewriteRelativeImportExtensions: false,
      // An example may show a declaration without using it.
      noUnusedLocals: false,
      noUnusedParameters: false,
      types: ["node"]
    },
    files: fences.map(programName)
  }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(project, null, 2))
}

/** The compiler's complaints by program; those about anything else under the empty name. */
const compile = async (): Promise<ReadonlyMap<string, ReadonlyArray<{ line: number; text: string }>>> => {
  const result = await run("tsc", ["--project", join(folder, "tsconfig.json"), "--pretty", "false"])
  const complaints = new Map<string, Array<{ line: number; text: string }>>()
  const add = (name: string, complaint: { line: number; text: string }) =>
    complaints.set(name, [...(complaints.get(name) ?? []), complaint])
  let last = ""
  for (const line of result.output.split("\n").filter((line) => line.trim() !== "")) {
    const [, path, row, text] = /^(\S.*?)\((\d+),\d+\): (.*)$/.exec(line) ?? []
    if (path !== undefined && row !== undefined && text !== undefined) {
      last = path.includes(".cache/doc-examples/") ? (path.split("/").at(-1) ?? "") : ""
      add(last, { line: Number(row), text: last === "" ? line : text })
    } else {
      add(last, { line: 0, text: line })
    }
  }
  if (result.code !== 0 && complaints.size === 0) add("", { line: 0, text: `tsc: exit code ${result.code}` })
  return complaints
}

/** An example that is a file by now. */
export interface Program {
  readonly file: string
  readonly code: string
}

/** Runs programs one after the other in one process, and gives what they said, up to the first that spoiled it. */
const runTogether = async (programs: ReadonlyArray<Program>, limitMillis: number): Promise<ReadonlyArray<Result>> => {
  const mark = `over ${randomUUID()}`
  const { stderr, stdout } = await run(
    process.execPath,
    [join(root, "scripts/checks/exampleLane.ts"), mark, String(limitMillis), ...programs.map(({ file }) => file)],
    { timeoutMillis: limitMillis * programs.length }
  )
  const said = (output: string): ReadonlyArray<string> => output.split(`${mark}\n`).slice(0, -1)
  const errors = said(stderr)
  return said(stdout).map((stdout, index) => {
    const stderr = errors[index] ?? ""
    return { code: 0, stdout, stderr, output: stdout + stderr, timedOut: false }
  })
}

/**
 * The programs that are wrong, and why. They share a process, because most of the time of one goes into loading what they all import. One
 * that is not right in company is judged by itself, so that nothing of another program counts against it.
 */
export const wrongOf = async <P extends Program>(
  programs: ReadonlyArray<P>,
  limitMillis = timeLimitMillis
): Promise<ReadonlyMap<P, string>> => {
  const wrong = new Map<P, string>()
  for (let rest = programs; rest.length > 0;) {
    const results = await runTogether(rest, limitMillis)
    const doubtful = rest.slice(0, results.length + 1).filter(({ code }, index) => {
      const result = results[index]
      return result === undefined || judge(code, result) !== undefined
    })
    for (const program of doubtful) {
      const alone = await run(process.execPath, [program.file], { timeoutMillis: limitMillis })
      const why = judge(program.code, alone)
      if (why !== undefined) wrong.set(program, why)
    }
    rest = rest.slice(results.length + 1)
  }
  return wrong
}

export const docs: Check = {
  name: "docs",
  promise:
    "every example of the documentation compiles, runs and prints what it says, and every link within it leads somewhere, and one to each page",
  alone: true,
  run: async (args) => {
    const all = find()
    const fences = args.length === 0 ? all : all.filter((fence) => args.some((arg) => fence.file.includes(arg)))
    if (fences.length === 0) return nothingYet("```ts fences in README.md, docs/ and the sources")
    extract(fences)
    const complaints = await compile()

    const failures = pages()
      .filter((file) => args.length === 0 || args.some((arg) => file.includes(arg)))
      .flatMap((file) => deadLinksOf(file, readFileSync(join(root, file), "utf8"), readIfThere))
    if (args.length === 0) {
      const guides = ["README.md", ...files(root, "docs/**/*.md")]
      failures.push(...lonelyPagesOf(new Map(guides.map((file) => [file, readFileSync(join(root, file), "utf8")]))))
    }
    const fail = (fence: Fence, why: string): void => void failures.push(`${fence.file}:${fence.line} ${why}`)
    const runnable: Array<Fence> = []
    for (const fence of fences) {
      const errors = complaints.get(programName(fence))
      if (fence.problem !== undefined) fail(fence, fence.problem)
      else if (errors !== undefined) {
        const places = errors.map(({ line, text }) =>
          line === 0 ? text : `${fence.file}:${fence.line + line} ${text}`
        )
        fail(fence, `it does not compile:\n${places.join("\n")}`)
      } else if (fence.runs) runnable.push(fence)
    }
    const elsewhere = complaints.get("")
    if (elsewhere !== undefined) {
      failures.push(`outside the examples:\n${elsewhere.map(({ text }) => text).join("\n")}`)
    }

    const width = Math.min(2, availableParallelism())
    const programs = runnable.map((fence) => ({
      file: relative(root, join(folder, programName(fence))),
      code: fence.code,
      fence
    }))
    const lanes = Array.from({ length: width }, (_, lane) => programs.filter((_, index) => index % width === lane))
    for (const wrong of await Promise.all(lanes.map((lane) => wrongOf(lane)))) {
      for (const [{ fence }, why] of wrong) fail(fence, why)
    }

    const compiledOnly = fences.filter((fence) => !fence.runs && fence.problem === undefined).length
    return {
      passed: Math.max(0, fences.length - failures.length),
      failed: failures.length,
      skipped: 0,
      summary:
        `${count(runnable.length, "example")} run, ${compiledOnly} compiled only (no-run)` +
        (failures.length > 0 ? `, ${failures.length} failed` : ""),
      output: failures.toSorted().join("\n\n")
    }
  }
}
