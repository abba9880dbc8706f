import { empty, query, type Scale, settle } from './data.ts'
import type { Generator } from './generator.ts'
import type { Load } from './load.ts'
import { runCopy, runPgbench } from './pgbench.ts'
import { cpuSeconds, peakMb, resetPeak } from './processes.ts'
import { type Name, type Server, startServer } from './servers.ts'
import type { Workload } from './workloads.ts'

/** One measurement. Times in milliseconds; CPU in seconds per 1,000 requests; undefined is unknown, or doesn't apply. */
export type Sample = {
  workload: string
  contestant: Name | 'pgbench' | 'psql'
  round: number
  perSecond?: number
  p50Ms?: number
  p99Ms?: number
  serverCpu?: number | undefined
  postgresCpu?: number | undefined
  peakMb?: number | undefined
  /** Cores that the process making the load used. */
  generatorCores?: number | undefined
  /** Why this doesn't count. */
  faults: string[]
}

export type Database = { url: string; scale: Scale }

export type Field = {
  generator: Generator
  postgresPid: number
  large: Database
  small: Database
  pgbench: string | undefined
  psql: string | undefined
}

/** Measures a server, or pgbench in place of one, under a workload. */
export async function measure(
  field: Field,
  workload: Workload,
  contestant: Server | 'pgbench',
  { round, seconds, connections }: { round: number; seconds: number; connections: number },
): Promise<Sample> {
  const { generator, postgresPid } = field
  const name = contestant === 'pgbench' ? contestant : contestant.name
  const { url, scale } = name === 'small' ? field.small : field.large
  await settle(url)
  if (workload.writes) await query(url, 'checkpoint')
  if (contestant !== 'pgbench') await resetPeak(contestant.pid)

  const pids = [contestant === 'pgbench' ? 0 : contestant.pid, postgresPid, generator.pid] as const
  const before = await Promise.all(pids.map(cpuSeconds))
  const load = await run()
  const after = await Promise.all(pids.map(cpuSeconds))
  const peak = contestant === 'pgbench' ? undefined : await peakMb(contestant.pid)
  await settle(url)
  if (workload.adds) await empty(url, scale)
  // As autovacuum would, but at once: what is measured next is to find the same tables, whoever was measured before.
  else if (workload.writes) await query(url, 'vacuum (analyze) site')

  const [server, postgres, generating] = after.map((now, index) => difference(before[index], now))
  const perThousand = (cpu: number | undefined) => (cpu === undefined ? undefined : (cpu / load.count) * 1000)
  return {
    workload: workload.name,
    contestant: name,
    round,
    perSecond: load.count / load.seconds,
    p50Ms: load.p50Ms,
    p99Ms: load.p99Ms,
    // Besides the streams it says nothing about the requests.
    serverCpu: workload.streams ? undefined : perThousand(server),
    postgresCpu: workload.streams ? undefined : perThousand(postgres),
    peakMb: peak,
    generatorCores: contestant === 'pgbench' || generating === undefined ? undefined : generating / load.seconds,
    faults: load.faults,
  }

  function run(): Promise<Load> {
    if (contestant === 'pgbench') {
      return runPgbench(field.pgbench ?? '', url, workload.pgbench?.(scale) ?? '', seconds)
    }
    return generator.make({
      kind: 'requests',
      url: contestant.url,
      ...(name === 'constant' && { path: '/constant' }),
      ...(name === 'unbatched' && { route: '/unbatched/' }),
      workload: workload.name,
      scale,
      connections: workload.connections ?? connections,
      seconds,
      seed: round,
    })
  }
}

/** One client reads the whole list of containers; psql copies it. `hash` tells whether all got the same bytes. */
export async function measureStream(
  field: Field,
  contestant: Server | 'psql',
  round: number,
): Promise<Sample & { hash?: string }> {
  await settle(field.large.url)
  if (contestant === 'psql') {
    const before = await cpuSeconds(field.postgresPid)
    const seconds = await runCopy(field.psql ?? '', field.large.url)
    const after = await cpuSeconds(field.postgresPid)
    return {
      ...oneRequest('stream', 'psql', round, seconds),
      postgresCpu: difference(before, after),
    }
  }
  await resetPeak(contestant.pid)
  const pids = [contestant.pid, field.postgresPid] as const
  const before = await Promise.all(pids.map(cpuSeconds))
  const { seconds, hash } = await field.generator.readWhole(contestant.url)
  const after = await Promise.all(pids.map(cpuSeconds))
  return {
    ...oneRequest('stream', contestant.name, round, seconds),
    serverCpu: difference(before[0], after[0]),
    postgresCpu: difference(before[1], after[1]),
    peakMb: await peakMb(contestant.pid),
    hash,
  }
}

/** From the start of the process to its first answer, which needed the database. */
export async function measureStart(field: Field, name: Name, round: number): Promise<Sample> {
  await settle(field.large.url)
  const server = await startServer(name, field.large.url)
  const peak = await peakMb(server.pid)
  const cpu = await cpuSeconds(server.pid)
  await server.stop()
  return { ...oneRequest('start', name, round, server.startSeconds), serverCpu: cpu, peakMb: peak }
}

// Here CPU is that of the one request, not of a thousand.
const oneRequest = (workload: string, contestant: Sample['contestant'], round: number, seconds: number): Sample => ({
  workload,
  contestant,
  round,
  p50Ms: seconds * 1000,
  faults: [],
})

const difference = (before: number | undefined, after: number | undefined) =>
  before === undefined || after === undefined ? undefined : after - before
