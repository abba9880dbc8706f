import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { type Cluster, startCluster } from './cluster.ts'
import { check, type Row } from './history.ts'
import { inFull, short } from './length.ts'
import { type Load, startLoad } from './load.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'
import { asBefore, between, failedFor, failures, p99 } from './timing.ts'

const rate = 200
const wanted = `0 lost, 0 wrong, only 2xx or 503 with Retry-After at ${rate}/s; p99 back within 1 s of taking connections`

/** What is looked at after Postgres is back: from one second later, to three more. */
const [backWithinMs, lookMs] = [1_000, inFull(3_000, 1_000)]

/** For the last of these to be answered before the next round. */
const answerMs = 500

type Ending = [name: string, rounds: number, end: (cluster: Cluster) => Promise<void>]

const immediate: Ending = ['Postgres ended by pg_ctl -m immediate', 5, (cluster) => cluster.stop('immediate')]

test.each<Ending>([
  ['Postgres killed with SIGKILL', inFull(10, 2), (cluster) => cluster.kill9()],
  ['Postgres ended by pg_ctl -m fast', inFull(5, 1), (cluster) => cluster.stop('fast')],
  ...(short ? [] : [immediate]),
])(
  '%s, %i times',
  async (name, rounds, end) => {
    const { cluster, load, before } = await underLoad()
    const backs: number[] = []
    for (let round = 1; round <= rounds; round++) {
      await end(cluster)
      // What takes Postgres down takes it for some time.
      await sleep(Math.random() * 1_000)
      backs.push(await cluster.start())
      await sleep(backWithinMs + lookMs + answerMs)
    }
    const exchanges = await load.stop()

    const after = backs.map((back) => between(exchanges, back + backWithinMs, back + backWithinMs + lookMs))
    const recoveredMs = Math.max(...backs.map((back) => failedFor(exchanges, back, back + backWithinMs + lookMs)))
    const { lost, wrong, ...counts } = check(exchanges, await rowsOf(cluster))
    const slow = p99(after.flat())
    const worst = Math.max(...after.map(p99))
    for (const line of [...lost, ...wrong].slice(0, 20)) console.info(line)
    await report(
      {
        fault: `${name}, ${rounds} times`,
        ...counts,
        lost: lost.length,
        wrong: wrong.length,
        recoveredMs,
        wanted,
        seen: `p99 ${before.toFixed()} ms before, ${slow.toFixed()} ms from 1 s after (worst round ${worst.toFixed()}); ${counts.refused} refused with 503`,
      },
      {
        'nothing lost': lost.length === 0,
        'nothing wrong': wrong.length === 0,
        'back within 1 s': after.every((some) => some.length > 0 && failures(some) === 0),
        'p99 back within 1 s': slow <= asBefore(before),
      },
    )
  },
  300_000,
)

test('sessions ended at random by pg_terminate_backend', async () => {
  const { cluster, load, before } = await underLoad()
  const end = performance.now() + inFull(30_000, 3_000)
  let ended = 0
  while (performance.now() < end) {
    await sleep(Math.random() * 200)
    const one = "select pid from pg_stat_activity where usename = 'inventory' order by random() limit 1"
    ended += (await cluster.run(`select pg_terminate_backend(pid) from (${one}) as one`)).length
  }
  const since = performance.now()
  await sleep(backWithinMs + lookMs)
  const exchanges = await load.stop()

  const { lost, wrong, ...counts } = check(exchanges, await rowsOf(cluster))
  const after = between(exchanges, since + backWithinMs, since + backWithinMs + lookMs)
  for (const line of [...lost, ...wrong].slice(0, 20)) console.info(line)
  await report(
    {
      fault: `pg_terminate_backend at random, ${ended} times`,
      ...counts,
      lost: lost.length,
      wrong: wrong.length,
      recoveredMs: failedFor(exchanges, since),
      wanted,
      seen: `p99 ${before.toFixed()} ms before, ${p99(after).toFixed()} ms from 1 s after; ${counts.refused} refused with 503`,
    },
    {
      'sessions were ended': ended > 10,
      'nothing lost': lost.length === 0,
      'nothing wrong': wrong.length === 0,
      'back within 1 s': after.length > 0 && failures(after) === 0,
      'p99 back within 1 s': p99(after) <= asBefore(before),
    },
  )
}, 120_000)

/** A server on a Postgres of its own, under load; and the p99 before anything happens. */
async function underLoad(): Promise<{ cluster: Cluster; load: Load; before: number }> {
  const cluster = await startCluster()
  const server = await startServer({ DATABASE_URL: cluster.url })
  const load = await startLoad({ url: server.url, perSecond: rate })
  await sleep(1_000)
  const from = performance.now()
  await sleep(inFull(5_000, 1_500))
  return { cluster, load, before: p99(between(load.exchanges, from, performance.now() - 100)) }
}

async function rowsOf(cluster: Cluster) {
  return (await cluster.run('select id, name from site')) as Row[]
}
