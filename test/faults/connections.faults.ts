import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startProgram } from '../process.ts'
import { atEnd } from './at_end.ts'
import { startCluster } from './cluster.ts'
import { check } from './history.ts'
import { inFull } from './length.ts'
import { startLoad } from './load.ts'
import { memoryOf } from './memory.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'
import { between, p99 } from './timing.ts'

const perSecond = 100
/** By how many MB the server may grow, with its settings as they are by default. */
const mostMegabytes = 100
const closedWithinMs = 15_000

/** What a good client's slowest of a hundred may become; below 5 ms it is noise of the machine that is tripled. */
const allowed = (p99Ms: number) => 3 * Math.max(5, p99Ms)

/** Clients of some kinds, so many of each, beside a good client. Returns what the good one had without them and with them. */
async function disturb(crowds: string[], stayMs: number, settings: Record<string, string> = {}) {
  const cluster = await startCluster()
  const server = await startServer({ DATABASE_URL: cluster.url, ...settings })
  const load = await startLoad({ url: server.url, perSecond })
  const crowd = startProgram(process.execPath, ['test/faults/crowd.ts', server.url, ...crowds])
  await crowd.line(/ready/)
  // Until the server is compiled and has its connections.
  await sleep(5_000)
  const calmMs = performance.now()
  await sleep(inFull(20_000, 5_000))
  const crowdMs = performance.now()
  const calmMegabytes = memoryOf(server.pid)
  let megabytes = 0
  const watch = setInterval(() => {
    megabytes = Math.max(megabytes, memoryOf(server.pid))
  }, 250)
  atEnd(async () => clearInterval(watch))
  crowd.kill('SIGUSR2')
  const opened = JSON.parse(await crowd.line(/"connected"/))
  await sleep(stayMs)
  crowd.kill('SIGTERM')
  const closed = JSON.parse(await crowd.line(/"closed"/))
  clearInterval(watch)
  const endMs = performance.now()
  const exchanges = await load.stop()
  const verdict = check(exchanges, (await cluster.run('select id, name from site')) as { id: number; name: string }[])
  const figures = {
    withoutMs: p99(between(exchanges, calmMs, crowdMs)),
    withMs: p99(between(exchanges, crowdMs, endMs)),
    addedMegabytes: megabytes - calmMegabytes,
    connected: opened.connected as number,
    openWhenAll: opened.open as number,
    openAtEnd: closed.open as number,
    longestMs: closed.longestMs as number,
    answers: closed.answers as Record<string, number>,
  }
  console.info(figures)
  return { ...figures, verdict }
}

type Figures = Awaited<ReturnType<typeof disturb>>

async function tell(
  fault: string,
  wanted: string,
  figures: Figures,
  met: { [what: string]: boolean },
  { most = mostMegabytes, also = [] as string[] } = {},
) {
  const { verdict, withoutMs, withMs, addedMegabytes } = figures
  const { sent, acknowledged, lost, wrong } = verdict
  for (const line of [...lost, ...wrong].slice(0, 10)) console.info(line)
  const seen = [
    ...also,
    `a good client's p99 ${withMs.toFixed(1)} ms, ${withoutMs.toFixed(1)} ms without`,
    `memory + ${addedMegabytes.toFixed()} MB`,
    `closed after ${(figures.longestMs / 1000).toFixed(1)} s at most, ${figures.openAtEnd} left open`,
  ]
  await report(
    { fault, sent, acknowledged, lost: lost.length, wrong: wrong.length, wanted, seen: seen.join('; ') },
    {
      'nothing lost': lost.length === 0,
      'only right answers': wrong.length === 0 && verdict.refused === 0,
      "a good client's p99 within 3 times": withMs <= allowed(withoutMs),
      [`memory + ${most} MB at most`]: addedMegabytes <= most,
      ...met,
    },
  )
}

const count = 10_000

/** Clients that have had an answer, and keep their connections for as long as they are let. */
async function tellOfIdle(
  keep: number,
  { settings, wanted, most }: { settings?: Record<string, string>; wanted: string; most: number },
) {
  const figures = await disturb([`idle=${count}`], inFull(20_000, 5_000), settings)
  const { answers, openAtEnd } = figures
  const kept = Math.min(count, keep)
  await tell(
    `10,000 idle connections${settings ? `, ${Object.entries(settings).map((each) => each.join('='))}` : ''}`,
    wanted,
    figures,
    {
      'all had an answer': figures.connected === count && answers[200] === count,
      // Of those that the server keeps, some are the good client's.
      'as many are kept as the server is to keep': openAtEnd <= kept && openAtEnd >= (kept < count ? kept - 200 : kept),
    },
    {
      most,
      also: [`${answers[200]} had an answer; ${openAtEnd} were kept, ${count - openAtEnd} closed for newer ones`],
    },
  )
}

test('10,000 clients that have had an answer, and keep their connections if they are among the last 4,000', async () => {
  const wanted =
    `memory + ${mostMegabytes} MB at most (by keeping 4,000 of them, MAX_CONNECTIONS as it is by default), ` +
    "a good client's p99 within 3 times"
  await tellOfIdle(4_000, { wanted, most: mostMegabytes })
})

test('10,000 clients that have had an answer, and keep their connections', async () => {
  const most = 200
  const wanted =
    `all kept, memory + ${most} MB at most (the ${mostMegabytes} MB of the figure to reach are for the default, which keeps ` +
    "4,000), a good client's p99 within 3 times"
  await tellOfIdle(12_000, { settings: { MAX_CONNECTIONS: '12000' }, wanted, most })
})

test('1,000 clients that send slowly, or half, or nothing', async () => {
  const crowd = [
    'slow header=250',
    'slow body=250',
    'slow chunks=150',
    'half a header=150',
    'half a body=100',
    'silent=100',
  ]
  const figures = await disturb(crowd, closedWithinMs + 1_500)
  await tell('1,000 slow and half requests', "closed within 15 s, a good client's p99 within 3 times", figures, {
    'all had connected': figures.connected === 1_000,
    'all are closed within 15 s': figures.openAtEnd === 0 && figures.longestMs <= closedWithinMs,
  })
})

test('1,000 clients that send garbage, alone and behind requests', async () => {
  const figures = await disturb(['garbage=1000'], 3_000)
  await tell('1,000 clients with garbage', 'closed, only right answers to others', figures, {
    'all are closed': figures.openAtEnd === 0,
  })
})
