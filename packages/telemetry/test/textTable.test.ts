import { assert, describe, it } from "@effect/vitest"
import { type Column, markdownTable, textTable } from "../src/internal/windows/textTable.ts"

const columns: ReadonlyArray<Column> = [
  { title: "upstream", align: "left" },
  { title: "n", align: "right" },
  { title: "last", align: "left" }
]

describe("a table", () => {
  it("has columns as wide as the widest in them, title or cell, two spaces apart, and no space at the end of a line", () => {
    assert.deepStrictEqual(
      textTable(columns, [
        ["a", "1", "x"],
        ["payments-eu", "12345", ""],
        ["b", "22", "later"]
      ]),
      ["UPSTREAM         N  LAST", "a                1  x", "payments-eu  12345", "b               22  later"]
    )
  })

  it("without rows is its titles, and a row that is too short ends early", () => {
    assert.deepStrictEqual(textTable(columns, []), ["UPSTREAM  N  LAST"])
    assert.deepStrictEqual(textTable(columns, [["a"]]), ["UPSTREAM  N  LAST", "a"])
    assert.deepStrictEqual(textTable(columns, [["a"], ["b", "12345", "x"]]), [
      "UPSTREAM      N  LAST",
      "a",
      "b         12345  x"
    ])
  })

  it("has a line for each row, whatever a cell holds", () => {
    const forged = "a\nb\u2028c\u001b[31m\r\nd"
    const [, row = "", ...rest] = textTable(columns, [[forged, "1", "x"]])
    assert.deepStrictEqual(rest, [])
    assert.notMatch(row, /[\p{Cc}\u2028\u2029]/u)
    assert.match(row, /^a b c/)
    for (const line of markdownTable(columns, [[forged, "1", "x"]])) assert.notMatch(line, /[\p{Cc}\u2028\u2029]/u)
  })

  it("in Markdown says how its columns are aligned, and a cell cannot end itself or mean anything", () => {
    assert.deepStrictEqual(markdownTable(columns, [["a|b", "`1`", "*_<[\\]>_*"]]), [
      "| upstream | n | last |",
      "| :-- | --: | :-- |",
      "| a\\|b | \\`1\\` | \\*\\_\\<\\[\\\\\\]\\>\\_\\* |"
    ])
  })
})
