// The floor: `undici.request`, nothing around it.

import { Agent, request } from "undici"
import { promiseWork, type RequestContender } from "./contender.ts"

export const contender: RequestContender = async ({ connections, origin, path }) => {
  const dispatcher = new Agent({ connections })
  return {
    work: promiseWork(async () => (await request(`${origin}${path}`, { dispatcher })).body.json()),
    close: () => dispatcher.close()
  }
}
