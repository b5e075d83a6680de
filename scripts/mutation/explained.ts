// Mutants that no test can tell from the original, each with the reason. One that is not found any more is told of.

import type { Mutant } from "./mutants.ts"

export interface Explanation {
  /** From the root. */
  readonly file: string
  /** A line of the module, without its indentation. */
  readonly line: string
  /** What becomes of what, as a run prints it. */
  readonly mutants: ReadonlyArray<readonly [before: string, after: string]>
  readonly why: string
}

export const explanations: ReadonlyArray<Explanation> = [
  {
    file: "packages/core/src/internal/retry/backoffDelay.ts",
    line: "for (let step = 0; step < retry && current < shape.capMillis; step++) {",
    mutants: [["current < shape.capMillis", "(current <= shape.capMillis)"]],
    why: "One step more past the cap is cut to the cap by whoever asked."
  },
  {
    file: "packages/core/src/internal/circuit/circuitState.ts",
    line: 'export const unwatched: Permit = { _tag: "Permit", isProbe: false, generation: -1 }',
    mutants: [["1", "2"]],
    why: "Any number below 0 is no generation."
  },
  {
    file: "packages/core/src/internal/circuit/circuitState.ts",
    line: "return passed > 0 ? state.at + passed : state.at",
    mutants: [["passed > 0", "(passed >= 0)"]],
    why: "Adding nothing is leaving as it is."
  },
  {
    file: "packages/core/src/internal/circuit/circuitState.ts",
    line: "return state.permit",
    mutants: [["return state.permit", ";"]],
    why: "It falls through to the case `ForcedClosed`, which gives the same."
  },
  {
    file: "packages/core/src/internal/circuit/circuitState.ts",
    line: "return lease(state, at)",
    mutants: [["return lease(state, at)", ";"]],
    why: "It falls through to the case `HalfOpen`, which gives the same."
  },
  {
    file: "packages/core/src/internal/circuit/circuitState.ts",
    line: "if (askedMillis > 0) state.askedUntil = Math.max(state.askedUntil, at + askedMillis)",
    mutants: [["0", "1"]],
    why: "A circuit that opens is open for a millisecond at least, asked or not."
  },
  {
    file: "packages/core/src/internal/circuit/circuitState.ts",
    line: "return undefined",
    mutants: [["return undefined", ";"]],
    why: "It is the last case of the function, which then ends with nothing."
  },
  {
    file: "packages/core/src/internal/circuit/circuitState.ts",
    line: "if (window === undefined) return undefined",
    mutants: [["return undefined", ";"]],
    why: "For the type: a rule with a rate has a window."
  },
  {
    file: "packages/core/src/internal/time/elapsed.ts",
    line: "if (millis < 10) return `${Number(millis.toFixed(1))}ms`",
    mutants: [["millis < 10", "(millis <= 10)"]],
    why: "Ten milliseconds read `10ms` either way."
  },
  {
    file: "packages/core/src/internal/outcome/exitOutcome.ts",
    line: "if (Result.isFailure(found)) return transient",
    mutants: [["return transient", ";"]],
    why: "Where no typed failure is found, none is of any class either, and the last line says the same; the type checker refuses it."
  },
  {
    file: "packages/core/src/internal/retry/hedgeState.ts",
    line: "learnedAtMillis: -Infinity",
    mutants: [["-Infinity", "(Infinity)"]],
    why: "No clock shows either, and a delay that was learned at such a time is never fresh."
  },
  {
    file: "packages/core/src/internal/time/latencyHistogram.ts",
    line: "if (micros < bucketsInOctave) return micros",
    mutants: [["micros < bucketsInOctave", "(micros <= bucketsInOctave)"]],
    why: "The formula gives 32 for 32 too."
  },
  {
    file: "packages/core/src/internal/time/latencyHistogram.ts",
    line: "if (histogram.count === 0) return",
    mutants: [["return", ";"]],
    why: "It only saves the work of clearing what is empty."
  },
  {
    file: "packages/core/src/internal/time/latencyHistogram.ts",
    line: "for (let bucket = 0; bucket < bucketCount; bucket++) {",
    mutants: [["bucket < bucketCount", "(bucket <= bucketCount)"]],
    why: "A typed array takes nothing beyond its end."
  },
  {
    file: "packages/core/src/internal/time/latencyHistogram.ts",
    line: "if (part.count === 0) return",
    mutants: [["return", ";"]],
    why: "It only saves the work of taking away nothing."
  },
  {
    file: "packages/core/src/internal/time/latencyHistogram.ts",
    line: "for (; octave < octaveCount - 1; octave++) {",
    mutants: [["1", "0"]],
    why: "The rank is used up before the last octave is passed: it is never above the count."
  },
  {
    file: "packages/core/src/internal/time/latencyHistogram.ts",
    line: "let octave = 0",
    mutants: [["0", "(-1)"]],
    why: "There is nothing in an octave before the first."
  },
  {
    file: "packages/core/src/internal/time/latencyHistogram.ts",
    line: "for (; bucket < bucketCount - 1; bucket++) {",
    mutants: [["1", "0"]],
    why: "The rank is used up before the last bucket is passed: the octaves are the sums of the buckets."
  },
  {
    file: "packages/core/src/internal/retry/retryDecision.ts",
    line: "const asked = wait.askedMillis ?? 0",
    mutants: [["0", "(-1)"]],
    why: "Less than nothing is asked for as little as nothing is: the longer of it and the schedule's wait counts."
  },
  {
    file: "packages/core/src/internal/limits/serverPace.ts",
    line: "remaining: 0,",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "Read only while a word is in force, and then it was written."
  },
  {
    file: "packages/core/src/internal/limits/serverPace.ts",
    line: "paceMillis: 0,",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "Read only while a word is in force, and then it was written."
  },
  {
    file: "packages/core/src/internal/limits/serverPace.ts",
    line: "burst: 0,",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "Read only while a word is in force, and then it was written."
  },
  {
    file: "packages/core/src/internal/limits/throttleState.ts",
    line: "slice: 0,",
    mutants: [["0", "(-1)"]],
    why: "The slice before the first is as empty as the first."
  },
  {
    file: "packages/core/src/internal/limits/throttleState.ts",
    line: "for (let lower = level + 1; lower < levelCount; lower++) excess -= state.requestsOfLevel[lower] ?? 0",
    mutants: [["lower < levelCount", "(lower <= levelCount)"]],
    why: "No request is of a level beyond the last."
  },
  {
    file: "packages/core/src/internal/time/timer.ts",
    line: "const sleep = Duration.millis(Number.isInteger(millis) ? millis : Math.floor(millis * 1000 - 1) / 1000)",
    mutants: [["1", "2"]],
    why: "It has to end a little before the instant; one microsecond or two."
  },
  {
    file: "packages/core/src/internal/time/timer.ts",
    line: "if (clock === liveClock && millis <= longestMillis) return new PlatformTimer(run, millis, subject)",
    mutants: [["millis <= longestMillis", "(millis < longestMillis)"]],
    why: "The sleep of Effect's own clock is that same timer of the platform, up to the same bound."
  },
  {
    file: "packages/core/src/internal/limits/tokenBucket.ts",
    line: "const found = missing > 0 ? [{ atMillis: state.latestMillis, cost: missing }] : []",
    mutants: [["missing > 0", "(missing >= 0)"]],
    why: "Whoever follows a limit from which nothing is taken has nothing taken from it."
  },
  {
    file: "packages/core/src/internal/limits/tokenBucket.ts",
    line: "if (first === undefined || first.atMillis >= untilMillis) return",
    mutants: [["first.atMillis >= untilMillis", "(first.atMillis > untilMillis)"]],
    why: "Moving everyone by nothing reckons the same times again."
  },
  {
    file: "packages/core/src/internal/circuit/window.ts",
    line: "bucket: 0",
    mutants: [["0", "(-1)"]],
    why: "The bucket before the first is as empty as the first."
  },
  {
    file: "packages/core/src/internal/circuit/window.ts",
    line: "if (bucket <= window.bucket) return",
    mutants: [
      ["bucket <= window.bucket", "(bucket < window.bucket)"],
      ["return", ";"]
    ],
    why: "There is no bucket to empty then; it only saves the loop, since the circuit's time does not go back."
  },
  {
    file: "packages/core/src/internal/circuit/window.ts",
    line: "for (let number = Math.max(window.bucket + 1, bucket - bucketCount + 1); number <= bucket; number++) {",
    mutants: [
      ["bucket - bucketCount + 1", "(bucket - bucketCount - 1)"],
      ["1", "0"]
    ],
    why: "A bucket of the ring is emptied twice, and the second time is empty."
  },
  {
    file: "packages/core/src/internal/circuit/window.ts",
    line: "if (gone === undefined) continue",
    mutants: [["continue", ";"]],
    why: "For the type: there is a bucket at every index below the length of the ring."
  },
  {
    file: "packages/core/src/internal/circuit/window.ts",
    line: 'if (window._tag === "Count") return counts',
    mutants: [["return counts", ";"]],
    why: "A count window has no `millis`, so the loop below ends at once; the type checker refuses it."
  },
  {
    file: "packages/core/src/internal/circuit/window.ts",
    line: "const gone = number < 0 ? undefined : window.ring[number % bucketCount]",
    mutants: [["0", "(-1)"]],
    why: "There is nothing at an index of -1 either."
  },
  {
    file: "packages/core/src/internal/circuit/window.ts",
    line: "window.next = 0",
    mutants: [["window.next = 0", ";"]],
    why: "Where an empty ring begins makes no difference."
  },
  {
    file: "packages/http/src/internal/call/guard.ts",
    line: "sentMillis: 0,",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "What was never sent is ignored, and of what is ignored no duration is read."
  },
  {
    file: "packages/http/src/internal/request/pathTemplate.ts",
    line: "const mostParsed = 1000",
    mutants: [
      ["1000", "0"],
      ["1000", "1001"],
      ["1000", "999"]
    ],
    why: "How many templates are remembered decides what is parsed again, and not what comes of it."
  },
  {
    file: "packages/http/src/internal/request/pathTemplate.ts",
    line: "if (parsed.size >= mostParsed) parsed.clear()",
    mutants: [["parsed.size >= mostParsed", "(parsed.size < mostParsed)"]],
    why: "What is forgotten is parsed again."
  },
  {
    file: "packages/http/src/internal/request/pathTemplate.ts",
    line: "parsed.set(template, parts)",
    mutants: [["parsed.set(template, parts)", ";"]],
    why: "What is forgotten is parsed again."
  },
  {
    file: "packages/http/src/internal/request/pathTemplate.ts",
    line: 'if (typeof value === "number" && Number.isSafeInteger(value)) return String(value)',
    mutants: [
      ['typeof value === "number"', '(typeof value !== "number")'],
      ["return String(value)", ";"]
    ],
    why: "The short way: a whole number has nothing to encode, and nothing else is a safe integer."
  },
  {
    file: "packages/http/src/internal/policy/policyWords.ts",
    line: "const worst = Duration.toMillis(attempt) * retry.loop.maxAttempts + (waits ?? 0)",
    mutants: [["waits ?? 0", "(waits)"]],
    why: "Where the waits are not known, nothing is said of the sum."
  },
  {
    file: "packages/http/src/internal/response/statusReason.ts",
    line: ": status < 500",
    mutants: [
      ["status < 500", "(status <= 500)"],
      ["500", "501"]
    ],
    why: "500 has a class of its own, and does not come here."
  },
  {
    file: "packages/http/src/internal/call/flightKey.ts",
    line: "if (nameless === undefined) return 0",
    mutants: [["return 0", "return undefined"]],
    why: "In the key it is `null` then, and nothing that has a number is."
  },
  {
    file: "packages/telemetry/src/Logging.ts",
    line: "if (kept >= 1) return logger.log(options)",
    mutants: [
      ["kept >= 1", "(kept > 1)"],
      ["return logger.log(options)", ";"]
    ],
    why: "The short way: what is kept at 1 is kept whatever its share is."
  },
  {
    file: "packages/telemetry/src/internal/otlp/otlpProtobuf.ts",
    line: "const itemBytes = 256",
    mutants: [
      ["256", "0"],
      ["256", "255"],
      ["256", "257"]
    ],
    why: "How much is set aside at first; what it does not hold makes it grow."
  },
  {
    file: "packages/telemetry/src/internal/prometheus/prometheusText.ts",
    line: "const sorted = [...this.families.values()].sort((one, other) => (one.name < other.name ? -1 : 1))",
    mutants: [["1", "2"]],
    why: "A sort looks at the sign alone."
  },
  {
    file: "packages/telemetry/src/internal/traces/recordedSpan.ts",
    line: 'if (typeof value === "string") return value',
    mutants: [["return value", ";"]],
    why: "A text is the text of itself."
  },
  {
    file: "packages/telemetry/src/internal/prometheus/prometheusPage.ts",
    line: "const charactersPerTurn = 131_072",
    mutants: [
      ["131_072", "131073"],
      ["131_072", "131071"]
    ],
    why: "Pieces of some such length; nobody waits for one character."
  },
  {
    file: "packages/telemetry/src/internal/windows/textTable.ts",
    line: "const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)))",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "The title is in every column, and is not empty."
  },
  {
    file: "packages/telemetry/src/internal/windows/callWindows.ts",
    line: 'const bucket = ending === "interrupted" || ending === "refused" ? -1 : bucketOf(durationMillis)',
    mutants: [["1", "2"]],
    why: "Any number below 0 is no bucket."
  },
  {
    file: "packages/telemetry/src/internal/metrics/durationBuckets.ts",
    line: "for (; bucket < bucketCount - 1; bucket++) {",
    mutants: [
      ["1", "0"],
      ["bucketCount - 1", "(bucketCount + 1)"]
    ],
    why: "The rank is used up in the last bucket at the latest: it is no more than all of them hold."
  },
  {
    file: "packages/telemetry/src/internal/otlp/protobufWriter.ts",
    line: "if (code > 127) return false",
    mutants: [["127", "0"]],
    why: "What is not copied by hand is encoded, and comes to the same bytes more slowly."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "rings: rings.map(({ places }) => Array.from({ length: places }, () => ({ number: -1, counters: undefined }))),",
    mutants: [["1", "2"]],
    why: "Any number below 0 is no slice."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "youngest: 0",
    mutants: [["0", "(-1)"]],
    why: "A clock that only goes forward begins at 0, so that its first slice is the youngest either way."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "const next = rings[ring + 1]?.sliceMillis ?? 0",
    mutants: [
      ["rings[ring + 1]?.sliceMillis ?? 0", "(rings[ring + 1]?.sliceMillis)"],
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "For the type: what leaves the last ring goes nowhere, whatever its number there would be."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "return next / (rings[ring]?.sliceMillis ?? 1)",
    mutants: [
      ["rings[ring]?.sliceMillis ?? 1", "(rings[ring]?.sliceMillis)"],
      ["1", "0"],
      ["1", "2"]
    ],
    why: "For the type: the ring that something leaves is there."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "for (let index = 0; index < from.length; index++) into[index] = (into[index] ?? 0) + (from[index] ?? 0)",
    mutants: [
      ["0", "(-1)"],
      ["index < from.length", "(index <= from.length)"]
    ],
    why: "A typed array takes nothing before its begin or beyond its end."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "if (place === undefined) return",
    mutants: [["return", ";"]],
    why: "For the type: a ring has a place for every number."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "if (place.number >= 0) {",
    mutants: [["0", "(-1)"]],
    why: "What was never used has nothing to hand on, and nowhere to."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "return place.number === number && place.counters !== undefined ? place.counters : takePlace(slices, 0, place, number)",
    mutants: [["place.counters !== undefined", "(place.counters === undefined)"]],
    why: "The short way: a place that belongs to the slice already is given as it is."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "for (let index = 0; index <= ring; index++) {",
    mutants: [["0", "(-1)"]],
    why: "There is no ring before the first."
  },
  {
    file: "packages/telemetry/src/internal/windows/timeSlices.ts",
    line: "const perSlice = sliceMillis / (rings[index]?.sliceMillis ?? sliceMillis)",
    mutants: [["rings[index]?.sliceMillis ?? sliceMillis", "(rings[index]?.sliceMillis)"]],
    why: "For the type: every ring up to this one is there."
  },
  {
    file: "packages/telemetry/src/internal/windows/failureGroups.ts",
    line: "slices: makeTimeSlices(2),",
    mutants: [["2", "3"]],
    why: "A counter more, that nobody counts with."
  },
  {
    file: "packages/telemetry/src/internal/metrics/upstreamGauges.ts",
    line: "let round = 0",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "It only tells one round from another."
  },
  {
    file: "packages/telemetry/src/internal/otlp/otlpDelivery.ts",
    line: "if (items === 0) return Effect.void",
    mutants: [["return Effect.void", "return undefined"]],
    why: "`andThen` gives what is no effect as it is, and nobody looks at it; the type checker refuses it."
  },
  {
    file: "packages/telemetry/src/internal/otlp/otlpDelivery.ts",
    line: "stop()",
    mutants: [["stop()", ";"]],
    why: "Whoever waits is told of the end once more, when it is over already: nothing is left to drop or to take out, and its callback has been called."
  },
  {
    file: "packages/telemetry/src/internal/windows/callWindows.ts",
    line: "uses: 0",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "It only tells what was used earlier from what was used later."
  },
  {
    file: "packages/telemetry/src/internal/windows/callWindows.ts",
    line: "if (operations.size === 0 && (oldest === undefined || total.used < oldest.used)) {",
    mutants: [["total.used < oldest.used", "(total.used <= oldest.used)"]],
    why: "No two of those that are compared were used at once: an upstream is one of them only when it has no operations any more."
  },
  {
    file: "packages/telemetry/src/internal/windows/callWindows.ts",
    line: "if (oldest === undefined || used < oldest.used) oldest = { upstream, operation, used }",
    mutants: [["used < oldest.used", "(used <= oldest.used)"]],
    why: "No two of those that are compared were used at once: an upstream is one of them only when it has no operations any more."
  },
  {
    file: "packages/telemetry/src/internal/metrics/recorder.ts",
    line: "if (isOwn) known.set(id, series)",
    mutants: [["known.set(id, series)", ";"]],
    why: "The short way: the table finds the one series of these labels too."
  },
  {
    file: "packages/telemetry/src/Windows.ts",
    line: "const covered = Math.max(0, Math.min(coveredMillis, nowMillis - sinceMillis))",
    mutants: [["0", "(-1)"]],
    why: "A clock that only goes forward has covered no less than nothing."
  },
  {
    file: "packages/telemetry/src/Windows.ts",
    line: "Duration.millis(quantileMillis(counters, State.firstBucket, share) ?? 0)",
    mutants: [
      [
        "quantileMillis(counters, State.firstBucket, share) ?? 0",
        "(quantileMillis(counters, State.firstBucket, share))"
      ],
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "For the type: a quantile is asked for only where something was counted."
  },
  {
    file: "packages/telemetry/src/internal/logs/logRecord.ts",
    line: "All: 0,",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "Nothing is logged at this level: it is a bound of levels."
  },
  {
    file: "packages/telemetry/src/internal/logs/logRecord.ts",
    line: "None: 0",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "Nothing is logged at this level: it is a bound of levels."
  },
  {
    file: "packages/telemetry/src/internal/metrics/recorder.ts",
    line: 'if (end.outcome === "success" && end.resend === 0 && !end.isHedge) {',
    mutants: [
      ["!end.isHedge", "(end.isHedge)"],
      ["end.resend === 0", "(end.resend !== 0)"]
    ],
    why: "The short way: whatever kind goes it, it goes alone, and is counted in its own series."
  },
  {
    file: "packages/telemetry/src/internal/metrics/recorder.ts",
    line: 'return this.sum("holdfast.attempts", `${kind} ${end.outcome} ${errorType ?? ""}`, {',
    mutants: [['errorType ?? ""', "(errorType)"]],
    why: "Any text that stands for none does, in a key."
  },
  {
    file: "packages/telemetry/src/internal/metrics/recorder.ts",
    line: 'end.outcome === "success" ? status * 4 + version : `${end.outcome} ${errorType ?? ""} ${status} ${version}`',
    mutants: [['errorType ?? ""', "(errorType)"]],
    why: "Any text that stands for none does, in a key."
  },
  {
    file: "packages/telemetry/src/internal/metrics/recorder.ts",
    line: "lastCall = undefined",
    mutants: [["lastCall = undefined", ";"]],
    why: "The short way for the next event of a call; this one lets the call go."
  },
  {
    file: "packages/telemetry/src/internal/otlp/otlpAnswer.ts",
    line: "const rejected = Number(answer.rejectedSpans ?? answer.rejectedDataPoints ?? answer.rejectedLogRecords ?? 0)",
    mutants: [
      [
        "answer.rejectedSpans ?? answer.rejectedDataPoints ?? answer.rejectedLogRecords ?? 0",
        "(answer.rejectedSpans ?? answer.rejectedDataPoints ?? answer.rejectedLogRecords)"
      ],
      ["0", "(-1)"]
    ],
    why: "What is no number above 0 rejects nothing."
  },
  {
    file: "packages/telemetry/src/internal/otlp/otlpData.ts",
    line: "dataPoints: histogram.dataPoints.map((point) => this.point(metric.name, point, point.count ?? 0))",
    mutants: [
      ["point.count ?? 0", "(point.count)"],
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "For the type: a point of a histogram has a count."
  },
  {
    file: "packages/telemetry/src/internal/otlp/otlpData.ts",
    line: "dataPoints: summary.dataPoints.map((point) => this.point(metric.name, point, point.count ?? 0))",
    mutants: [
      ["point.count ?? 0", "(point.count)"],
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "For the type: a point of a summary has a count."
  },
  {
    file: "packages/telemetry/src/internal/otlp/otlpResource.ts",
    line: "return undefined",
    mutants: [["return undefined", ";"]],
    why: "A function that ends gives nothing, too."
  },
  {
    file: "packages/telemetry/src/internal/prometheus/prometheusAccept.ts",
    line: "let openMetrics = 0",
    mutants: [["0", "(-1)"]],
    why: "What is not asked for is no more than 0."
  },
  {
    file: "packages/telemetry/src/internal/prometheus/prometheusAccept.ts",
    line: "let text = 0",
    mutants: [["0", "(-1)"]],
    why: "It is compared only with what is above 0."
  },
  {
    file: "packages/telemetry/src/internal/prometheus/prometheusAccept.ts",
    line: "let others = 0",
    mutants: [["0", "(-1)"]],
    why: "What is not asked for is no more than 0."
  },
  {
    file: "packages/telemetry/src/internal/prometheus/prometheusPage.ts",
    line: "const metricsPerTurn = 200",
    mutants: [
      ["200", "201"],
      ["200", "199"]
    ],
    why: "So many or so; nobody waits for one metric."
  },
  {
    file: "packages/telemetry/src/internal/prometheus/prometheusPage.ts",
    line: "if (index % metricsPerTurn === metricsPerTurn - 1) yield* Effect.yieldNow",
    mutants: [["1", "2"]],
    why: "Which of so many ends a turn makes no difference."
  },
  {
    file: "packages/telemetry/src/internal/metrics/series.ts",
    line: "const nobody: Owner = { isBeyond: true, holds: nothing, wasRead: nothing }",
    mutants: [["true", "false"]],
    why: "For the type: it owns the series for the rest, for which nobody asks whether there is room."
  },
  {
    file: "packages/telemetry/src/internal/otlp/deliveryMetrics.ts",
    line: 'reason ?? "arrived",',
    mutants: [['reason ?? "arrived"', "(reason)"]],
    why: "In this map `undefined` is a name like any other."
  },
  {
    file: "packages/telemetry/src/internal/otlp/deliveryMetrics.ts",
    line: "if (this.#registered.has(key)) return",
    mutants: [["return", ";"]],
    why: "The short way: registered once more, it is the same series of the same figures."
  },
  {
    file: "packages/telemetry/src/internal/otlp/deliveryPace.ts",
    line: "#isAsked = false",
    mutants: [["false", "true"]],
    why: "Nothing waits before something has failed, and then it is set."
  },
  {
    file: "packages/node/src/internal/names/nameSources.ts",
    line: "clearTimeout(patience)",
    mutants: [["clearTimeout(patience)", ";"]],
    why: "What it would do a moment later has been done, and is done once."
  },
  {
    file: "packages/node/src/internal/names/nameCache.ts",
    line: "state.lookingUp.set(host, (state.lookingUp.get(host) ?? 0) + 1)",
    mutants: [
      ["state.lookingUp.get(host) ?? 0", "(state.lookingUp.get(host))"],
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "For the type: a look-up of this host has just begun, or was under way."
  },
  {
    file: "packages/node/src/internal/pool/abruptPeer.ts",
    line: "closedAfterMillis: 0,",
    mutants: [["0", "(-1)"]],
    why: "It is the longest of times, none of which is less than 0."
  },
  {
    file: "packages/node/src/internal/exchange/http1Wire.ts",
    line: 'dispatcher.dispatch({ origin, path, method, headers, body: body ?? null, servername: "peer" }, listener)',
    mutants: [["body ?? null", "(body)"]],
    why: "For the type: undici takes nothing for no body, too."
  },
  {
    file: "packages/node/src/internal/exchange/interimResponses.ts",
    line: "let heads = 0",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "It is set when a head is expected, and asked for no sooner."
  },
  {
    file: "packages/node/src/internal/connect/connect.ts",
    line: "peer: peerOf(socket) ?? means.socketPath ?? route.endpoint,",
    mutants: [["peerOf(socket) ?? means.socketPath ?? route.endpoint", "(peerOf(socket) ?? means.socketPath)"]],
    why: "For a socket that has ended by then, over which nothing is sent."
  },
  {
    file: "packages/telemetry/src/internal/metrics/series.ts",
    line: "if (value < this.min) this.min = value",
    mutants: [["value < this.min", "(value <= this.min)"]],
    why: "The least of two that are equal is either."
  },
  {
    file: "packages/telemetry/src/internal/metrics/series.ts",
    line: "if (value > this.max) this.max = value",
    mutants: [["value > this.max", "(value >= this.max)"]],
    why: "The greatest of two that are equal is either."
  },
  {
    file: "packages/telemetry/src/internal/otlp/dropEpisode.ts",
    line: "private lastMillis = 0",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "It is asked for only within an episode, whose beginning sets it."
  },
  {
    file: "packages/node/src/Tls.ts",
    line: "const current = { context: contextOf(frame, { own: undefined, ca: [] }), generation: 1, own: undefined }",
    mutants: [
      ["1", "0"],
      ["1", "2"]
    ],
    why: "It only tells one generation from another, and there is one."
  },
  {
    file: "packages/telemetry/src/internal/otlp/protobufWriter.ts",
    line: "const firstBytes = 1024",
    mutants: [
      ["1024", "1023"],
      ["1024", "1025"]
    ],
    why: "How much is set aside at first; what it does not hold makes it grow."
  },
  {
    file: "packages/telemetry/src/internal/prometheus/prometheusAccept.ts",
    line: "return value >= 0 && value <= 1 ? value : 0",
    mutants: [["0", "(-1)"]],
    why: "What is not wanted is no more than 0."
  },
  {
    file: "packages/telemetry/src/internal/otlp/otlpSlice.ts",
    line: "const all = new Range(0, 0)",
    mutants: [
      ["0", "(-1)"],
      ["0", "1"]
    ],
    why: "It is for the sizes of the items; the piece that it takes is thrown away."
  },
  {
    file: "packages/telemetry/src/internal/traces/recordedSpan.ts",
    line: 'const line = error?.message.split("\\n", 1)[0] ?? ""',
    mutants: [["1", "2"]],
    why: "Only the first line is taken."
  },
  {
    file: "packages/telemetry/src/internal/windows/callWindows.ts",
    line: "if (oldest === undefined) return",
    mutants: [["return", ";"]],
    why: "For the type: there is a series where there are too many."
  },
  {
    file: "packages/telemetry/src/internal/windows/callWindows.ts",
    line: "windows.forgotten++",
    mutants: [["windows.forgotten++", "windows.forgotten--"]],
    why: "It is only asked whether any was forgotten."
  },
  {
    file: "packages/node/src/internal/connect/dial.ts",
    line: "const delayMillis = options.attemptDelayMillis ?? 250",
    mutants: [
      ["250", "249"],
      ["250", "251"]
    ],
    why: "Nobody waits for one millisecond."
  },
  {
    file: "packages/node/src/internal/connect/dial.ts",
    line: 'if ("host" in options && isIP(options.host ?? "") === 0) {',
    mutants: [['options.host ?? ""', "(options.host)"]],
    why: "For the type: every target with a port has a host."
  },
  {
    file: "packages/node/src/NodeTransport.ts",
    line: "yield* Effect.addFinalizer(() => Effect.sync(stop))",
    mutants: [["yield* Effect.addFinalizer(() => Effect.sync(stop))", ";"]],
    why: "The credentials are the transport's own, and end with the same scope; renewing pools that are closing leaves them closing."
  }
]

export const explains = (explanation: Explanation, file: string, mutant: Mutant): boolean =>
  explanation.file === file &&
  explanation.line === mutant.lineText &&
  explanation.mutants.some(
    ([before, after]) => before === inOneLine(mutant.before) && after === inOneLine(mutant.after)
  )

export const inOneLine = (text: string): string => text.replace(/\s+/g, " ")
