/** The problems of a policy, as sentences that name its places as they were written. */

import { oneLine } from "@holdfast/core/OneLine"

/** Everything that is wrong, a sentence each. */
export type Problems = ReadonlyArray<string>

/** The message of problems: a line each, whatever names and values they quote. */
export const inLines = (problems: Problems): string =>
  problems.map((problem) => oneLine(`HttpPolicy: ${problem}`)).join("\n")

const mostTold = 50

/**
 * The faults of a policy, as they are found. A file may be wrong in as many places as it has, and to say of each what was probably meant
 * would take longer than to read it; so the first are told, and the rest are counted.
 */
export class Found {
  readonly #lines: Array<string> = []
  readonly #variables = new Map<string, string>()
  #more = 0

  /** Adds a sentence, which is made only when it is told. */
  add(line: () => string): void {
    if (this.#lines.length < mostTold) this.#lines.push(this.#asWritten(line()))
    else this.#more++
  }

  /** Says which variable holds what stands at a place of the policy. */
  isWritten(path: string, variable: string): void {
    this.#variables.set(path, variable)
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0
  }

  get problems(): Problems {
    return this.#more === 0 ? this.#lines : [...this.#lines, `and ${this.#more} more`]
  }

  /**
   * A sentence that begins with a place, with the variable's name in the place of its options; another one with the variables that it
   * speaks of.
   */
  #asWritten(line: string): string {
    const whole = this.#variables.get("")
    if (whole !== undefined) return `${whole}: ${line}`
    const held = [...this.#variables.keys()].filter(
      (path) => line.startsWith(path) && /^[ .:[]/.test(line.slice(path.length))
    )
    const longest = held.reduce((one, other) => (other.length > one.length ? other : one), "")
    if (longest !== "") return `${this.#variables.get(longest)}${line.slice(longest.length)}`
    const spoken = [...this.#variables].filter(([path]) => {
      const [stage = ""] = path.split(/[.[]/)
      return line.includes(stage) || line.includes(stage.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`))
    })
    const isNamed = [...this.#variables.values()].some((variable) => line.startsWith(variable))
    return spoken.length === 0 || isNamed ? line : `${line} (${spoken.map(([, variable]) => variable).join(", ")})`
  }
}
