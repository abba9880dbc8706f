import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startClients, total } from './clients.ts'
import { startCluster } from './cluster.ts'
import { inFull } from './length.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'

const rounds = inFull(20, 4)
const endsWithinMs = 5_000

test(`SIGTERM under load, ${rounds} times, to the first process or to all of them`, async () => {
  const cluster = await startCluster()
  const told = []
  const tookMs: number[] = []
  const badEnds: string[] = []
  let kept = 0
  for (let round = 1; round <= rounds; round++) {
    // One worker, then two: the last one that stops is the one that connections could be lost with.
    const server = await startServer({ DATABASE_URL: cluster.url, WEB_CONCURRENCY: String(1 + (round % 2)) })
    if (round === 1) await fill(cluster.run)
    const clients = [
      startClients(server.url, { count: 32, pauseMs: 20, next }),
      startClients(server.url, { count: 16, pauseMs: 300, next }),
      startClients(server.url, { count: 24, pauseMs: 10, next, anew: true }),
    ]
    await sleep(500 + Math.random() * 500)
    const since = performance.now()
    // To the first process, as Docker sends it; or to all of them, as systemd and a terminal do.
    if (round % 4 < 2) server.program.kill('SIGTERM')
    else server.program.killGroup('SIGTERM')
    const { code, signal } = await server.program.ended()
    tookMs.push(performance.now() - since)
    if (code !== 0) badEnds.push(`${code ?? signal}`)
    const ended = await Promise.all(clients.map((each) => each.ended))
    told.push(...ended)
    kept += ended.slice(0, 2).reduce((sum, { closing }) => sum + closing, 0)
  }

  const { dropped, not2xx, ...counts } = total(told)
  for (const line of dropped.slice(0, 20)) console.info(line)
  const slowest = Math.max(...tookMs)
  await report(
    {
      fault: `SIGTERM under load, ${rounds} times, to the first process or to all`,
      ...counts,
      lost: dropped.length,
      wrong: not2xx,
      wanted: `0 accepted requests dropped, keep-alive clients told Connection: close, exit within ${endsWithinMs / 1000} s`,
      seen: `exit after ${slowest.toFixed()} ms at most; ${kept} of ${48 * rounds} kept connections ended by Connection: close`,
    },
    {
      'no request dropped': dropped.length === 0,
      'only 2xx': not2xx === 0,
      // The others were not used for so long that they were closed.
      'kept connections ended by Connection: close': kept > 0.9 * 48 * rounds,
      'exit with 0': badEnds.length === 0,
      'exit within 5 s': slowest < endsWithinMs,
    },
  )
}, 300_000)

/** Sites enough that their list takes several pages. */
async function fill(run: (statement: string) => Promise<unknown>) {
  await run("insert into site (id, name) select id, 'Site ' || id from generate_series(1, 2000) as id")
}

function next() {
  const id = 1 + Math.floor(Math.random() * 2_000)
  const kind = Math.random()
  if (kind < 0.1) return { path: '/sites' }
  if (kind < 0.4) return { method: 'POST' as const, path: `/site/${id}`, body: { contact: `Contact ${kind}` } }
  return { path: `/site/${id}` }
}
