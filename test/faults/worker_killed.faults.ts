import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startCluster } from './cluster.ts'
import { check, type Row } from './history.ts'
import { inFull, short } from './length.ts'
import { startLoad } from './load.ts'
import { childrenOf, signal } from './process_tree.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'

const times = inFull(30, 4)
const perSecond = 200
const replacedWithinMs = 1_000

test(`a worker killed with SIGKILL under writes, ${times} times`, async () => {
  const cluster = await startCluster()
  const server = await startServer({ DATABASE_URL: cluster.url, WEB_CONCURRENCY: '2' }, { mayEnd: true })
  await server.listening()
  const load = await startLoad({ url: server.url, perSecond })
  const replacedMs: number[] = []
  for (let i = 0; i < times; i++) {
    await sleep(1_200 + Math.random() * 500)
    const workers = childrenOf(server.pid)
    const killed = Date.now()
    signal(workers[Math.floor(Math.random() * workers.length)] as number, 'SIGKILL')
    await server.program.line(/"msg":"listening"/)
    const { time = Number.POSITIVE_INFINITY } = server.log().findLast(({ msg }) => msg === 'listening') ?? {}
    replacedMs.push(time - killed)
  }
  const exchanges = await load.stop()

  const rows = (await cluster.run('select id, name from site')) as Row[]
  const { lost, wrong, ...counts } = check(exchanges, rows, { mayBreak: true })
  for (const line of [...lost, ...wrong].slice(0, 20)) console.info(line)
  const [middle = 0, slowest = 0] = [replacedMs.length >> 1, replacedMs.length - 1].map(
    (i) => replacedMs.toSorted((a, b) => a - b)[i],
  )
  await report(
    {
      fault: `a worker of two killed with SIGKILL under writes, ${times} times`,
      ...counts,
      lost: lost.length,
      wrong: wrong.length,
      recoveredMs: slowest,
      wanted: `0 lost, replaced within ${replacedWithinMs / 1000} s`,
      seen: `replaced after ${middle} ms in the middle, ${slowest} at most; ${counts.broken} requests broken off with their worker`,
    },
    {
      'nothing lost': lost.length === 0,
      'nothing wrong': wrong.length === 0,
      // To start a process takes as long as a busy machine makes it, so of the short run the slowest doesn't count.
      'replaced within a second': (short ? middle : slowest) <= replacedWithinMs,
    },
  )
}, 300_000)
