/** How many letters must be added, dropped, replaced or swapped with their neighbour to make one word of another (Damerau). */
const distance = (one: string, other: string): number => {
  let beforeLast: ReadonlyArray<number> = []
  let last = Array.from({ length: other.length + 1 }, (_, column) => column)
  for (let row = 1; row <= one.length; row++) {
    const current = [row]
    for (let column = 1; column <= other.length; column++) {
      const isSame = one[row - 1] === other[column - 1]
      const isSwapped =
        row > 1 && column > 1 && one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1]
      current[column] = Math.min(
        (last[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
        isSwapped ? (beforeLast[column - 2] ?? 0) + 1 : Infinity
      )
    }
    beforeLast = last
    last = current
  }
  return last[other.length] ?? 0
}

/** A name that is this long is no slip of the pen, and comparing it would cost more than saying so. */
const longestName = 64

const plain = (name: string): string => name.toLowerCase().replaceAll(/[^a-z0-9]/g, "")

/** The name that was probably meant: one that is a slip away, or that holds what was written (`timeout`, `attemptTimeout`). */
export const nearestName = (given: string, names: ReadonlyArray<string>): string | undefined => {
  const slip = nearestSlip(given, names)
  const asked = plain(given)
  if (slip !== undefined || asked.length < 4) return slip
  return names.find((name) => plain(name).includes(asked) || (name.length > 3 && asked.includes(plain(name))))
}

/** The name that is a slip of the pen away: one letter in three, and not more than two. */
export const nearestSlip = (given: string, names: ReadonlyArray<string>): string | undefined => {
  if (given.length > longestName) return undefined
  const asked = plain(given)
  const [best] = names
    .map((name) => ({ name, distance: distance(asked, plain(name)) }))
    .filter((one) => one.distance <= Math.min(2, Math.floor(asked.length / 3)))
    .sort((one, other) => one.distance - other.distance)
  return best?.name
}
