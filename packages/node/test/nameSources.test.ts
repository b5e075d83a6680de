import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { askSystem } from "../src/internal/names/nameSources.ts"

describe("the operating system's resolver", () => {
  it.live("says of each address which family it is of, and not for how long it holds", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* askSystem("::1"), {
        addresses: [{ address: "::1", family: 6 }],
        timeToLiveMillis: undefined
      })
      assert.deepStrictEqual(yield* askSystem("127.0.0.1"), {
        addresses: [{ address: "127.0.0.1", family: 4 }],
        timeToLiveMillis: undefined
      })
    })
  )
})
