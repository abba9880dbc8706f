import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startClients, total } from './clients.ts'
import { startCluster } from './cluster.ts'
import { check, type Row } from './history.ts'
import { inFull } from './length.ts'
import { startLoad } from './load.ts'
import { startNginx, withoutNginx } from './nginx.ts'
import { freePort } from './port.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'

const rounds = inFull(10, 2)
const perSecond = 100

if (withoutNginx) console.info(`No rolling restart behind nginx: ${withoutNginx}.`)

test.skipIf(withoutNginx)(
  `two servers behind nginx, restarted one after the other, ${rounds} times`,
  async () => {
    const cluster = await startCluster()
    const ports = [await freePort(), await freePort()]
    const start = (port: number) => startServer({ DATABASE_URL: cluster.url, PORT: String(port) })
    const servers = await Promise.all(ports.map(start))
    const nginx = await startNginx(ports)
    const load = await startLoad({ url: nginx.url, perSecond })
    const next = () => ({ path: '/sites/0/5' })
    const clients = [
      startClients(nginx.url, { count: 16, pauseMs: 100, next }),
      startClients(nginx.url, { count: 8, pauseMs: 100, next, anew: true }),
    ]

    await sleep(1_000)
    for (let round = 1; round <= rounds; round++) {
      for (const [i, port] of ports.entries()) {
        await servers[i]?.stop()
        servers[i] = await start(port)
        await sleep(500)
      }
    }
    const told = total(await Promise.all(clients.map((each) => each.stop())))
    const exchanges = await load.stop()

    const rows = (await cluster.run('select id, name from site')) as Row[]
    const { lost, wrong, sent, acknowledged, refused, broken } = check(exchanges, rows)
    for (const line of [...lost, ...wrong, ...told.dropped].slice(0, 20)) console.info(line)
    // That one is refused is what is expected of it.
    const complaints = nginx.lines.filter((line) => /\[(warn|error|crit|alert)\]/.test(line) && !/\(111: /.test(line))
    for (const line of complaints.slice(0, 10)) console.info(line)
    const failed = refused + broken + told.dropped.length + told.not2xx
    const slowest = Math.max(...exchanges.map(({ startMs, endMs = Number.POSITIVE_INFINITY }) => endMs - startMs))
    await report(
      {
        fault: `rolling restart of two servers behind nginx, ${rounds} times`,
        sent: sent + told.sent,
        acknowledged,
        lost: lost.length,
        wrong: wrong.length,
        wanted: '0 failed requests through nginx',
        seen: `${failed} failed; the slowest answer took ${slowest.toFixed()} ms`,
      },
      { 'nothing lost': lost.length === 0, 'nothing wrong': wrong.length === 0, 'nothing failed': failed === 0 },
    )
  },
  600_000,
)
