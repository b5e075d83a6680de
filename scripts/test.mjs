// `npm test`: every check. `npm test -- lint types` runs those two; `npm run unit -- -t bulkhead` passes the rest on.

import { runPinned } from "./bootstrap.mjs"

await runPinned("scripts/check.ts", process.argv.slice(2))
