// cockatiel around `undici.request`, with the signal that its timeout needs to end anything.

import { Agent, request } from "undici"
import { cockatielStack } from "../cockatielStack.ts"
import { promiseWork, type RequestContender } from "./contender.ts"

export const contender: RequestContender = async ({ connections, origin, path }) => {
  const dispatcher = new Agent({ connections })
  const { stack } = cockatielStack()
  return {
    work: promiseWork(() =>
      stack.execute(async ({ signal }) => (await request(`${origin}${path}`, { dispatcher, signal })).body.json())
    ),
    close: () => dispatcher.close()
  }
}
