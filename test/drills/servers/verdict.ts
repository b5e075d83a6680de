/** What the clients told and what the backend knows, as a row of the table; and what of it breaks a promise. */
import type { ClientName, Load, Told } from "./load.ts"
import { clientNames, methodOf } from "./load.ts"
import type { Recorded } from "./processes.ts"

export interface Row {
  readonly calls: number
  readonly answered: number
  readonly getsFailed: number
  readonly postsFailed: number
  /** POSTs that the backend has, and whose callers were told that they failed. */
  readonly failedThoughApplied: number
  readonly refused: number
  /** POSTs that the backend has more than once. */
  readonly doubled: number
  readonly retries: number
  readonly hanging: number
  readonly uncaught: number
  /** The reasons of the failures, the most frequent first. */
  readonly why: string
}

export type Rows = Readonly<Record<ClientName, Row>>

const reasons = (words: ReadonlyArray<string>): string => {
  const counts = new Map<string, number>()
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1)
  return [...counts]
    .sort(([, left], [, right]) => right - left)
    .map(([word, count]) => `${count} ${word}`)
    .join(", ")
}

/** A GET that the backend has twice was made again, as it may be: of what is doubled, only the POSTs count. */
export const rowOf = ({ calls, failed, hanging, retries, uncaught }: Told, recorded: Recorded): Row => {
  const applied = new Set(recorded.map(([id]) => id))
  const failedPosts = failed.filter(({ method }) => method === "POST")
  return {
    calls: calls.GET + calls.POST,
    answered: calls.GET + calls.POST - failed.length,
    getsFailed: failed.length - failedPosts.length,
    postsFailed: failedPosts.length,
    failedThoughApplied: failedPosts.filter(({ id }) => applied.has(id)).length,
    refused: failed.filter(({ isRefusal }) => isRefusal).length,
    doubled: recorded.filter(([id, times]) => methodOf(id) === "POST" && times > 1).length,
    retries,
    hanging,
    uncaught: uncaught.length,
    why: reasons([...failed.map(({ method, why }) => `${method} ${why}`), ...uncaught.map((why) => `uncaught ${why}`)])
  }
}

export interface Terms {
  readonly load: Load
  /** The server gives up requests that it has taken: then some are told as failed by whatever client. */
  readonly abandons?: boolean
}

/** Chance does not give two clients the same number of calls that the server abandoned. */
const fairShare = (abandoned: number): number => 2 * abandoned + 10

/**
 * How many calls are answered where no client and no processor is slow: callers wait for the backend, and for their next round. Without
 * either there is no such number.
 */
const possible = ({ bound, callers, rounds, workMillis }: Load): number =>
  (callers * bound.millis) / (workMillis + (rounds?.pauseMillis[1] ?? 0))

/**
 * Whether the calls of a client are so few that it kept its callers waiting. Where a bare client does not reach half of what is possible
 * either, the processor is short, and says nothing of anybody.
 */
const isSlow = (answered: number, answeredByPeer: number, load: Load): boolean =>
  answeredByPeer >= possible(load) / 2 && answered < answeredByPeer / 2

/** What Holdfast promises and did not keep, beside what bare clients did with the same server at the same time. */
export const broken = ({ holdfast, node, undici }: Rows, { abandons = false, load }: Terms): ReadonlyArray<string> => {
  const { answered, calls, doubled, failedThoughApplied, getsFailed, hanging, refused, uncaught, why } = holdfast
  const answeredByPeer = Math.max(node.answered, undici.answered)
  const unavoidable = abandons ? fairShare(node.failedThoughApplied) : node.failedThoughApplied
  return [
    ...(getsFailed === 0 ? [] : [`${getsFailed} GETs were lost`]),
    ...(refused === 0 ? [] : [`${refused} calls were refused`]),
    ...(doubled === 0 ? [] : [`${doubled} POSTs were applied twice`]),
    ...(failedThoughApplied <= unavoidable
      ? []
      : [`${failedThoughApplied} POSTs were applied and told as failed, of bare node's ${node.failedThoughApplied}`]),
    ...(hanging === 0 ? [] : [`${hanging} calls did not end`]),
    ...(uncaught === 0 ? [] : [`${uncaught} errors reached the process`]),
    ...(isSlow(answered, answeredByPeer, load)
      ? [`${answered} calls were answered, fewer than half of a bare client's ${answeredByPeer}`]
      : [])
  ].map((what) => (why === "" ? what : `${what}: of ${calls} calls, ${why}`))
}

const figures: ReadonlyArray<readonly [heading: string, of: (row: Row) => number]> = [
  ["calls", ({ calls }) => calls],
  ["GET failed", ({ getsFailed }) => getsFailed],
  ["POST failed", ({ postsFailed }) => postsFailed],
  ["of those applied", ({ failedThoughApplied }) => failedThoughApplied],
  ["refused", ({ refused }) => refused],
  ["doubled", ({ doubled }) => doubled],
  ["retries", ({ retries }) => retries],
  ["hanging", ({ hanging }) => hanging],
  ["uncaught", ({ uncaught }) => uncaught]
]

const whyCharacters = 100

const shortened = (text: string): string =>
  text.length > whyCharacters ? `${text.slice(0, whyCharacters - 1)}…` : text

/** The whole drill as a table, one line for each client: figures to the right, words to the left. */
export const tableOf = (titled: ReadonlyArray<readonly [title: ReadonlyArray<string>, rows: Rows]>): string => {
  const cells = [
    ["server", "scenario", "HTTP", "client", ...figures.map(([heading]) => heading), "why"],
    ...titled.flatMap(([title, rows]) =>
      clientNames.map((client) => [
        ...title,
        client,
        ...figures.map(([, of]) => String(of(rows[client]))),
        shortened(rows[client].why)
      ])
    )
  ]
  const widths = (cells[0] ?? []).map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)))
  const words = 4
  return cells
    .map((row) =>
      row
        .map((cell, column) =>
          column < words || column === row.length - 1
            ? cell.padEnd(widths[column] ?? 0)
            : cell.padStart(widths[column] ?? 0)
        )
        .join("  ")
        .trimEnd()
    )
    .join("\n")
}
