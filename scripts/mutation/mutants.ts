// The ways in which a module is broken on purpose: each mutant is one small change that a test ought to notice.
//
// Mutants are cut from the syntax tree, so that types, comments and strings stay as they are, and so does whatever stands
// in the making of an error: no promise is made of its words.

import { parseSync } from "vite"

export interface Mutant {
  /** What is changed, in a word: `comparison`, `literal`, … */
  readonly kind: string
  readonly start: number
  readonly end: number
  readonly line: number
  /** The line as it is, without its indentation. */
  readonly lineText: string
  readonly before: string
  readonly after: string
}

/** A node of the tree, as far as it is known without asking for its type. */
interface Node {
  readonly type: string
  readonly start: number
  readonly end: number
  readonly [field: string]: unknown
}

const isNode = (value: unknown): value is Node =>
  typeof value === "object" && value !== null && "type" in value && typeof value.type === "string" && "start" in value

const comparisons: Readonly<Record<string, ReadonlyArray<string>>> = {
  "<": ["<=", ">="],
  "<=": ["<", ">"],
  ">": [">=", "<="],
  ">=": [">", "<"],
  "===": ["!=="],
  "!==": ["==="],
  "==": ["!="],
  "!=": ["=="]
}

const arithmetic: Readonly<Record<string, string>> = {
  "+": "-",
  "-": "+",
  "*": "/",
  "/": "*",
  "%": "*",
  "**": "*",
  "<<": ">>>",
  ">>>": "<<",
  ">>": "<<",
  "&": "|",
  "|": "&"
}

const assignments: Readonly<Record<string, string>> = {
  "+=": "-=",
  "-=": "+=",
  "*=": "/=",
  "/=": "*=",
  "??=": "=",
  "++": "--",
  "--": "++"
}

// maps, for a module may call what every object has, such as `toString`
const methods: ReadonlyMap<string, string> = new Map([
  ["Math.min", "Math.max"],
  ["Math.max", "Math.min"],
  ["Math.floor", "Math.ceil"],
  ["Math.ceil", "Math.floor"],
  ["Math.round", "Math.floor"]
])

const methodNames: ReadonlyMap<string, string> = new Map([
  ["some", "every"],
  ["every", "some"]
])

/** Nodes of types that hold an expression; everything else of TypeScript's is not run. */
const transparent = new Set(["TSAsExpression", "TSSatisfiesExpression", "TSNonNullExpression"])

/** Statements whose only purpose is what they do. */
const acts = new Set([
  "CallExpression",
  "AssignmentExpression",
  "UpdateExpression",
  "YieldExpression",
  "AwaitExpression"
])

const isUndefined = (node: unknown): boolean =>
  isNode(node) && node.type === "Identifier" && node["name"] === "undefined"

const isBoolean = (node: unknown): boolean =>
  isNode(node) && node.type === "Literal" && typeof node["value"] === "boolean"

/** Whether a sum is one of texts. */
const isText = (node: unknown): boolean => {
  if (!isNode(node)) return false
  if (node.type === "TemplateLiteral") return true
  if (node.type === "Literal") return typeof node["value"] === "string"
  return node.type === "BinaryExpression" && (isText(node["left"]) || isText(node["right"]))
}

/** `list[index]`, of which TypeScript does not believe that there is something at every index. */
const isIndexed = (node: unknown): boolean =>
  isNode(node) && node.type === "MemberExpression" && node["computed"] === true

