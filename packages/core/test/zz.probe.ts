import { Arbitrary, Duration, Effect, Schema, Equal } from "effect"
import * as Reason from "../src/Reason.ts"
const p = async (s: any, n = 6) => {
  const r: any = await Effect.runPromise(
    Effect.result(Arbitrary.sampleEffect(Arbitrary.schema(s), { count: n, seed: "a" } as any))
  )
  return r.success ?? r
}
console.log(await p(Reason.ConnectTimeout))
console.log(await p(Reason.BusinessRejected))
console.log(await p(Reason.NotFound, 3))
console.log(await p(Schema.DurationFromMillis, 12))
const e = Schema.encodeSync(Reason.ConnectTimeout)
for (const d of [Duration.infinity, Duration.nanos(1n), Duration.millis(1.5), Duration.millis(-5)]) {
  try {
    const j = JSON.stringify(e(new Reason.ConnectTimeout({ endpoint: "x", limit: d })))
    console.log(j)
    console.log(Schema.decodeUnknownSync(Reason.ConnectTimeout)(JSON.parse(j)).message)
  } catch (x) {
    console.log("ERR", String(x))
  }
}
const a = new Reason.ConnectTimeout({ endpoint: "x", limit: Duration.millis(5) }),
  b = new Reason.ConnectTimeout({ endpoint: "x", limit: Duration.millis(5) })
console.log(Equal.equals(a, b), Equal.equals(Duration.millis(1.5), Duration.millis(1.5)))
try {
  const j = JSON.stringify(
    Schema.encodeSync(Reason.BusinessRejected)(
      new Reason.BusinessRejected({
        code: "c",
        status: 200,
        summary: "s",
        error: undefined,
        retryable: false,
        answerStatus: 422
      })
    )
  )
  console.log(j)
  console.log(Schema.decodeUnknownSync(Reason.BusinessRejected)(JSON.parse(j)))
} catch (x) {
  console.log("ERR", String(x))
}
