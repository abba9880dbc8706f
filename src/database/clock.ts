import { AsyncLocalStorage } from 'node:async_hooks'

/** How long somebody has waited for the database, in milliseconds; waiting for several statements at once counts once. */
export type Clock = { waits: number; since: number; totalMs: number }

const clocks = new AsyncLocalStorage<Clock>()

/** Runs it, and measures on the clock what is awaited for the database meanwhile. */
export function withClock<Result>(clock: Clock, run: () => Result): Result {
  return clocks.run(clock, run)
}

/** The same promise; while it is waited for, the clock of whoever asks runs, if there is one. */
export function timed<Answer>(promise: Promise<Answer>): Promise<Answer> {
  const clock = clocks.getStore()
  if (!clock) return promise
  if (clock.waits++ === 0) clock.since = performance.now()
  const stop = () => {
    if (--clock.waits === 0) clock.totalMs += performance.now() - clock.since
  }
  promise.then(stop, stop)
  return promise
}