/** Every mutant of a module, by where it stands. */
export const mutantsOf = (file: string, text: string): ReadonlyArray<Mutant> => {
  const found = new Map<string, Mutant>()
  const source = (node: unknown): string => (isNode(node) ? text.slice(node.start, node.end) : "")

  const change = (kind: string, node: Node, after: string): void => {
    const { start, end } = node
    const lineStart = text.lastIndexOf("\n", start - 1) + 1
    const lineEnd = text.indexOf("\n", start)
    found.set(`${start} ${end} ${after}`, {
      kind,
      start,
      end,
      line: text.slice(0, start).split("\n").length,
      lineText: text.slice(lineStart, lineEnd === -1 ? text.length : lineEnd).trim(),
      before: source(node),
      after
    })
  }

  const operator = (kind: string, node: Node, swapped: string): void =>
    change(kind, node, `(${source(node["left"])} ${swapped} ${source(node["right"])})`)

  const mutate = (node: Node, parents: ReadonlyArray<Node>): void => {
    const parent = parents.at(-1)
    switch (node.type) {
      case "BinaryExpression": {
        const sign = String(node["operator"])
        for (const swapped of comparisons[sign] ?? []) operator("comparison", node, swapped)
        const swapped = arithmetic[sign]
        if (swapped !== undefined && !isText(node)) operator("arithmetic", node, swapped)
        return
      }
      case "LogicalExpression": {
        if (node["operator"] === "&&") return operator("logic", node, "||")
        if (node["operator"] === "||") return operator("logic", node, "&&")
        change("default", node, `(${source(node["right"])})`)
        if (!isIndexed(node["left"])) change("default", node, `(${source(node["left"])})`)
        return
      }
      case "UnaryExpression":
        if (node["operator"] === "!") change("logic", node, `(${source(node["argument"])})`)
        if (node["operator"] === "-") change("arithmetic", node, `(${source(node["argument"])})`)
        return
      case "AssignmentExpression": {
        const swapped = assignments[String(node["operator"])]
        if (swapped !== undefined)
          change("arithmetic", node, `${source(node["left"])} ${swapped} ${source(node["right"])}`)
        return
      }
      case "UpdateExpression": {
        const swapped = assignments[String(node["operator"])] ?? ""
        change(
          "arithmetic",
          node,
          node["prefix"] === true ? swapped + source(node["argument"]) : source(node["argument"]) + swapped
        )
        return
      }
      case "Literal": {
        const { value } = node
        if (typeof value === "boolean") change("literal", node, String(!value))
        if (typeof value === "number") {
          const others = Number.isInteger(value) ? [value + 1, value - 1, 0] : [value + 1, 0]
          for (const other of others)
            if (other !== value) change("literal", node, other < 0 ? `(${other})` : String(other))
        }
        return
      }
      case "CallExpression": {
        const callee = node["callee"]
        const swapped = methods.get(source(callee))
        if (swapped !== undefined && isNode(callee)) change("method", callee, swapped)
        const name = isNode(callee) && callee.type === "MemberExpression" ? callee["property"] : undefined
        const other = methodNames.get(source(name))
        if (other !== undefined && isNode(name)) change("method", name, other)
        return
      }
      case "ConditionalExpression":
        return change(
          "branch",
          node,
          `(${source(node["test"])} ? ${source(node["alternate"])} : ${source(node["consequent"])})`
        )
      case "IfStatement":
      case "WhileStatement": {
        const test = node["test"]
        const isBare = isNode(test) && !/^(Binary|Logical|Unary)Expression$/.test(test.type)
        if (isBare) change("branch", test, `!(${source(test)})`)
        return
      }
      case "ExpressionStatement": {
        const expression = node["expression"]
        if (isNode(expression) && acts.has(expression.type)) change("statement", node, ";")
        return
      }
      case "ContinueStatement":
        return change("statement", node, ";")
      case "BreakStatement": {
        const owner = parents.findLast(({ type }) => type === "SwitchStatement" || /^(For|While|Do)/.test(type))
        if (owner?.type !== "SwitchStatement") change("statement", node, ";")
        return
      }
      case "ReturnStatement": {
        const argument = node["argument"]
        if (isNode(argument) && !isUndefined(argument) && !isBoolean(argument))
          change("return", node, "return undefined")
        const block = parent?.type === "BlockStatement" ? parent["body"] : undefined
        const isLast = Array.isArray(block) && block.at(-1) === node && /Function/.test(parents.at(-2)?.type ?? "")
        if (!isLast) change("return", node, ";")
        return
      }
      case "ArrowFunctionExpression": {
        const body = node["body"]
        if (!isNode(body) || /^(BlockStatement|ArrowFunctionExpression)$/.test(body.type)) return
        if (!isUndefined(body) && !isBoolean(body)) change("return", body, "undefined")
      }
    }
  }

  const visit = (value: unknown, parents: ReadonlyArray<Node>): void => {
    if (Array.isArray(value)) {
      for (const child of value) visit(child, parents)
      return
    }
    if (!isNode(value)) return
    if (value.type.startsWith("TS") && !transparent.has(value.type)) return
    if (value.type === "NewExpression" && source(value["callee"]).endsWith("Error")) return
    if (!transparent.has(value.type)) mutate(value, parents)
    const inside = [...parents, value]
    for (const [field, child] of Object.entries(value)) {
      // the name of a field is not a value
      if (field === "key" && value["computed"] !== true) continue
      // the default of an indexed read is there for the type, and never taken
      if (field === "right" && value["operator"] === "??" && isIndexed(value["left"])) continue
      visit(child, inside)
    }
  }

  visit(parse(file, text), [])
  return [...found.values()]
    .filter((mutant) => mutant.before !== mutant.after)
    .toSorted((one, other) => one.start - other.start || one.end - other.end || one.after.localeCompare(other.after))
}

const parse = (file: string, text: string): unknown => {
  const { errors, program } = parseSync(file, text)
  const [error] = errors
  // a mutant that does not parse would fail every test, and prove nothing
  if (error !== undefined) throw new SyntaxError(`${file} does not parse: ${error.message}\n${text}`)
  return program.body
}

/** The module with the mutant in it. */
export const mutated = (file: string, text: string, { after, end, start }: Mutant): string => {
  const changed = text.slice(0, start) + after + text.slice(end)
  parse(file, changed)
  return changed
}
