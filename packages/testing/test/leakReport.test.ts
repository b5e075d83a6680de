import { assert, describe, it } from "@effect/vitest"
import { merged, pauseMillis, placesOf, report } from "../src/internal/leakReport.ts"

const stack = (...frames: ReadonlyArray<string>): string =>
  ["Error", ...frames.map((frame) => `    at ${frame}`)].join("\n")

describe("where a leak came from", () => {
  it("is the program's own frames, up to the fiber that ran them", () => {
    assert.deepStrictEqual(
      placesOf(
        stack(
          "new Timeout (node:internal/timers:180:5)",
          "connect (/app/node_modules/undici/lib/core/connect.js:1:1)",
          "open (/app/src/pool.ts:3:4)",
          "/app/src/main.ts:9:2",
          "Generator.next (<anonymous>)",
          "FiberImpl.runLoop (/app/node_modules/effect/dist/internal/effect.js:1:1)",
          "Socket.resume (/app/src/other.ts:1:1)"
        ),
        "/resourceWatch.ts"
      ),
      ["at open (/app/src/pool.ts:3:4)", "at /app/src/main.ts:9:2"]
    )
  })

  it("is the package's, where the program has none", () => {
    assert.deepStrictEqual(
      placesOf(
        stack("connect (/app/node_modules/undici/lib/core/connect.js:1:1)", "listOnTimeout (node:internal/timers:1:1)"),
        "/x"
      ),
      ["at connect (/app/node_modules/undici/lib/core/connect.js:1:1)"]
    )
  })

  it("ends where the check begins, is no longer than four frames, and may be unknown", () => {
    assert.deepStrictEqual(
      placesOf(
        stack("open (/app/pool.ts:3:4)", "run (/w/resourceWatch.ts:1:1)", "test (/app/a.test.ts:1:1)"),
        "/w/resourceWatch.ts"
      ),
      ["at open (/app/pool.ts:3:4)"]
    )
    assert.lengthOf(placesOf(stack(...Array.from({ length: 9 }, (_, line) => `f (/app/a.ts:${line}:1)`)), "/x"), 4)
    assert.deepStrictEqual(placesOf(undefined, "/x"), [])
  })
})

describe("a report", () => {
  it("counts what is alike, and keeps apart what comes from elsewhere", () => {
    const timer = { kind: "timer", what: "timer of 1s", where: ["at a"] } as const
    const leaks = merged([
      timer,
      { ...timer, where: ["at b"] },
      timer,
      { kind: "fiber", what: "fiber in poll", where: [] }
    ])
    assert.strictEqual(
      report(leaks, "500ms"),
      [
        "LeakCheck: 4 things are left 500ms after the effect ended",
        "  timer: 2 × timer of 1s",
        "      at a",
        "  timer: timer of 1s",
        "      at b",
        "  fiber: fiber in poll"
      ].join("\n")
    )
    assert.match(report(merged([timer]), "0ms"), /^LeakCheck: 1 thing is left 0ms/)
  })

  it("is looked for after pauses that double from 1 ms to 100 ms", () => {
    assert.deepStrictEqual(
      Array.from({ length: 9 }, (_, looks) => pauseMillis(looks)),
      [1, 2, 4, 8, 16, 32, 64, 100, 100]
    )
  })
})
