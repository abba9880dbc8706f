import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startCluster } from './cluster.ts'
import { check, type Row } from './history.ts'
import { inFull, short } from './length.ts'
import { startLoad } from './load.ts'
import { startProbes } from './probes.ts'
import { startProxy, type TcpProxy } from './proxy.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'
import { asBefore, between, failedFor, failures, p99, slowest } from './timing.ts'

const rate = 100

/** How much later than its deadline an answer may come. */
const graceMs = 250

/** How long /healthz may take, 99 times of 100. Where CI runs, others may keep the machine busy for moments. */
const healthMs = inFull(50, 200)

/** What is looked at after the fault: from one second later, to three more. */
const [backWithinMs, lookMs] = [1_000, inFull(3_000, 1_000)]

/** For the last of these to be answered before the next round. */
const answerMs = 500

type Stage = { pause: () => void; resume: () => void; proxy: TcpProxy }
type Fault = { name: string; deadlineMs: number; rounds: number; fault: (stage: Stage) => Promise<unknown> }

const seconds = (count: number) => sleep(count * 1_000)

const hung = (lasting: number, deadlineMs: number): Fault => ({
  name: `Postgres hung (SIGSTOP) for ${lasting} s`,
  deadlineMs,
  rounds: 1,
  fault: ({ pause, resume }) => {
    pause()
    return seconds(lasting).then(resume)
  },
})

const network = (name: string, rounds: number, fault: (proxy: TcpProxy) => Promise<unknown>): Fault => ({
  name: `network ${name}`,
  deadlineMs: 2_000,
  rounds,
  fault: ({ proxy }) => fault(proxy).finally(() => proxy.set('pass')),
})

const faults: Fault[] = [
  hung(inFull(10, 3), 2_000),
  ...(short ? [] : [hung(30, 10_000)]),
  network(`black-holed for ${inFull(5, 3)} s`, inFull(3, 1), (proxy) => {
    proxy.set('hold')
    return seconds(inFull(5, 3))
  }),
  network('cut, and refused for 1 s', inFull(5, 1), async (proxy) => {
    await proxy.refuse()
    proxy.cut()
    await seconds(1)
    await proxy.accept()
  }),
  network('reset', inFull(10, 1), (proxy) => {
    proxy.reset()
    return seconds(0.5)
  }),
  network(`slowed by 500 ms each way for ${inFull(5, 3)} s`, 1, (proxy) => {
    proxy.set({ delayMs: 500 })
    return seconds(inFull(5, 3))
  }),
  network(`slowed to 2 kB/s each connection for ${inFull(5, 3)} s`, 1, (proxy) => {
    proxy.set({ bytesPerSecond: 2_000 })
    return seconds(inFull(5, 3))
  }),
]

test.each(faults)(
  '$name, with a deadline of $deadlineMs ms',
  async ({ name, deadlineMs, rounds, fault }) => {
    const cluster = await startCluster()
    const proxy = await startProxy(cluster.port)
    const server = await startServer({ DATABASE_URL: proxy.through(cluster.url), QUERY_TIMEOUT: `${deadlineMs}` })
    const load = await startLoad({ url: server.url, perSecond: rate })
    await seconds(1)
    const from = performance.now()
    await seconds(inFull(4, 1))
    const before = p99(between(load.exchanges, from, performance.now() - 100))

    const hangs: { fromMs: number; toMs: number }[] = []
    const probes = startProbes(`${server.url}/healthz`)
    for (let round = 1; round <= rounds; round++) {
      const fromMs = performance.now()
      await fault({ ...cluster, proxy })
      hangs.push({ fromMs, toMs: performance.now() })
      await sleep(backWithinMs + lookMs + answerMs)
    }
    const health = await probes.stop()
    const exchanges = await load.stop()

    const after = hangs.map(({ toMs }) => between(exchanges, toMs + backWithinMs, toMs + backWithinMs + lookMs))
    const rows = (await cluster.run('select id, name from site')) as Row[]
    const { lost, wrong, ...counts } = check(exchanges, rows, { hangs })
    const longest = slowest(exchanges)
    const slow = p99(after.flat())
    const worst = Math.max(...after.map(p99))
    for (const line of [...lost, ...wrong].slice(0, 20)) console.info(line)
    await report(
      {
        fault: `${name}${rounds > 1 ? `, ${rounds} times` : ''}; deadline ${deadlineMs} ms`,
        ...counts,
        lost: lost.length,
        wrong: wrong.length,
        recoveredMs: Math.max(...hangs.map(({ toMs }) => failedFor(exchanges, toMs, toMs + backWithinMs + lookMs))),
        wanted: `every answer within the deadline + ${graceMs} ms, /healthz p99 under ${healthMs} ms, 0 lost, 0 wrong`,
        seen:
          `slowest answer ${longest.toFixed()} ms; /healthz p99 ${p99(health).toFixed()} ms; ` +
          `${counts.refused} refused with 503; p99 ${before.toFixed()} ms before, ${slow.toFixed()} ms from 1 s after (worst round ${worst.toFixed()})`,
      },
      {
        'in time': longest <= deadlineMs + graceMs,
        'healthz succeeds': failures(health) === 0,
        'healthz in time': p99(health) < healthMs,
        'nothing lost': lost.length === 0,
        'nothing wrong': wrong.length === 0,
        'back within 1 s': after.every((some) => some.length > 0 && failures(some) === 0),
        'p99 back within 1 s': slow <= asBefore(before),
      },
    )
  },
  180_000,
)
