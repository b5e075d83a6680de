import { assert, describe, it } from "@effect/vitest"
import { Console, Effect } from "effect"
import * as ConsoleTracer from "../src/ConsoleTracer.ts"

/** Runs as on a terminal of so many columns, or on none. */
const onTerminal = <A, E, R>(
  terminal: { readonly isTTY: boolean; readonly columns: number | undefined; readonly noColor?: string | undefined },
  self: Effect.Effect<A, E, R>
) =>
  Effect.acquireUseRelease(
    Effect.sync(() => {
      const before = { isTTY: process.stdout.isTTY, columns: process.stdout.columns, noColor: process.env["NO_COLOR"] }
      const { isTTY, columns } = terminal
      Object.assign(process.stdout, { isTTY, columns })
      delete process.env["NO_COLOR"]
      if (terminal.noColor !== undefined) process.env["NO_COLOR"] = terminal.noColor
      return before
    }),
    () => self,
    ({ columns, isTTY, noColor }) =>
      Effect.sync(() => {
        Object.assign(process.stdout, { isTTY, columns })
        delete process.env["NO_COLOR"]
        if (noColor !== undefined) process.env["NO_COLOR"] = noColor
      })
  )

/** What the console is told of a trace with a long line in it. */
const told = (options: ConsoleTracer.Options = {}) =>
  Effect.suspend(() => {
    const texts: Array<string> = []
    const heard: Console.Console = { ...console, log: (text: string) => texts.push(text) }
    return Effect.die(new Error("x".repeat(300))).pipe(
      Effect.withSpan("child"),
      Effect.exit,
      Effect.withSpan("root"),
      Effect.provide(ConsoleTracer.layer(options)),
      Effect.provideService(Console.Console, heard),
      Effect.map(() => texts.join("\n"))
    )
  })

const escape = "\u001b["

const longest = (text: string): number => Math.max(...text.split("\n").map((line) => line.length))

describe("the console tracer on a terminal", () => {
  it.effect(
    "keeps within its columns, where there are at least sixty, and a width that is given goes before them",
    () =>
      Effect.gen(function* () {
        const plain = (columns: number | undefined, options: ConsoleTracer.Options = {}) =>
          Effect.map(onTerminal({ isTTY: true, columns }, told({ colours: false, ...options })), longest)
        assert.strictEqual(yield* plain(100), 100)
        assert.strictEqual(yield* plain(60), 60)
        assert.isAbove(yield* plain(59), 300)
        assert.isAbove(yield* plain(undefined), 300)
        assert.strictEqual(yield* plain(100, { width: 80 }), 80)
      })
  )

  it.effect("has colours unless NO_COLOR is set to something, and none where there is no terminal", () =>
    Effect.gen(function* () {
      const isColoured = (isTTY: boolean, noColor: string | undefined, options: ConsoleTracer.Options = {}) =>
        Effect.map(onTerminal({ isTTY, columns: 100, noColor }, told(options)), (text) => text.includes(escape))
      assert.isTrue(yield* isColoured(true, undefined))
      assert.isTrue(yield* isColoured(true, ""))
      assert.isFalse(yield* isColoured(true, "1"))
      assert.isFalse(yield* isColoured(false, undefined))
      assert.isTrue(yield* isColoured(false, "1", { colours: true }))
      assert.isFalse(yield* isColoured(true, undefined, { colours: false }))
    })
  )

  it.effect("a `write` of one's own is on no terminal: no colours and no bound", () =>
    Effect.gen(function* () {
      const texts: Array<string> = []
      yield* onTerminal({ isTTY: true, columns: 60 }, told({ write: (text) => void texts.push(text) }))
      const text = texts.join("\n")
      assert.isAbove(longest(text), 300)
      assert.notInclude(text, escape)
    })
  )
})

describe("what is left out", () => {
  it.effect("is 512 spans of a trace and 256 traces", () =>
    Effect.gen(function* () {
      const early = (layer: (write: (text: string) => void) => Effect.Effect<unknown>) =>
        Effect.suspend(() => {
          const texts: Array<string> = []
          return Effect.map(
            layer((text) => void texts.push(text)),
            () => texts.filter((text) => text.includes("before its end")).length
          )
        })
      const spans = (count: number) => (write: (text: string) => void) =>
        Effect.replicateEffect(Effect.withSpan(Effect.void, "child"), count - 1).pipe(
          Effect.withSpan("root"),
          Effect.provide(ConsoleTracer.layer({ write }))
        )
      assert.strictEqual(yield* early(spans(511)), 0)
      assert.strictEqual(yield* early(spans(512)), 1)
      const traces = (count: number) => (write: (text: string) => void) => {
        let nested: Effect.Effect<void> = Effect.void
        for (let trace = 0; trace < count; trace++) nested = Effect.withSpan(nested, "root", { root: true })
        return Effect.provide(nested, ConsoleTracer.layer({ write }))
      }
      assert.strictEqual(yield* early(traces(256)), 0)
      assert.strictEqual(yield* early(traces(257)), 1)
    })
  )
})
