/**
 * Keeps every connection of a test on this machine, whatever the code under test does. An address that leads elsewhere is not
 * dialled: the dial is counted, and fails. A setup file of every project, so that no test has to remember it.
 */
import { BlockList, isIP, Socket } from "node:net"

const loopback = new BlockList()
loopback.addSubnet("127.0.0.0", 8, "ipv4")
loopback.addAddress("0.0.0.0", "ipv4")
loopback.addAddress("::1", "ipv6")
loopback.addAddress("::", "ipv6")
loopback.addSubnet("::ffff:127.0.0.0", 104, "ipv6")

/** Hosts that would have been dialled off this machine, since the test process began. */
export const dialledElsewhere: Array<string> = []

const isHere = (host: string): boolean => {
  const family = isIP(host)
  if (family === 0) return host === "localhost"
  return loopback.check(host, family === 4 ? "ipv4" : "ipv6")
}

/** What `connect` was given: options, as a value or in the list that `net.connect` makes of its arguments; or a port and a host. */
const hostOf = (given: ReadonlyArray<unknown>): string | undefined => {
  const [first, second] = given
  if (Array.isArray(first)) return hostOf(first)
  if (typeof first === "object" && first !== null) {
    if ("path" in first && typeof first.path === "string") return undefined
    // a name that its caller looks up by itself is judged by what it stands for, which is dialled as an address
    if ("lookup" in first && typeof first.lookup === "function") return looked(first.lookup)
    return "host" in first && typeof first.host === "string" ? first.host : undefined
  }
  return typeof second === "string" ? second : undefined
}

/** What a lookup gives at once, as the clients of these tests have it; one that takes its time is not let through. */
const looked = (lookup: object): string => {
  let found = "a name that is looked up"
  Reflect.apply(lookup as () => void, undefined, [
    "",
    {},
    (_: unknown, address: unknown) => {
      if (typeof address === "string") found = address
    }
  ])
  return found
}

/** Whatever its forms take, it is handed on as it came. */
type Connect = (this: Socket, ...given: Array<unknown>) => Socket
const connect = Socket.prototype.connect as unknown as Connect

Object.assign(Socket.prototype, {
  connect(this: Socket, ...given: Array<unknown>): Socket {
    const host = hostOf(given)
    if (host === undefined || isHere(host)) return connect.apply(this, given)
    dialledElsewhere.push(host)
    const error = Object.assign(new Error(`a test dialled ${host}, which is not on this machine`), {
      code: "ERR_DIALLED_ELSEWHERE"
    })
    process.nextTick(() => this.destroy(error))
    return this
  }
})
