import { describe, expect, it } from "vitest"
import { expectedOf, fencesOf, fencesOfSource, judge } from "../../scripts/checks/docs.ts"

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
})
