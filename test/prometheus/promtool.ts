/** Prometheus' own judge of pages and rules. */
import { spawnSync } from "node:child_process"

const waitMillis = 40_000

export const isInstalled = (): boolean => spawnSync("promtool", ["--version"]).status === 0

/** What it says of its input, and whether it found nothing wrong. */
export const promtool = (
  args: ReadonlyArray<string>,
  input = ""
): { readonly isContent: boolean; readonly said: string } => {
  const { error, status, stderr, stdout } = spawnSync("promtool", args, {
    input,
    encoding: "utf8",
    timeout: waitMillis
  })
  return { isContent: status === 0, said: error === undefined ? `${stdout}${stderr}` : error.message }
}
