import { compare } from './agree.ts'
import { type Field, measure, measureStart, measureStream, type Sample } from './measure.ts'
import type { Options } from './options.ts'
import type { Absent } from './report.ts'
import type { Name, Server } from './servers.ts'
import { type Workload, workloads } from './workloads.ts'

/** One thing to measure; in each round all of them are, in turn. */
export type Step = {
  workload: string
  contestant: Sample['contestant']
  run: (round: number) => Promise<Sample>
  /** A first run that doesn't count, so that no code is compiled and no connection opened while it does. */
  warmUp?: () => Promise<unknown>
}

const peers: Name[] = ['fastify', 'express', 'ours']
const ours: Name[] = ['ours']

/** What is measured, and what isn't, and why. All servers must give the same answers. */
export async function plan(
  field: Field,
  servers: Server[],
  options: Options,
): Promise<{ steps: Step[]; absent: Absent[]; differing: Absent[] }> {
  const steps: Step[] = []
  const absent: Absent[] = []
  const differing: Absent[] = []
  const server = (name: Name) => servers.filter((each) => each.name === name)

  for (const workload of workloads.filter(({ name }) => options.workloads.includes(name))) {
    const able: Server[] = []
    const asked = (workload.oursOnly ? ours : peers).flatMap(server)
    for (const verdict of await compare(asked, workload, field.large.scale)) {
      const row = { workload: workload.name, contestant: verdict.server.name }
      if (verdict.missing) absent.push({ ...row, why: verdict.missing })
      else able.push(verdict.server)
      if (verdict.differs) differing.push({ ...row, why: verdict.differs })
    }
    const also = (workload.also ?? []).filter((name) => name !== 'small' || able.some((each) => each.name === 'ours'))
    for (const each of [...able, ...also.flatMap(server)]) steps.push(step(field, workload, each, options))
    if (workload.pgbench && field.pgbench) steps.push(step(field, workload, 'pgbench', options))
    else if (workload.pgbench) absent.push({ workload: workload.name, contestant: 'pgbench', why: 'not installed' })
  }
  if (options.workloads.includes('stream')) {
    const streams = sameBytes()
    for (const each of peers.flatMap(server)) {
      steps.push({
        workload: 'stream',
        contestant: each.name,
        run: async (round) => streams(await measureStream(field, each, round)),
      })
    }
    if (field.psql)
      steps.push({ workload: 'stream', contestant: 'psql', run: (round) => measureStream(field, 'psql', round) })
    else absent.push({ workload: 'stream', contestant: 'psql', why: 'not installed' })
  }
  if (options.workloads.includes('start')) {
    for (const name of peers)
      steps.push({ workload: 'start', contestant: name, run: (round) => measureStart(field, name, round) })
  }
  return { steps, absent, differing }
}

function step(field: Field, workload: Workload, contestant: Server | 'pgbench', options: Options): Step {
  const { seconds, connections } = options
  const what = { workload: workload.name, contestant: contestant === 'pgbench' ? contestant : contestant.name }
  const run = (round: number) => measure(field, workload, contestant, { round, seconds, connections })
  if (contestant === 'pgbench' || workload.streams) return { ...what, run }
  return {
    ...what,
    run,
    warmUp: () => measure(field, workload, contestant, { round: 0, seconds: Math.min(1, seconds / 2), connections }),
  }
}

/** Marks streams whose bytes are not those of the first one. */
function sameBytes() {
  let first: string | undefined
  return ({ hash, ...sample }: Sample & { hash?: string }): Sample => {
    first ??= hash
    return hash === first ? sample : { ...sample, faults: [...sample.faults, 'other bytes than the first stream'] }
  }
}
