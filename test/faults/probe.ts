import { Agent, get, type IncomingMessage } from 'node:http'
import { parentPort, Worker, workerData } from 'node:worker_threads'
import { atEnd } from './at_end.ts'

// How long an ordinary request takes, asked from a thread of its own: that of the test has much else to do.

/** What became of the requests: how many there were, how many were not answered with 200, how long 99 of 100 took at most. */
export type Probed = { sent: number; failed: number; p99Ms: number }

/** Asks for this URL so often, whether or not it is answered; `stop` resolves to what became of that. */
export function startProbe(url: string, perSecond = 50): { stop: () => Promise<Probed> } {
  const worker = new Worker(new URL(import.meta.url), { workerData: { probe: url, perSecond } })
  atEnd(async () => void (await worker.terminate()))
  return {
    stop: async () => {
      const { promise, resolve, reject } = Promise.withResolvers<Probed>()
      worker.once('message', resolve).once('error', reject)
      worker.postMessage('stop')
      return await promise
    },
  }
}

if (workerData?.probe) probe(workerData)

function probe({ probe: url, perSecond }: { probe: string; perSecond: number }) {
  const agent = new Agent({ keepAlive: true })
  const durationsMs: number[] = []
  let sent = 0
  let failed = 0

  async function ask() {
    const startMs = performance.now()
    sent++
    try {
      const response = await new Promise<IncomingMessage>((resolve, reject) => {
        get(url, { agent }, resolve).once('error', reject)
      })
      for await (const _ of response);
      if (response.statusCode !== 200) failed++
      durationsMs.push(performance.now() - startMs)
    } catch {
      failed++
    }
  }

  const timer = setInterval(ask, 1000 / perSecond)
  parentPort?.once('message', () => {
    clearInterval(timer)
    const p99Ms = durationsMs.sort((a, b) => a - b)[Math.ceil(durationsMs.length * 0.99) - 1] ?? Number.NaN
    parentPort?.postMessage({ sent, failed, p99Ms } satisfies Probed)
    agent.destroy()
  })
}
