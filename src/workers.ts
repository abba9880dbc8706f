import cluster from 'node:cluster'
import { once } from 'node:events'
import type { Logger } from 'pino'
import type { Listener } from './listener.ts'

/** More than the server gives to requests in flight, and less than the 5 s within which it is to end. */
const killAfterMs = 4_700

/**
 * Keeps this many worker processes running. `failed` resolves when one of them ends before any was ready for
 * connections from the listener; `stop` closes that, and ends them all, gently at first.
 */
export function runWorkers(
  count: number,
  listener: Listener,
  log: Logger,
): { failed: Promise<true>; stop: () => Promise<void> } {
  let stopping = false
  let ready = false
  const failed = Promise.withResolvers<true>()

  function start() {
    if (stopping) return
    const startedAt = performance.now()
    const worker = cluster.fork()
    let replaced = false
    function replace() {
      if (replaced || stopping) return
      replaced = true
      // One that ends at once would, without this, be replaced as fast as processes can be made.
      setTimeout(start, performance.now() - startedAt < 1_000 ? 500 : 0)
    }
    worker.on('message', ({ type }) => {
      if (type === 'leaving') replace()
      if (type === 'ready') ready = true
    })
    worker.on('exit', (code, signal) => {
      if (stopping) return
      if (!ready) {
        log.fatal({ code, signal }, 'a worker ended before it was ready')
        return failed.resolve(true)
      }
      log.error({ pid: worker.process.pid, code, signal }, 'a worker ended; starting another')
      replace()
    })
  }

  for (let i = 0; i < count; i++) start()

  async function stop() {
    stopping = true
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
    const timer = setTimeout(() => {
      for (const worker of workers) worker.process.kill('SIGKILL')
    }, killAfterMs)
    const ended = Promise.all(workers.map((worker) => worker.isDead() || once(worker, 'exit')))
    await Promise.race([listener.close(), ended])
    for (const worker of workers) worker.process.kill('SIGTERM')
    await ended
    clearTimeout(timer)
  }

  return { failed: failed.promise, stop }
}
