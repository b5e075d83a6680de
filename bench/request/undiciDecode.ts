// The floor and the decoding that the contenders with a schema do: what is left of their difference is theirs.

import * as Schema from "effect/Schema"
import { Agent, request } from "undici"
import { Order } from "../order.ts"
import { promiseWork, type RequestContender } from "./contender.ts"

export const contender: RequestContender = async ({ connections, origin, path }) => {
  const dispatcher = new Agent({ connections })
  const decode = Schema.decodeUnknownSync(Order)
  return {
    work: promiseWork(async () => decode(await (await request(`${origin}${path}`, { dispatcher })).body.json())),
    close: () => dispatcher.close()
  }
}
