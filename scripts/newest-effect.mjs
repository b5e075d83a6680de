// `npm run newest-effect`: tries the packages with the newest Effect that their peer range lets in.

import { runPinned } from "./bootstrap.mjs"

await runPinned("scripts/newestEffect.ts", process.argv.slice(2))
