// CPU time: this process's, and the whole machine's, from which follows what everybody else used.

import { availableParallelism, cpus } from "node:os"

/** Microseconds of CPU that all processes of the machine have used, since it started. */
const machineMicros = (): number =>
  cpus().reduce((total, { times }) => total + (times.user + times.nice + times.sys + times.irq) * 1000, 0)

/** Microseconds of CPU that this process has used, since it started. */
export const processMicros = (): number => {
  const { system, user } = process.cpuUsage()
  return user + system
}

export interface Used {
  /** Of this process: user and system, the garbage collector's threads included. */
  readonly micros: number
  readonly elapsedMicros: number
  /** The part of the machine that other processes used: 0 to 1. */
  readonly noise: number
}

/** Begins to measure; what it gives ends it. `partners` is what processes used that belong to the measurement. */
export const measureCpu = (): ((partners?: number) => Used) => {
  const started = performance.now()
  const machine = machineMicros()
  const own = processMicros()
  return (partners = 0) => {
    const micros = processMicros() - own
    const elapsedMicros = (performance.now() - started) * 1000
    const others = machineMicros() - machine - micros - partners
    const noise = Math.min(1, Math.max(0, others / (elapsedMicros * availableParallelism())))
    return { micros, elapsedMicros, noise }
  }
}

/** How much CPU a phase of a sample may use, and how long it may last when the machine leaves it none. */
export interface Phase {
  readonly cpuMillis: number
  readonly atMostMillis: number
}

/**
 * A phase's clock: it runs until this process has used so much CPU. On a busy machine time that passes says nothing of how
 * warm the code is, nor of how much was measured.
 */
export const startPhase = (phase: Phase): (() => boolean) => {
  const cpuEnd = processMicros() + phase.cpuMillis * 1000
  const end = performance.now() + phase.atMostMillis
  let nextLook = 0
  return () => {
    const now = performance.now()
    if (now < nextLook) return false
    // asking is a system call, and what it costs is in the figures
    nextLook = now + 20
    return now >= end || processMicros() >= cpuEnd
  }
}
