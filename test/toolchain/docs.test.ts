import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it, onTestFinished } from "vitest"
import {
  anchorsOf,
  deadLinksOf,
  expectedOf,
  fencesOf,
  fencesOfSource,
  judge,
  lonelyPagesOf,
  wrongOf
} from "../../scripts/checks/docs.ts"

const ended = { code: 0, stdout: "", stderr: "", output: "", timedOut: false }

describe("documentation examples", () => {
  it("are the ts fences of a page, with the line of each", () => {
    const page = [
      "# Title",
      "",
      "```ts",
      "const one = 1",
      "```",
      "",
      "```text",
      "not code",
      "```",
      "```ts no-run",
      "```"
    ]
    expect(fencesOf("page.md", page.join("\n"))).toEqual([
      { file: "page.md", line: 3, code: "const one = 1", runs: true },
      { file: "page.md", line: 10, code: "", runs: false }
    ])
  })

  it("may stand in a list, and hold a fence of their own in a string", () => {
    const page = ["- item", "  ````ts", "  const text = `", "  ```ts", "  `", "    deeper", "  ````"]
    expect(fencesOf("page.md", page.join("\n"))).toEqual([
      { file: "page.md", line: 2, code: "const text = `\n```ts\n`\n  deeper", runs: true }
    ])
  })

  it("say what is wrong with a fence that nobody would run", () => {
    const problems = (page: string) => fencesOf("page.md", page).map(({ problem }) => problem)
    expect(problems("```ts norun\n```")).toEqual(['"norun" means nothing here; ```ts and ```ts no-run do'])
    expect(problems("```typescript\n```")).toEqual(["write ```ts: only that is compiled and run"])
    expect(problems("```ts\nconst one = 1")).toEqual(["the fence is never closed"])
  })

  it("are read from JSDoc without its stars, and from no other comment", () => {
    const source = [
      "// ```ts",
      "/* ```ts",
      "``` */",
      "/**",
      " * Text.",
      " *",
      " *   ```ts",
      " *   const product = 2 *",
      " *     3",
      " *   ```",
      " */",
      "export const text = '/** ```ts'"
    ]
    expect(fencesOfSource("Module.ts", source.join("\n"))).toEqual([
      { file: "Module.ts", line: 7, code: "const product = 2 *\n  3", runs: true }
    ])
  })

  it("promise the text of each arrow comment, in order, and of nothing that only looks like one", () => {
    expect(
      expectedOf('console.log(1) // => 1\n// => two words \nconst url = "http://x // => no"\n// not => this')
    ).toEqual(["1", "two words"])
  })

  it("hold when they print what they promise", () => {
    expect(judge("console.log(1) // => 1", { ...ended, stdout: "1\n" })).toBeUndefined()
    expect(judge("", ended)).toBeUndefined()
  })

  it.each([
    ["another line", "// => 1", { stdout: "2\n" }, "  - 1\n  + 2"],
    ["a line more", "// => 1", { stdout: "1\n2\n" }, "    1\n  + 2"],
    ["a line less", "// => 1\n// => 2", { stdout: "1\n" }, "    1\n  - 2"],
    ["anything without a promise", "", { stdout: "1\n" }, "  + 1"],
    ["a warning without a promise", "", { stderr: "careful\n" }, "careful"],
    ["and then fail", "// => 1", { stdout: "1\n", code: 3, stderr: "boom" }, "boom"],
    ["and never end", "// => 1", { stdout: "1\n", code: null, timedOut: true }, "still running after 20 s"]
  ])("fail when they print %s", (_, code, result, said) => {
    expect(judge(code, { ...ended, ...result })).toContain(said)
  })

  it("share a process, and are judged as if each had its own, whatever the others do", async () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-examples-"))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const codes: Readonly<Record<string, string>> = {
      right: "console.log(1) // => 1",
      late: "setTimeout(() => console.log(2), 20) // => 2",
      wrong: "console.log(3) // => 4",
      leaves: "process.exit(console.log(5)) // => 5",
      "leaves something": "globalThis.left = true",
      "finds nothing": "console.log(globalThis.left) // => undefined",
      throws: "setTimeout(() => { throw new Error('thrown') })",
      "waits for ever": "await new Promise(() => {})",
      "runs for ever": "setInterval(() => {}, 1000)",
      "says that it failed": "process.exitCode = 3",
      last: "console.log(6) // => 6"
    }
    const programs = Object.entries(codes).map(([name, code]) => {
      const file = join(folder, `${name}.mjs`)
      writeFileSync(file, code)
      return { name, code, file }
    })
    const wrong = await wrongOf(programs, 3000)
    const said = Object.fromEntries([...wrong].map(([{ name }, why]) => [name, why.split("\n")[0]]))
    expect(said).toEqual({
      wrong: "it prints something else (- what it says, + what it prints):",
      throws: "exit code 1",
      "waits for ever": "exit code 13",
      "runs for ever": "still running after 20 s",
      "says that it failed": "exit code 3"
    })
  })
})

describe("links between the pages", () => {
  it("lead to headings, as GitHub writes them", () => {
    const page = [
      "# An `HttpClient`: two",
      "## Same",
      "## Same",
      "```sh",
      "# a comment",
      "```",
      "### [Linked](a.md) text_1 #"
    ]
    expect([...anchorsOf(page.join("\n"))]).toEqual(["an-httpclient-two", "same", "same-1", "linked-text_1"])
  })

  it("are refused where they lead nowhere, with their place", () => {
    const pages: { readonly [file: string]: string } = { "docs/b.md": "# There", "README.md": "# Top" }
    const text = [
      "# Here",
      "[a](b.md), [b](b.md#there), [c](#here), [d](../README.md#top), [e](https://a.example/#x), `[f](nowhere.md)`",
      "```md",
      "[g](nowhere.md)",
      "```",
      "[over two",
      "lines](b.md#gone), [h](#gone) and [i](c.md)"
    ].join("\n")
    expect(deadLinksOf("docs/a.md", text, (file) => pages[file])).toEqual([
      "docs/a.md:7 b.md#gone leads to no heading of docs/b.md",
      "docs/a.md:7 #gone leads to no heading of docs/a.md",
      "docs/a.md:7 c.md leads to no file"
    ])
  })

  it("that no other page leads to are told, whatever they say of themselves and whatever an example does", () => {
    const pages = new Map([
      ["README.md", "[a](docs/a.md)"],
      ["docs/a.md", "[b](more/b.md#place)\n\n```md\n[d](d.md)\n```"],
      ["docs/more/b.md", "nothing"],
      ["docs/c.md", "[c](c.md) [c](#here)"],
      ["docs/d.md", "nothing"]
    ])
    expect(lonelyPagesOf(pages)).toEqual([
      "docs/c.md has no link that leads to it",
      "docs/d.md has no link that leads to it"
    ])
  })
})
