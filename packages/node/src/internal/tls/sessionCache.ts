/** TLS sessions to go on with, so that the next handshake to the same endpoint is a short one. Bounded: the least used goes. */
export interface SessionCache {
  /** The session of a key, if there is one that may still be used. */
  readonly get: (key: string, nowMillis: number) => Session | undefined
  readonly set: (key: string, session: Session) => void
  readonly delete: (key: string) => void
  readonly size: () => number
}

export interface Session {
  readonly ticket: Buffer
  /**
   * A handshake that goes on with a session shows no certificate, so that nobody sees that it has expired: this is how long the
   * verdict of the last full handshake is believed.
   */
  readonly untilMillis: number
}

export const makeSessionCache = (capacity: number): SessionCache => {
  // a map keeps the order of insertion: a used session is put at its end
  const sessions = new Map<string, Session>()
  return {
    get: (key, nowMillis) => {
      const session = sessions.get(key)
      if (session === undefined) return undefined
      sessions.delete(key)
      if (nowMillis >= session.untilMillis) return undefined
      sessions.set(key, session)
      return session
    },
    set: (key, session) => {
      sessions.delete(key)
      sessions.set(key, session)
      for (const oldest of sessions.keys()) {
        if (sessions.size <= capacity) break
        sessions.delete(oldest)
      }
    },
    delete: (key) => void sessions.delete(key),
    size: () => sessions.size
  }
}
