import { readdirSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { type Cluster, startCluster } from './cluster.ts'
import { check, type Exchange, type Hang, type Row } from './history.ts'
import { startLoad } from './load.ts'
import { memoryOf } from './memory.ts'
import { childrenOf } from './process_tree.ts'
import { startProxy, type TcpProxy } from './proxy.ts'
import { report } from './report.ts'
import { type Server, startServer } from './server.ts'
import { rise } from './slope.ts'
import { slowest } from './timing.ts'

const minutes = Number(process.env.SOAK_MINUTES)
const [rate, othersRate, deadlineMs] = [100, 10, 2_000]

/** How long after a fault samples are taken. */
const calmMs = 8_000

/** How much of the time is for the server to get warm: caches, plans, the heap. */
const warmUp = 0.25

/** What passes for flat: by how much a line through the samples may rise over the rest of the time. */
const most = { megabytes: 32, handles: 5, sessions: 2 }

const paths = [
  '/sites',
  '/sites?format=csv',
  '/sites?sort=-name&limit=50&count=estimated',
  '/sites?name__contains=1',
  '/instruments?format=ndjson',
  '/site/1/overview',
  '/site/2/freezers',
  '/search?q=site+1',
  '/summary',
  '/openapi.json',
  '/healthz',
]

type Stage = { cluster: Cluster; proxy: TcpProxy }

const faults: { name: string; fault: (stage: Stage) => Promise<unknown>; hangs?: true }[] = [
  {
    name: 'Postgres killed',
    fault: async ({ cluster }) => {
      await cluster.kill9()
      await sleep(Math.random() * 1_000)
      await cluster.start()
    },
  },
  {
    name: 'Postgres restarted',
    fault: async ({ cluster }) => {
      await cluster.stop('fast')
      await cluster.start()
    },
  },
  {
    name: 'sessions ended',
    fault: ({ cluster }) =>
      cluster.run(
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'inventory' and random() < 0.7",
      ),
  },
  {
    name: 'Postgres hung',
    hangs: true,
    fault: async ({ cluster }) => {
      cluster.pause()
      await sleep(Math.random() * 5_000)
      cluster.resume()
    },
  },
  {
    name: 'network held',
    hangs: true,
    fault: async ({ proxy }) => {
      proxy.set('hold')
      await sleep(Math.random() * 5_000)
      proxy.set('pass')
    },
  },
  {
    name: 'network slow',
    hangs: true,
    fault: async ({ proxy }) => {
      proxy.set({ delayMs: 50 + Math.random() * 200 })
      await sleep(Math.random() * 5_000)
      proxy.set('pass')
    },
  },
  { name: 'network reset', fault: async ({ proxy }) => proxy.reset() },
  { name: 'network cut', fault: async ({ proxy }) => proxy.cut() },
]

type Sample = { atMs: number; megabytes: number; handles: number; sessions: number }

test(
  `${minutes} minutes of load and faults leave nothing behind`,
  async () => {
    const cluster = await startCluster()
    const proxy = await startProxy(cluster.port)
    const server = await startServer({
      DATABASE_URL: proxy.through(cluster.url),
      QUERY_TIMEOUT: `${deadlineMs}`,
      // The lines of each request would be the memory of this process.
      LOG_LEVEL: 'info',
    })
    const load = await startLoad({ url: server.url, perSecond: rate })
    const others = await startLoad({ url: server.url, perSecond: 0, fill: false })
    let asked = 0
    const asking = setInterval(() => {
      others.ask({ kind: 'other', path: paths[asked++ % paths.length] as string })
    }, 1_000 / othersRate)

    const hangs: Hang[] = []
    const samples: Sample[] = []
    const start = performance.now()
    for (let count = 1; performance.now() - start < minutes * 60_000; count++) {
      const {
        name,
        fault,
        hangs: isHang,
      } = faults[Math.floor(Math.random() * faults.length)] as (typeof faults)[number]
      const fromMs = performance.now()
      await fault({ cluster, proxy })
      if (isHang) hangs.push({ fromMs, toMs: performance.now() })
      await sleep(calmMs)
      const sample = await take(server, cluster, load.connections() + others.connections())
      samples.push(sample)
      const { megabytes, handles, sessions } = sample
      const seen = `${megabytes.toFixed()} MB, ${handles} handles, ${sessions} sessions`
      const left = Math.max(0, minutes - (performance.now() - start) / 60_000)
      console.info(`${left.toFixed(1)} min left; fault ${count}, ${name}: ${load.exchanges.length} requests; ${seen}`)
    }
    clearInterval(asking)
    await Promise.all([load.stop(), others.stop()])

    const rows = (await cluster.run('select id, name from site')) as Row[]
    const { lost, wrong, ...counts } = check(load.exchanges, rows, { hangs })
    const mistaken = others.exchanges.filter((each) => !mayBe(each))
    for (const line of [...lost, ...wrong, ...mistaken.map((each) => JSON.stringify(each))].slice(0, 20))
      console.info(line)
    const late = samples.slice(Math.floor(samples.length * warmUp))
    const rises = {
      megabytes: riseOf(late, 'megabytes'),
      handles: riseOf(late, 'handles'),
      sessions: riseOf(late, 'sessions'),
    }
    const perHour = 3_600_000 / ((late.at(-1)?.atMs ?? 0) - (late[0]?.atMs ?? 0))
    await report(
      {
        fault: `soak of ${minutes} min, ${samples.length} faults`,
        ...counts,
        sent: counts.sent + others.exchanges.length,
        lost: lost.length,
        wrong: wrong.length + mistaken.length,
        wanted: `0 lost, 0 wrong; in the last ${100 * (1 - warmUp)} % of the time at most +${most.megabytes} MB, +${most.handles} handles, +${most.sessions} sessions`,
        seen:
          `${rises.megabytes.toFixed(1)} MB (${(rises.megabytes * perHour).toFixed(1)} MB/h) from ${late[0]?.megabytes.toFixed()}, ` +
          `${rises.handles.toFixed(1)} handles (${(rises.handles * perHour).toFixed(1)}/h) from ${late[0]?.handles}, ` +
          `${rises.sessions.toFixed(1)} sessions (${(rises.sessions * perHour).toFixed(1)}/h) from ${late[0]?.sessions}; ` +
          `slowest answer ${slowest(load.exchanges).toFixed()} ms`,
      },
      {
        'nothing lost': lost.length === 0,
        'nothing wrong': wrong.length === 0 && mistaken.length === 0,
        'enough samples': late.length >= 3,
        'memory is flat': rises.megabytes <= most.megabytes,
        'handles are flat': rises.handles <= most.handles,
        'sessions are flat': rises.sessions <= most.sessions,
      },
    )
  },
  (minutes + 3) * 60_000,
)

const riseOf = (samples: Sample[], what: 'megabytes' | 'handles' | 'sessions') =>
  rise(samples.map((sample) => ({ atMs: sample.atMs, value: sample[what] })))

/** A list that can't be finished breaks the connection. */
function mayBe({ status, headers }: Exchange) {
  return status === undefined || status === 200 || (status === 503 && headers?.['retry-after'] !== undefined)
}

/** What the server's processes hold, in sum; handles without those of the clients' connections, which come and go. */
async function take({ pid }: Server, cluster: Cluster, connections: number): Promise<Sample> {
  const pids = [pid, ...childrenOf(pid)]
  const [row] = await cluster.run("select count(*)::int as sessions from pg_stat_activity where usename = 'inventory'")
  return {
    atMs: performance.now(),
    megabytes: memoryOf(pid),
    handles: pids.reduce((sum, each) => sum + readdirSync(`/proc/${each}/fd`).length, -connections),
    sessions: row?.sessions as number,
  }
}
