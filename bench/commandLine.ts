// What can be asked of `npm run bench`.

import { parseArgs } from "node:util"

export const sections = ["request", "call", "refusal", "heap"] as const
export type Section = (typeof sections)[number]

export interface Options {
  readonly rounds: number
  /** Only to see that everything runs: the figures mean nothing. */
  readonly quick: boolean
  readonly sections: ReadonlyArray<Section>
  /** Part of the ids of contenders to measure; floors always are. */
  readonly only: string | undefined
  readonly json: string | undefined
  /** A folder for a CPU profile of each contender. */
  readonly profile: string | undefined
}

export const usage = `npm run bench                            every contender, 5 rounds: some minutes
npm run bench -- --quick                 one short round, to see that everything runs; its figures mean nothing
npm run bench -- --rounds 9              more rounds: medians that move less
npm run bench -- --section request,heap  some of: ${sections.join(", ")}
npm run bench -- --only holdfast         contenders whose id contains this, and the floors
npm run bench -- --json out.json         the same as JSON
npm run bench -- --profile out           a CPU profile of each contender's last sample, and where its time went`

/** What was asked for, or what is wrong with it. */
export const parseOptions = (args: ReadonlyArray<string>): Options | string => {
  let values
  try {
    values = parseArgs({
      args: [...args],
      options: {
        rounds: { type: "string" },
        quick: { type: "boolean", default: false },
        section: { type: "string" },
        only: { type: "string" },
        json: { type: "string" },
        profile: { type: "string" },
        help: { type: "boolean", default: false }
      }
    }).values
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${usage}`
  }
  if (values.help) return usage
  const rounds = Number(values.rounds ?? (values.quick ? 1 : 5))
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    return `--rounds must be a whole number from 1 to 100, got ${values.rounds}`
  }
  const asked = values.section?.split(",") ?? sections
  const unknown = asked.find((name) => !sections.some((section) => section === name))
  if (unknown !== undefined) return `--section knows ${sections.join(", ")}, and not "${unknown}"`
  return {
    rounds,
    quick: values.quick,
    sections: sections.filter((section) => asked.includes(section)),
    only: values.only,
    json: values.json,
    profile: values.profile
  }
}
