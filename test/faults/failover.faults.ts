import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { withoutDebian } from './binaries.ts'
import { startCluster } from './cluster.ts'
import { check, type Row } from './history.ts'
import { inFull } from './length.ts'
import { startLoad } from './load.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'
import { failedFor, failures } from './timing.ts'

const rate = 100
const rounds = inFull(5, 1)
const mostMs = 2_000

test('when the primary is killed and its synchronous replica takes its place, nothing is lost', async ({ skip }) => {
  if (withoutDebian) console.info(`Skipped, because ${withoutDebian}: fail-over to a replica.`)
  skip(withoutDebian !== undefined)

  let primary = await startCluster({ version: 15 })
  let standby = await primary.replica()
  const both = new URL(primary.url)
  const DATABASE_URL = both.href.replace(both.host, `127.0.0.1:${primary.port},127.0.0.1:${standby.port}`)
  const server = await startServer({ DATABASE_URL })
  const load = await startLoad({ url: server.url, perSecond: rate })
  await sleep(2_000)

  const killed: number[] = []
  const promoted: number[] = []
  for (let round = 1; round <= rounds; round++) {
    const now = performance.now()
    killed.push(now)
    expect(failures(load.exchanges.filter(({ endMs = 0 }) => endMs > now - 500))).toBe(0)
    await primary.kill9()
    promoted.push(await standby.promote())
    await sleep(mostMs + inFull(2_000, 500))
    // The one that was killed comes back as the other's replica.
    const replica = await standby.replica({ port: primary.port })
    primary = standby
    standby = replica
    await sleep(1_000)
  }
  const exchanges = await load.stop()

  const rows = (await primary.run('select id, name from site')) as Row[]
  const { lost, wrong, ...counts } = check(exchanges, rows)
  const recoveries = promoted.map((at, i) => failedFor(exchanges, at, killed[i + 1]))
  const downs = promoted.map((at, i) => at - (killed[i] ?? 0))
  for (const line of [...lost, ...wrong].slice(0, 20)) console.info(line)
  await report(
    {
      fault: `fail-over to a synchronous replica, ${rounds} times`,
      ...counts,
      lost: lost.length,
      wrong: wrong.length,
      recoveredMs: Math.max(...recoveries),
      wanted: `0 lost, errors for at most ${mostMs} ms after promotion`,
      seen:
        `${counts.refused} refused with 503, until ${recoveries.map((ms) => ms.toFixed()).join(', ')} ms after promotion, ` +
        `which was ${downs.map((ms) => ms.toFixed()).join(', ')} ms after the kill`,
    },
    {
      'nothing lost': lost.length === 0,
      'nothing wrong': wrong.length === 0,
      'back in time': Math.max(...recoveries) <= mostMs,
    },
  )
}, 240_000)
