import cluster from 'node:cluster'
import { once } from 'node:events'
import type { Logger } from 'pino'

/** Exit code of a worker that can't do better next time, such as one whose port is taken (sysexits(3), EX_CONFIG). */
export const hopeless = 78

const killAfterMs = 9_000

/**
 * Keeps this many worker processes running. `failed` resolves when one of them is hopeless, or ends before any has
 * listened; `stop` ends them all, gently at first.
 */
export function runWorkers(count: number, log: Logger): { failed: Promise<true>; stop: () => Promise<void> } {
  let stopping = false
  let listened = false
  const failed = Promise.withResolvers<true>()

  function start() {
    if (stopping) return
    const startedAt = performance.now()
    const worker = cluster.fork()
    worker.once('listening', () => {
      listened = true
    })
    worker.on('exit', (code, signal) => {
      if (stopping) return
      if (code === hopeless) return failed.resolve(true)
      if (!listened) {
        log.fatal({ code, signal }, 'a worker ended before it could listen')
        return failed.resolve(true)
      }
      log.error({ pid: worker.process.pid, code, signal }, 'a worker ended; starting another')
      // One that ends at once would, without this, be replaced as fast as processes can be made.
      setTimeout(start, performance.now() - startedAt < 1_000 ? 500 : 0)
    })
  }

  for (let i = 0; i < count; i++) start()

  async function stop() {
    stopping = true
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker !== undefined)
    const timer = setTimeout(() => {
      for (const worker of workers) worker.process.kill('SIGKILL')
    }, killAfterMs)
    await Promise.all(
      workers.map((worker) => {
        const exited = once(worker, 'exit')
        worker.process.kill('SIGTERM')
        return exited
      }),
    )
    clearTimeout(timer)
  }

  return { failed: failed.promise, stop }
}
