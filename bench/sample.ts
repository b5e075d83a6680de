// One sample, in a process of its own: `node sample.ts '<task>'`. It says what it measured, and ends.

import { answered, refused, unanswered } from "./call/contender.ts"
import { calls, type Entry, refusals, requests } from "./contenders.ts"
import { measureCalls } from "./measure/call.ts"
import { measureHeap } from "./measure/heap.ts"
import { measureRequests } from "./measure/request.ts"
import type { Figures, Task } from "./task.ts"

const find = <Contender>(entries: ReadonlyArray<Entry<Contender>>, id: string): Promise<Contender> => {
  const entry = entries.find((entry) => entry.id === id)
  if (entry === undefined) throw new Error(`there is no contender ${id}`)
  return entry.load()
}

const measure = async (task: Task): Promise<Figures> => {
  switch (task.section) {
    case "request": {
      const client = await (await find(requests, task.contender))(task.target)
      const figures = await measureRequests(client, task.target, task)
      await client.close()
      return figures
    }
    case "call":
      return measureCalls(await answered(await find(calls, task.contender)), task)
    case "refusal":
      return measureCalls(await refused(await find(refusals, task.contender)), task)
    case "heap": {
      const contender = await find(calls, task.contender)
      return measureHeap(await answered(contender), await unanswered(contender), task.calls)
    }
  }
}

// whoever started it has gone
process.on("disconnect", () => process.exit(1))

const figures = await measure(JSON.parse(process.argv[2] ?? ""))
if (process.send === undefined) console.log(figures)
else process.send(figures, () => process.exit(0))
