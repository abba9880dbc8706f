import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { test } from 'vitest'
import { startClients, total } from './clients.ts'
import { startCluster } from './cluster.ts'
import { check, type Row } from './history.ts'
import { inFull } from './length.ts'
import { type Load, startLoad } from './load.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'

const forMs = inFull(60_000, 10_000)
const [upserters, sites, computers] = [64, 100, 100]

/** Longer than a query may take (QUERY_TIMEOUT). */
const longLockMs = inFull(12_000, 0)

test(`${upserters} clients that upsert the same ${sites} rows, while an admin locks some`, async () => {
  const cluster = await startCluster()
  const server = await startServer({ DATABASE_URL: cluster.url, WEB_CONCURRENCY: '2' })
  const load = await startLoad({ url: server.url, perSecond: 0, sites })
  await cluster.run(
    `insert into computer (id, name, site_id) select id, 'PC', id from generate_series(1, ${computers}) as id`,
  )

  const end = performance.now() + forMs
  // A computer that moves locks its new site too, while it holds its own row.
  const movers = startClients(server.url, {
    count: 16,
    pauseMs: 20,
    next: () => ({ method: 'POST', path: `/computer/${anyOf(computers)}`, body: { site_id: anyOf(sites) } }),
  })
  const admin = administer(cluster.adminUrl, end)
  await Promise.all(Array.from({ length: upserters }, (_, client) => upsert(load, client, end)))
  const { transactions, deadlocks } = await admin
  const moved = total([await movers.stop()])
  const exchanges = await load.stop()

  const rows = (await cluster.run('select id, name from site')) as Row[]
  const { lost, wrong, ...counts } = check(exchanges, rows)
  const statuses = Object.entries(movers.told.statuses)
  const unforeseen = statuses.filter(([code]) => code !== '200' && code !== '503')
  for (const line of [...lost, ...wrong, ...moved.dropped].slice(0, 20)) console.info(line)
  const inServer = cluster.lines.filter((line) => line.includes('deadlock detected')).length
  await report(
    {
      fault: `${upserters} clients upserting the same ${sites} rows for ${forMs / 1000} s, an admin locking some`,
      ...counts,
      sent: counts.sent + moved.sent,
      lost: lost.length,
      wrong: wrong.length + moved.dropped.length + unforeseen.length,
      wanted: 'no deadlock or lock error reaches a client as 500, the final state explained by the history',
      seen:
        `${transactions} transactions of the admin, ${inServer} deadlocks, ${deadlocks} of them ended the admin's; ` +
        `${counts.refused} of the upserts and of those who move ${JSON.stringify(movers.told.statuses)} answered with 503`,
    },
    {
      'nothing lost': lost.length === 0,
      'nothing wrong': wrong.length === 0,
      'nobody else got anything but 200 or 503': moved.dropped.length + unforeseen.length === 0,
      'there were deadlocks': inServer > 0,
    },
  )
}, 300_000)

const anyOf = (count: number) => 1 + Math.floor(Math.random() * count)

async function upsert(load: Load, client: number, end: number) {
  for (let i = 0; performance.now() < end; i++) {
    await load.ask({ kind: 'upsert', id: anyOf(sites), name: `${client} ${i}` })
  }
}

/** What somebody at psql does: locks some sites, looks around, and changes what stands there. */
async function administer(url: string, end: number) {
  const client = new pg.Client(url)
  await client.connect()
  let transactions = 0
  let deadlocks = 0
  for (let holdMs = longLockMs; performance.now() + holdMs < end; holdMs = Math.random() * 800) {
    const ids = Array.from({ length: holdMs > 1_000 ? 1 : 10 }, () => anyOf(sites))
    try {
      await client.query('begin')
      await client.query('select from site where id = any($1) order by id for update', [ids])
      await sleep(holdMs)
      await client.query("update computer set name = 'Moved ' || $2 where id = any($1)", [ids, transactions])
      await client.query('commit')
      transactions++
    } catch (error) {
      await client.query('rollback')
      if ((error as { code?: string }).code !== '40P01') throw error
      deadlocks++
    }
  }
  await client.end()
  return { transactions, deadlocks }
}
