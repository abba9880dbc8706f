import cluster, { type Worker } from 'node:cluster'
import { addUp, counter, countsOf, gauge, type Report } from './metrics.ts'

// Whoever asks for figures is answered by one worker, and is to have those of all. That worker asks the primary, which asks each.

/** How long the primary waits for a worker that is busy, or hangs; then what it said last has to do. */
const patienceMs = 500

type ToPrimary = { type: 'figures wanted'; id: number } | { type: 'figures'; id: number; report: Report }
type ToWorker = { type: 'figures wanted'; id: number } | { type: 'all figures'; id: number; figures: Figures }

/** The figures of all workers as one, how many there are, and how long the server has been running. */
export type Figures = { report: Report; workers: number; uptimeSeconds: number }

/**
 * Has the primary answer workers that ask for the figures of all. Sums never become less, which would look to Prometheus like a
 * start from zero: what a worker has counted, as far as it was asked, stays in them when it is gone.
 */
export function answerForWorkers() {
  const latest = new Map<number, Report>()
  let ofThoseGone: Report | undefined
  let adding = Promise.resolve()
  let ended = 0
  let ids = 0
  const waiting = new Map<number, { left: Set<number>; resolve: () => void }>()

  const heard = (id: number, worker: number) => {
    const call = waiting.get(id)
    call?.left.delete(worker)
    if (call?.left.size === 0) call.resolve()
  }

  async function gather(): Promise<Figures> {
    const workers = Object.values(cluster.workers ?? {}).filter((worker) => worker?.isConnected()) as Worker[]
    const id = ids++
    const { promise, resolve } = Promise.withResolvers<void>()
    waiting.set(id, { left: new Set(workers.map((worker) => worker.id)), resolve })
    const timer = setTimeout(resolve, patienceMs)
    for (const worker of workers) send(worker, { type: 'figures wanted', id })
    await promise
    clearTimeout(timer)
    waiting.delete(id)
    const sum = await addUp([...latest.values(), ...(ofThoseGone ? [ofThoseGone] : [])])
    const own = [
      gauge('workers', 'Worker processes.', [{ labels: {}, value: workers.length }]),
      counter('workers_ended_total', 'Worker processes that ended by themselves or were killed.', [
        { labels: {}, value: ended },
      ]),
    ]
    return { report: [...sum, ...own], workers: workers.length, uptimeSeconds: process.uptime() }
  }

  cluster.on('message', async (worker, message: ToPrimary) => {
    if (message?.type === 'figures wanted')
      send(worker, { type: 'all figures', id: message.id, figures: await gather() })
    if (message?.type === 'figures') {
      latest.set(worker.id, message.report)
      heard(message.id, worker.id)
    }
  })
  cluster.on('exit', (worker) => {
    ended++
    for (const id of waiting.keys()) heard(id, worker.id)
    // One after the other, and at no moment in neither of the two.
    adding = adding.then(async () => {
      const sum = await addUp([countsOf(latest.get(worker.id) ?? []), ...(ofThoseGone ? [ofThoseGone] : [])])
      ofThoseGone = sum
      latest.delete(worker.id)
    })
  })
}

/** In a worker: answers the primary, and returns how to ask for the figures of all. Without a primary, these are its own. */
export function askForFigures(report: () => Promise<Report>): () => Promise<Figures> {
  if (!cluster.isWorker) return async () => ({ report: await report(), workers: 1, uptimeSeconds: process.uptime() })
  const calls = new Map<number, (figures: Figures) => void>()
  let ids = 0

  process.on('message', async (message: ToWorker) => {
    if (message?.type === 'figures wanted') tell({ type: 'figures', id: message.id, report: await report() })
    if (message?.type === 'all figures') {
      calls.get(message.id)?.(message.figures)
      calls.delete(message.id)
    }
  })

  return () => {
    const { promise, resolve } = Promise.withResolvers<Figures>()
    const id = ids++
    calls.set(id, resolve)
    tell({ type: 'figures wanted', id })
    return promise
  }
}

// The other side may end at any moment; then nobody waits for what is sent.
function send(worker: Worker, message: ToWorker) {
  if (worker.isConnected()) worker.send(message, () => {})
}

function tell(message: ToPrimary) {
  if (process.connected) process.send?.(message, undefined, undefined, () => {})
}
