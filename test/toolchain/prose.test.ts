import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { afterEach, describe, expect, it } from "vitest"
import type { Kind } from "../../scripts/prose.ts"
import { clausesOf, compare, findClauses, sentencesOf, sentencesOfSource } from "../../scripts/prose.ts"

const temporary: Array<string> = []

afterEach(() => {
  for (const folder of temporary.splice(0)) rmSync(folder, { recursive: true })
})

const repository = (contents: Readonly<Record<string, string>>): string => {
  const root = mkdtempSync(join(tmpdir(), "holdfast-prose-"))
  temporary.push(root)
  for (const [file, text] of Object.entries(contents)) {
    mkdirSync(dirname(join(root, file)), { recursive: true })
    writeFileSync(join(root, file), text)
  }
  return root
}

const kindsIn = (text: string): ReadonlyArray<Kind> => clausesOf("page.md", sentencesOf(text)).map(({ kind }) => kind)

describe("the sentences of a page", () => {
  const texts = (text: string) => sentencesOf(text).map(({ line, text }) => `${line} ${text}`)

  it("goes over the ends of lines, and knows where each begins", () => {
    expect(texts("One is\nhere. Two\nis there.\n\nThree.")).toEqual(["1 One is here.", "2 Two is there.", "5 Three."])
  })

  it("does not end at a version, an abbreviation or a number", () => {
    expect(texts("It needs Node 22.19 or later, e.g. 24, and no more.")).toEqual([
      "1 It needs Node 22.19 or later, e.g. 24, and no more."
    ])
  })

  it("takes items and cells one by one, without their marks", () => {
    expect(texts("- one\n- two\n\n| a | b |\n| - | - |\n| c | d |")).toEqual([
      "1 one",
      "2 two",
      "4 a",
      "4 b",
      "6 c",
      "6 d"
    ])
  })

  it("leaves out code, comments and what is made from code", () => {
    const page = [
      "Before.",
      "```ts",
      "// Who waits?",
      "```",
      "<!-- generated: errors -->",
      "",
      "What is made.",
      "",
      "<!-- /generated -->",
      "After."
    ]
    expect(texts(page.join("\n"))).toEqual(["1 Before.", "10 After."])
  })
})

describe("the sentences of a source", () => {
  const texts = (text: string) => sentencesOfSource("file.ts", text).map(({ line, text }) => `${line} ${text}`)

  it("are those of its comments, and not of its texts", () => {
    expect(texts('/** One. */\nconst a = "What is it" // Two.\n')).toEqual(["1 One.", "2 Two."])
  })

  it("go over comments of single lines that follow each other, and over no code between", () => {
    expect(texts("// one\n// goes on\nconst a = 1\n// two\n")).toEqual(["1 one goes on", "4 two"])
  })

  it("leave out the examples and the stars of a doc comment", () => {
    const source =
      "/**\n * One\n * goes on.\n *\n * ```ts\n * // Who?\n * ```\n *\n * @since 0.1.0\n */\nexport const a = 1\n"
    expect(texts(source)).toEqual(["2 One goes on.", "9 @since 0.1.0"])
  })
})

describe("a clause that stands for a noun", () => {
  it.each<[string, ReadonlyArray<Kind>]>([
    ["Who comes later waits.", ["who"]],
    ["Whoever leaves gives it back.", ["who"]],
    ["It is given to whoever asks.", ["who"]],
    ["The queue is for who comes when all are taken.", ["who"]],
    ["Those that wait go first.", ["those"]],
    ["It wakes those who wait.", ["those"]],
    ["What is beyond that is refused.", ["what"]],
    ["It is made of what came before.", ["whatOf"]],
    ["What is left of what was sent is dropped.", ["what", "whatOf"]]
  ])("is found in: %s", (text, kinds) => {
    expect(kindsIn(text)).toEqual(kinds)
  })

  it.each([
    "Callers that come later wait.",
    "Which of them goes first?",
    "Who goes first?",
    "What happens at the end?",
    "It says what happened, and who asked.",
    "What for, is another matter.",
    "**What it is not**: a cache."
  ])("is not found in: %s", (text) => {
    expect(kindsIn(text)).toEqual([])
  })

  it("is no phrase that heads a section or a table", () => {
    expect(kindsIn("# What a call costs\n\n| what | when |\n| --- | --- |\n| what is sent | now |")).toEqual([])
  })
})

describe("the figures of a repository", () => {
  const root = () =>
    repository({
      "README.md": "What is read is counted.\n",
      "docs/guides/one.md": "Whoever reads this is counted.\n",
      "packages/core/README.md": "It is for those who read.\n",
      "packages/core/src/Gate.ts": "/** What opens. */\nexport const gate = 1\n",
      "packages/core/src/Gate.test.ts": "// What is tested is not.\n",
      "scripts/run.ts": "// What runs here is not.\n"
    })

  it("are of the documents and of the comments in published sources", () => {
    const { clauses, files } = findClauses(root())
    expect(files).toBe(4)
    expect(clauses.map(({ file, kind, line }) => `${file}:${line} ${kind}`)).toEqual([
      "README.md:1 what",
      "docs/guides/one.md:1 who",
      "packages/core/README.md:1 those",
      "packages/core/src/Gate.ts:1 what"
    ])
  })

  const { clauses } = { clauses: clausesOf("page.md", sentencesOf("What is one. What is two. Who is three.")) }

  it("may not rise, and the sentences are named when they do", () => {
    const { fallen, risen } = compare(clauses, { who: 1, those: 0, what: 1, whatOf: 0 })
    expect(fallen).toEqual([])
    expect(risen).toHaveLength(1)
    expect(risen[0]).toContain("what: 2 sentences, and 1 are allowed")
    expect(risen[0]).toContain("page.md:1 What is two.")
  })

  it("are to be lowered when they fall", () => {
    expect(compare(clauses, { who: 3, those: 1, what: 2, whatOf: 0 })).toEqual({
      risen: [],
      fallen: ["who 3 → 1", "those 1 → 0"]
    })
  })
})
