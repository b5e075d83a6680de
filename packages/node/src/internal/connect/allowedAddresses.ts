/** Which hosts and addresses an address policy lets through. */

import { AddressDenied } from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as AddressPolicy from "../../AddressPolicy.ts"
import type { Address } from "./addressOrder.ts"

const endpointOf = (host: string, port: number): string =>
  host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`

const reason = (host: string, port: number, address: string, rule: string): AddressDenied =>
  stackless(() => new AddressDenied({ endpoint: endpointOf(host, port), address, rule }))

/** Why a host may not even be resolved; `undefined` when it may. */
export const deniedHost = (
  policy: AddressPolicy.AddressPolicy,
  host: string,
  port: number
): AddressDenied | undefined => {
  const verdict = AddressPolicy.checkHost(policy, { host, port })
  return verdict._tag === "Allowed" ? undefined : reason(host, port, host, verdict.rule)
}

/**
 * The addresses of a host that may be dialled, in their order; when every one is denied, why the first is. A host without addresses
 * keeps none.
 */
export const allowedOf = (
  policy: AddressPolicy.AddressPolicy,
  host: string,
  port: number,
  addresses: ReadonlyArray<Address>
): ReadonlyArray<Address> | AddressDenied => {
  let denied: AddressDenied | undefined
  const left = addresses.filter(({ address }) => {
    const verdict = AddressPolicy.check(policy, { host, port, address })
    if (verdict._tag === "Denied") denied ??= reason(host, port, address, verdict.rule)
    return verdict._tag === "Allowed"
  })
  return left.length === 0 && denied !== undefined ? denied : left
}
