// Runs examples of the documentation one after the other in one process, which loads what they import once. An example is over when
// nothing is left that could go on: Node says so by `beforeExit`, as it would in a process of the example's own.
//
//   node scripts/checks/exampleLane.ts <mark> <limit in milliseconds> <program> …
//
// The mark is a line on both streams behind all that an example said. What spoils the process (an exit of its own, an error that nobody
// caught, an `await` without end, no end in time) ends it without the mark: whoever started it runs that example by itself.

import { pathToFileURL } from "node:url"

const [mark = "", limit = "", ...programs] = process.argv.slice(2)
const waiting = programs.values()

let isRunning = false
let isLoaded = false
let late: NodeJS.Timeout | undefined

const start = (program: string): void => {
  isRunning = true
  isLoaded = false
  late = setTimeout(() => process.exit(1), Number(limit)).unref()
  void import(pathToFileURL(program).href).then(() => {
    isLoaded = true
  })
}

process.on("beforeExit", (code) => {
  clearTimeout(late)
  if (isRunning) {
    if (!isLoaded || code !== 0) process.exit(1)
    process.stdout.write(`${mark}\n`)
    process.stderr.write(`${mark}\n`)
  }
  const { done, value } = waiting.next()
  // in a turn of its own, without which nothing would be left to do, and Node would not ask again
  if (done !== true) setImmediate(start, value)
})
