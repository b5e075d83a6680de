// `npm start`: one upstream's bad day, live. Arguments after `--` go to the program.

import { runPinned } from "./bootstrap.mjs"

await runPinned("examples/bad-day/main.ts", process.argv.slice(2))
