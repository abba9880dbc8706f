// The process that makes the load. It is told what to do by the messages of its parent, one at a time.
import { createHash } from 'node:crypto'
import autocannon from 'autocannon'
import type { Scale } from './data.ts'
import { type Pick, workloads } from './workloads.ts'

/** `path` is asked for in place of those of the workload, `route` in place of their /site/. */
export type Job = { url: string; path?: string; route?: string } & (
  | { kind: 'requests'; workload: string; scale: Scale; connections: number; seconds: number; seed: number }
  | { kind: 'whole' }
)

/** Requests: answers counted within the given seconds, and how long each took. */
export type Load = { count: number; seconds: number; p50Ms: number; p99Ms: number; faults: string[] }

/** A whole list: its bytes, and a hash of them. */
export type Whole = { seconds: number; bytes: number; hash: string }

process.once('disconnect', () => process.exit())
process.on('message', async (job: Job) => {
  const answer = await (job.kind === 'whole' ? readWhole(`${job.url}/containers`) : makeRequests(job)).catch(
    (error: unknown) => ({ failed: String(error) }),
  )
  process.send?.(answer)
})

async function makeRequests(job: Extract<Job, { kind: 'requests' }>): Promise<Load> {
  const workload = workloads.find(({ name }) => name === job.workload)
  if (!workload) throw new Error(`There is no workload ${job.workload}.`)
  const pick = picker(job.seed)
  // Built before they are sent, and other ones for each client. Where none may be sent twice there are enough of them.
  const each = workload.adds ? Math.ceil(300 * job.seconds) : 200
  let serial = job.seed * 1_000_000
  const next = () => {
    const { method, path, body } = workload.request(job.scale, pick, serial++)
    return {
      method,
      path: job.path ?? path.replace('/site/', job.route ?? '/site/'),
      ...(body && { body, headers: { 'content-type': 'application/json' } }),
    }
  }
  const leave = new AbortController()
  const streams = Array.from({ length: workload.streams ?? 0 }, () => streamOn(`${job.url}/containers`, leave.signal))

  let count = 0
  const times: number[] = []
  const statuses = new Set<number>()
  const { promise, resolve, reject } = Promise.withResolvers<{ errors: number; timeouts: number }>()
  const run = autocannon(
    {
      url: job.url,
      connections: job.connections,
      // A little longer than what is counted, so that all clients are busy to the end of that.
      duration: job.seconds + 0.1,
      sampleInt: 100,
      timeout: 30,
      setupClient: (client) => client.setRequests(Array.from({ length: each }, next)),
    },
    (error, result) => (error ? reject(error) : resolve(result)),
  )
  let start = 0
  run.on('response', (_client, status, _bytes, ms) => {
    const now = performance.now()
    start ||= now - ms
    if (now - start > job.seconds * 1000) return
    count++
    times.push(ms)
    if (status < 200 || status > 299) statuses.add(status)
  })
  const { errors, timeouts } = await promise
  leave.abort()
  await Promise.allSettled(streams)

  times.sort((a, b) => a - b)
  const at = (share: number) => times[Math.min(times.length - 1, Math.floor(share * times.length))] ?? Number.NaN
  const faults = [...statuses].map((status) => `status ${status}`)
  if (count === 0) faults.push('no answer in time')
  if (errors > 0) faults.push(`${errors} connection errors`)
  if (timeouts > 0) faults.push(`${timeouts} timeouts`)
  if (workload.adds && count > each * job.connections) faults.push('it ran out of new rows')
  return { count, seconds: job.seconds, p50Ms: at(0.5), p99Ms: at(0.99), faults }
}

async function readWhole(url: string): Promise<Whole> {
  const start = performance.now()
  const response = await fetch(url)
  if (!response.ok || !response.body) throw new Error(`status ${response.status}`)
  const hash = createHash('sha1')
  let bytes = 0
  for await (const chunk of response.body) {
    bytes += chunk.length
    hash.update(chunk)
  }
  return { seconds: (performance.now() - start) / 1000, bytes, hash: hash.digest('hex') }
}

async function streamOn(url: string, signal: AbortSignal) {
  while (!signal.aborted) {
    const response = await fetch(url, { signal })
    for await (const _ of response.body ?? []) if (signal.aborted) return
  }
}

/** The same choices for each contestant in a round: mulberry32, a generator of 32 bits. */
function picker(seed: number): Pick {
  let state = seed * 0x9e3779b9
  return (limit) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * limit)
  }
}
