// `npm run mutation`: breaks the state machines, one place at a time, and says which breaks no test sees.

import { runPinned } from "./bootstrap.mjs"

await runPinned("scripts/mutation.ts", process.argv.slice(2))
