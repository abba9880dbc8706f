import { afterAll, onTestFinished } from 'vitest'

/** Has this done after the test that is running, whatever becomes of it; outside of one, after all tests of the file. */
export function atEnd(end: () => Promise<void>): void {
  try {
    onTestFinished(end)
  } catch {
    afterAll(end)
  }
}
