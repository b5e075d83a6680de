/** An address of a host, as Node takes it. */
export interface Address {
  readonly address: string
  readonly family: 4 | 6
}

/** Takes one of each family by turns, beginning with the family of the first (RFC 8305 §4). Within a family the order stays. */
export const interleaved = (addresses: ReadonlyArray<Address>): ReadonlyArray<Address> => {
  const first = addresses[0]?.family
  const ofFirst = addresses.filter(({ family }) => family === first)
  const ofOther = addresses.filter(({ family }) => family !== first)
  const length = Math.max(ofFirst.length, ofOther.length)
  return Array.from({ length }, (_, index) => [
    ...ofFirst.slice(index, index + 1),
    ...ofOther.slice(index, index + 1)
  ]).flat()
}

const rotated = <A>(list: ReadonlyArray<A>, turn: number): ReadonlyArray<A> => {
  // of an empty list it is no number, and nothing is cut
  const start = turn % list.length
  return [...list.slice(start), ...list.slice(0, start)]
}

/**
 * The same addresses, interleaved, where each family starts `turn` addresses further on. Which family comes first stays as the
 * resolver said it (RFC 6724): it knows which of them this machine can reach.
 */
export const turned = (addresses: ReadonlyArray<Address>, turn: number): ReadonlyArray<Address> => {
  const first = addresses[0]?.family
  return interleaved([
    ...rotated(
      addresses.filter(({ family }) => family === first),
      turn
    ),
    ...rotated(
      addresses.filter(({ family }) => family !== first),
      turn
    )
  ])
}

/** Each address once, where it comes first. */
export const distinct = (addresses: ReadonlyArray<Address>): ReadonlyArray<Address> => {
  const seen = new Set<string>()
  return addresses.filter(({ address }) => !seen.has(address) && seen.add(address))
}
