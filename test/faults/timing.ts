import { type Exchange, isDone } from './history.ts'
import { inFull } from './length.ts'

const lasted = ({ startMs, endMs = Number.POSITIVE_INFINITY }: Exchange) => endMs - startMs

/** The requests that began within a stretch of time. */
export function between(exchanges: Exchange[], fromMs: number, toMs: number): Exchange[] {
  return exchanges.filter(({ startMs }) => startMs >= fromMs && startMs < toMs)
}

/** How long answers took, in milliseconds: 99 of 100 not longer. */
export function p99(exchanges: Exchange[]): number {
  const times = exchanges.map(lasted).sort((a, b) => a - b)
  return times[Math.ceil(times.length * 0.99) - 1] ?? Number.NaN
}

/** How long the slowest answer took, in milliseconds. */
export const slowest = (exchanges: Exchange[]): number => Math.max(0, ...exchanges.map(lasted))

/** How many did not succeed. */
export const failures = (exchanges: Exchange[]): number => exchanges.filter((each) => !isDone(each)).length

/** How long after `fromMs` requests still failed, of those that ended until `toMs`; 0 if none did. */
export function failedFor(exchanges: Exchange[], fromMs: number, toMs = Number.POSITIVE_INFINITY): number {
  const failed = exchanges.filter((each) => !isDone(each) && each.endMs !== undefined && each.endMs <= toMs)
  return Math.max(0, ...failed.map(({ endMs = 0 }) => endMs - fromMs))
}

/**
 * What passes for as before, given what was seen before: twice as long. On a machine that others slow down for moments, the slowest
 * of a hundred is also theirs; hence the 20 ms, and 200 in the short run, which is for CI and looks at fewer requests.
 */
export const asBefore = (p99Ms: number): number => 2 * p99Ms + inFull(20, 200)
