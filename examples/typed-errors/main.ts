// Every way in which a call can fail is in its type: one `CallError` with a tagged reason. One recovers from one reason,
// from several, from a business error of one's own, or by what kind of trouble it is; what is left says in one line what
// happened.
//
// prints:
// ada has 50, bob has no account
// closing ada: The account is not empty: 50 left
// closing bob: closed already
// transfer of 90: 200 ERR_BANK_NO_FUNDS: 40 missing
// transfer of 5000: 422 ERR_BANK_OVER_LIMIT: the limit is 1000
// statement of 2026: ServiceUnavailable is transient, after 3 attempts
// statement of none: BadRequest is caller, after 1 attempt
// bank: GET /accounts/{owner} failed after 3 attempts in …: 127.0.0.1:1: connection refused [ECONNREFUSED], in phase connect; no further attempt: the policy allows no more (ERR_NETWORK_CONNECTION_REFUSED, request …)

import { Effect, Layer, Schema } from "effect"
import { ErrorCatalog, HttpPolicy, Rejection, Upstream } from "holdfast"
import { NodeTransport } from "holdfast/node"
import { bankServer } from "./server.ts"

// -- what the bank may say ---------------------------------------------------------------------------------------------

class Account extends Schema.Class<Account>("Account")({ owner: Schema.String, balance: Schema.Int }) {}

class NoFunds extends Schema.Class<NoFunds>("NoFunds")({
  ok: Schema.Literal(false),
  error: Schema.Struct({ code: Schema.Literal("NO_FUNDS"), missing: Schema.Int })
}) {}

class OverLimit extends Schema.Class<OverLimit>("OverLimit")({
  code: Schema.Literal("OVER_LIMIT"),
  limit: Schema.Int
}) {}

const errors = ErrorCatalog.make("bank", {
  NO_FUNDS: { summary: "the account holds too little", answerStatus: 402 },
  OVER_LIMIT: { summary: "the amount is over the daily limit" }
})

const noFunds = Rejection.make(errors.NO_FUNDS, NoFunds)
const overLimit = Rejection.make(errors.OVER_LIMIT, OverLimit)

class Bank extends Upstream.Service<Bank>()("bank", {
  policy: HttpPolicy.standard({ deadline: "5 seconds" }),
  rejections: [noFunds, overLimit]
}) {}

// -- how to recover from it --------------------------------------------------------------------------------------------

/** From one reason. */
const balanceOf = Effect.fn("balanceOf")(
  function* (owner: string) {
    const bank = yield* Bank
    const account = yield* bank.get("/accounts/{owner}", { params: { owner }, decode: Account })
    return `${account.balance}`
  },
  Effect.catchReason("CallError", "NotFound", () => Effect.succeed("no account"))
)

/** From several, with the problem details that the bank sent. */
const close = Effect.fn("close")(
  function* (owner: string) {
    const bank = yield* Bank
    yield* bank.delete("/accounts/{owner}", { params: { owner } })
    return "closed"
  },
  Effect.catchReasons("CallError", {
    Gone: () => Effect.succeed("closed already"),
    Conflict: ({ problem }) => Effect.succeed(`${problem?.title}: ${problem?.["balance"]} left`)
  })
)

/** From a business error, whatever its status was: the first of these comes with a 200, the second with a 422. */
const transfer = Effect.fn("transfer")(
  function* (amount: number) {
    const bank = yield* Bank
    yield* bank.post("/transfers", { json: { amount }, idempotencyKey: true })
    return "transferred"
  },
  Rejection.catchRejection(noFunds, ({ error }, { entry, status }) =>
    Effect.succeed(`${status} ${entry.code}: ${error.missing} missing`)
  ),
  Rejection.catchRejection(overLimit, ({ limit }, { entry, status }) =>
    Effect.succeed(`${status} ${entry.code}: the limit is ${limit}`)
  )
)

/** From what kind of trouble it is, whichever of the fifty reasons. */
const statement = Effect.fn("statement")(
  function* (year: string) {
    const bank = yield* Bank
    const answer = yield* bank.get("/statements/{year}", { params: { year } })
    return answer.text
  },
  Effect.catchTag("CallError", ({ attempts, entry, reason }) =>
    Effect.succeed(`${reason._tag} is ${entry.nature}, after ${attempts} ${attempts === 1 ? "attempt" : "attempts"}`)
  )
)

const program = Effect.gen(function* () {
  console.log(`ada has ${yield* balanceOf("ada")}, bob has ${yield* balanceOf("bob")}`)
  console.log(`closing ada: ${yield* close("ada")}`)
  console.log(`closing bob: ${yield* close("bob")}`)
  console.log(`transfer of 90: ${yield* transfer(90)}`)
  console.log(`transfer of 5000: ${yield* transfer(5000)}`)
  console.log(`statement of 2026: ${yield* statement("2026")}`)
  console.log(`statement of none: ${yield* statement("none")}`)
})

const main = Effect.gen(function* () {
  const server = yield* bankServer
  const transport = NodeTransport.layer()
  yield* program.pipe(Effect.provide(Bank.layerWith({ baseUrl: server.url }).pipe(Layer.provide(transport))))

  // a bank that is not there: nothing listens on port 1
  const nobody = Bank.layerWith({ baseUrl: "http://127.0.0.1:1" }).pipe(Layer.provide(transport))
  const error = yield* balanceOf("ada").pipe(Effect.provide(nobody), Effect.flip)
  // how long it took and the request's identifier are of the moment
  console.log(error.message.replace(/ in \d[^:]*/, " in …").replace(/request \w+/, "request …"))
})

await Effect.runPromise(Effect.scoped(main))
