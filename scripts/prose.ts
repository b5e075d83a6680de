// How often a relative clause stands for a noun in the documents and comments: "who comes when all are taken waits" instead of "when
// all connections are busy, callers queue". Such a sentence has to be read twice, because its subject has no name.

import { readFileSync } from "node:fs"
import { join } from "node:path"
import { parseSync } from "vite"
import { files } from "./checks/workspace.ts"

/** A sentence of a text, with the line on which it begins. */
export interface Sentence {
  readonly line: number
  readonly text: string
  /** A heading or a cell of a table, which may be a phrase. */
  readonly isLabel: boolean
}

interface Line {
  readonly line: number
  readonly text: string
}

/** What ends a paragraph: a heading, an item of a list, a row of a table, a tag of a doc comment, a quotation. */
const beginsBlock = /^\s*(?:#{1,6} |[-*+] |\d+[.)] |\||@\w|> )/

/** The end of a sentence. The next one begins in upper case, and no abbreviation stands before it. */
const sentenceEnd = /(?<=[.!?][)"'”*_]*)(?<!\b(?:e\.g|i\.e|cf|vs)\.)\s+(?=["'“(*_`[{]*[A-Z0-9])/

/** The sentences of lines of Markdown: without its code, its HTML comments, and the parts that are made from code. */
const sentencesOfLines = (lines: ReadonlyArray<Line>): ReadonlyArray<Sentence> => {
  const sentences: Array<Sentence> = []
  let block: Array<Line> = []
  const endBlock = (isLabel = false): void => {
    // where each line of the block begins in its text
    const starts: Array<{ readonly offset: number; readonly line: number }> = []
    let text = ""
    for (const { line, text: part } of block) {
      starts.push({ offset: text.length, line })
      text += `${part.trim()} `
    }
    block = []
    let offset = 0
    for (const piece of text.split(sentenceEnd)) {
      const begin = text.indexOf(piece, offset)
      offset = begin + piece.length
      const line = starts.findLast((start) => start.offset <= begin)?.line ?? 0
      const sentence = piece.replace(/^[-*+#>|\s]+(?=\S)|^\d+[.)]\s+/, "").trim()
      if (/\w/.test(sentence)) sentences.push({ line, text: sentence, isLabel })
    }
  }
  let fence: string | undefined
  let isGenerated = false
  for (const { line, text } of lines) {
    const ticks = /^\s*(`{3,}|~{3,})/.exec(text)?.[1]
    if (fence !== undefined) {
      if (ticks?.startsWith(fence) === true) fence = undefined
    } else if (ticks !== undefined) {
      endBlock()
      fence = ticks
    } else if (/^\s*<!--/.test(text)) {
      endBlock()
      if (text.includes("generated:")) isGenerated = true
      if (text.includes("/generated")) isGenerated = false
    } else if (!isGenerated) {
      if (text.trim() === "" || beginsBlock.test(text)) endBlock()
      if (/^\s*\|/.test(text)) {
        for (const cell of text.split(/(?<!\\)\|/)) {
          block = [{ line, text: cell }]
          endBlock(true)
        }
      } else if (text.trim() !== "") block.push({ line, text })
      if (/^\s*#{1,6} /.test(text)) endBlock(true)
    }
  }
  endBlock()
  return sentences
}

/** The sentences of a Markdown text. */
export const sentencesOf = (text: string): ReadonlyArray<Sentence> =>
  sentencesOfLines(text.split(/\r?\n/).map((text, index) => ({ line: index + 1, text })))

/** The sentences in the comments of a source file. Comments of single lines that follow each other are one text. */
export const sentencesOfSource = (file: string, text: string): ReadonlyArray<Sentence> => {
  const lineStarts = [0, ...Array.from(text.matchAll(/\n/g), ({ index }) => index + 1)]
  let line = 0
  const lines: Array<Line> = []
  let last: number | undefined
  for (const { type, start, value } of parseSync(file, text).comments) {
    while (line + 1 < lineStarts.length && (lineStarts[line + 1] ?? 0) <= start) line++
    const goesOn = type === "Line" && last === line - 1
    if (!goesOn) lines.push({ line, text: "" })
    for (const [index, part] of value.split("\n").entries()) {
      lines.push({ line: line + 1 + index, text: type === "Line" ? part : part.replace(/^\s*\*+ ?/, "") })
    }
    last = type === "Line" ? line : undefined
  }
  return sentencesOfLines(lines)
}

/** How a relative clause can stand for a noun. A question may begin with the same words, and a heading or a cell may be a phrase. */
const kinds = {
  who: {
    is: ({ text }: Sentence) =>
      /\bwhoever\b/i.test(text) ||
      (/^who\b/i.test(text) && !text.endsWith("?")) ||
      /(?:[:;(] |\b(?:at|behind|beside|but|by|for|from|in|of|on|than|to|under|with) )who\b/.test(text),
    instead: `"who waits": name them, as in "callers", "the server", "the reader"`
  },
  those: {
    is: ({ text }: Sentence) => /\bthose (?:who|whose|that|which)\b/i.test(text),
    instead: `"those that wait": say "waiting calls"`
  },
  what: {
    // every module comment says "**What it is not**: …", as it says "**When to use**: …"
    is: ({ isLabel, text }: Sentence) =>
      !isLabel && /^what\b(?! (?:for|if)\b| it is not\*\*)/i.test(text) && !/\?["”)*]*$/.test(text),
    instead: `a sentence that begins "What is sent": say "the request", "the events", "the options"`
  },
  whatOf: {
    is: ({ text }: Sentence) =>
      /\b(?:above|around|at|behind|below|beside|between|but|by|for|from|in|into|of|on|over|than|to|under|with) what\b/.test(
        text
      ),
    instead: `"of what was sent": say "of the request"`
  }
} as const

export type Kind = keyof typeof kinds

/** How many there may be of each kind. A figure may only be lowered. */
export const allowed: Readonly<Record<Kind, number>> = { who: 0, those: 0, what: 0, whatOf: 0 }

export interface Clause extends Sentence {
  /** From the root of the repository. */
  readonly file: string
  readonly kind: Kind
}

const kindNames = Object.keys(kinds) as ReadonlyArray<Kind>

/** The clauses that stand for nouns among the sentences of a file. A sentence may have several. */
export const clausesOf = (file: string, sentences: ReadonlyArray<Sentence>): ReadonlyArray<Clause> =>
  sentences.flatMap((sentence) =>
    kindNames.filter((kind) => kinds[kind].is(sentence)).map((kind) => ({ ...sentence, file, kind }))
  )

/** Reads the documents and the comments of the published sources. */
export const findClauses = (root: string): { readonly files: number; readonly clauses: ReadonlyArray<Clause> } => {
  const read = (file: string): string => readFileSync(join(root, file), "utf8")
  const documents = files(root, "README.md", "{docs,bench,examples}/**/*.md", "packages/*/README.md")
  const sources = files(root, "packages/*/src/**/*.ts", "src/**/*.ts").filter((file) => !file.endsWith(".test.ts"))
  return {
    files: documents.length + sources.length,
    clauses: [
      ...documents.flatMap((file) => clausesOf(file, sentencesOf(read(file)))),
      ...sources.flatMap((file) => clausesOf(file, sentencesOfSource(file, read(file))))
    ]
  }
}

/** Where the clauses are more than there may be, and where they are fewer, so that a figure can be lowered. */
export const compare = (
  clauses: ReadonlyArray<Clause>,
  figures: Readonly<Record<Kind, number>> = allowed
): { readonly risen: ReadonlyArray<string>; readonly fallen: ReadonlyArray<string> } => {
  const risen: Array<string> = []
  const fallen: Array<string> = []
  for (const kind of kindNames) {
    const found = clauses.filter((clause) => clause.kind === kind)
    if (found.length < figures[kind]) fallen.push(`${kind} ${figures[kind]} → ${found.length}`)
    if (found.length <= figures[kind]) continue
    risen.push(
      [
        `${kind}: ${found.length} sentences, and ${figures[kind]} are allowed. ${kinds[kind].instead}`,
        ...found.map(({ file, line, text }) => `  ${file}:${line} ${text}`)
      ].join("\n")
    )
  }
  return { risen, fallen }
}
