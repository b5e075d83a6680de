// `npm run bench`: what a call costs, beside the peers. `npm run bench -- --quick` in seconds; `-- --help` says the rest.

import { runPinned } from "./bootstrap.mjs"

await runPinned("bench/main.ts", process.argv.slice(2))
