/** Which IP addresses are special, and what their groups are called. */

import { contains, type Ip, type IpRange, parseRange } from "./ipRange.ts"

const ranges = (...texts: ReadonlyArray<string>): ReadonlyArray<IpRange> =>
  texts.map((text) => {
    const range = parseRange(text)
    if (range === undefined) throw new Error(`${text} is not a range`)
    return range
  })

interface Group {
  readonly within: ReadonlyArray<IpRange>
  readonly except: ReadonlyArray<IpRange>
}

/**
 * Addresses that are not for the public network, after IANA's special-purpose registries (RFC 6890 and its updates). In the order in
 * which they are named where an address is in several.
 */
export const groups = {
  // the metadata services of clouds, which hand out credentials to any program inside of a machine
  metadata: {
    within: ranges(
      "169.254.169.254", // AWS, Azure, Google, Oracle, DigitalOcean, OpenStack and others
      "fd00:ec2::254", // AWS
      "169.254.170.2", // AWS, credentials of ECS tasks
      "169.254.170.23", // AWS, credentials of EKS pods
      "fd00:ec2::23",
      "fd20:ce::254", // Google
      "fd00:c1::a9fe:a9fe", // Oracle
      "192.0.0.192", // Oracle, classic
      "fe80::a9fe:a9fe", // OpenStack
      "168.63.129.16", // Azure, which is a public address
      "100.100.100.200", // Alibaba
      "169.254.0.23", // Tencent
      "169.254.42.42", // Scaleway
      "fd00:42::42"
    ),
    except: []
  },
  // a connection to it is one to this machine
  unspecified: { within: ranges("0.0.0.0", "::"), except: [] },
  loopback: { within: ranges("127.0.0.0/8", "::1", "0.0.0.0", "::"), except: [] },
  linkLocal: { within: ranges("169.254.0.0/16", "fe80::/10"), except: [] },
  // RFC 1918, and the addresses that carriers and overlay networks share (RFC 6598)
  private: { within: ranges("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10"), except: [] },
  uniqueLocal: { within: ranges("fc00::/7"), except: [] },
  multicast: { within: ranges("224.0.0.0/4", "ff00::/8"), except: [] },
  reserved: {
    within: ranges(
      "0.0.0.0/8",
      "192.0.0.0/24", // protocol assignments (RFC 6890)
      "192.0.2.0/24", // documentation (RFC 5737), and the next two of it
      "198.51.100.0/24",
      "203.0.113.0/24",
      "192.88.99.0/24", // relays of 6to4, deprecated (RFC 7526)
      "198.18.0.0/15", // benchmarks (RFC 2544)
      "240.0.0.0/4", // and broadcast
      // IPv6 outside of the range that is assigned as global unicast, 2000::/3
      "::/3",
      "4000::/2",
      "8000::/2",
      "c000::/3",
      "e000::/4",
      "f000::/5",
      "f800::/6",
      "fe00::/9",
      "fec0::/10", // site-local, deprecated (RFC 3879)
      "2001::/23", // protocol assignments, Teredo among them
      "2001:db8::/32", // documentation (RFC 3849), and the next (RFC 9637)
      "3fff::/20"
    ),
    except: ranges("::/127", "::ffff:0:0/96", "64:ff9b::/96")
  }
} as const satisfies { readonly [name: string]: Group }

export type SpecialGroup = keyof typeof groups

export const isInGroup = (name: SpecialGroup, ip: Ip): boolean => {
  const { except, within }: Group = groups[name]
  return within.some((range) => contains(range, ip)) && !except.some((range) => contains(range, ip))
}

// the keys of a constant, which the type of `Object.keys` has forgotten
export const groupNames = Object.keys(groups) as ReadonlyArray<SpecialGroup>
