/** Subscriptions that begin once for one name and one object, however often both are given together. */

/** A further holder adds to the number of holders; the last one to leave ends the subscription. */
export class Holdings {
  private readonly held = new Map<string, Map<object, { times: number; readonly end: () => void }>>()

  take(name: string, what: object, begin: () => () => void): void {
    let ofName = this.held.get(name)
    if (ofName === undefined) {
      ofName = new Map()
      this.held.set(name, ofName)
    }
    const known = ofName.get(what)
    if (known === undefined) ofName.set(what, { times: 1, end: begin() })
    else known.times++
  }

  give(name: string, what: object): void {
    const ofName = this.held.get(name)
    const known = ofName?.get(what)
    if (ofName === undefined || known === undefined || --known.times > 0) return
    ofName.delete(what)
    if (ofName.size === 0) this.held.delete(name)
    known.end()
  }

  /** Ends all that is held. */
  close(): void {
    for (const ofName of this.held.values()) for (const { end } of ofName.values()) end()
    this.held.clear()
  }
}
