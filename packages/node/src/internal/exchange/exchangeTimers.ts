/** The timers of an exchange: when the phase that it is in is late, and when all of a body is. */

export class ExchangeTimers {
  #phase: NodeJS.Timeout | undefined
  /** Whether the phase's timer is due, and what came at the same time is looked at first. */
  #isDue = false
  #body: NodeJS.Timeout | undefined

  /** Begins a phase: it is late after so long without progress. The phase before it is over. */
  begin(millis: number, late: () => void): void {
    this.end()
    if (millis === Infinity) return
    this.#phase = setTimeout(() => {
      // a loop that was held up finds the timer due before it has looked at its sockets
      this.#isDue = true
      setImmediate(() => {
        if (this.#isDue) late()
      })
    }, millis)
  }

  /** The phase gets on. One timer serves them all; pushing it back costs nothing but a timestamp. */
  progress(): void {
    this.#isDue = false
    this.#phase?.refresh()
  }

  /** The phase is over, or is not to be counted. */
  end(): void {
    this.#isDue = false
    clearTimeout(this.#phase)
    this.#phase = undefined
  }

  /** Bounds all of a body, however it gets on: how long it may take, or how long one that nobody wants is drained. */
  boundBody(millis: number, late: () => void): void {
    this.#body = setTimeout(lookOnce, millis, late)
  }

  /** The exchange is over. */
  stop(): void {
    this.end()
    clearTimeout(this.#body)
  }
}

const lookOnce = (late: () => void): void => void setImmediate(late)
