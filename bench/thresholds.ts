import { type Spread, spread } from './figures.ts'
import type { Sample } from './measure.ts'

type Measured = 'perSecond' | 'p50Ms' | 'p99Ms'

type Threshold = {
  title: string
  /** Of this server's value to that of another, or under another workload, in the same round. */
  of: [workload: string, key: Measured]
  to: [workload: string, contestant: Sample['contestant']]
} & ({ atLeast: number } | { atMost: number })

/** Ratios, because absolute times say more about the machine. */
const thresholds: Threshold[] = [
  { title: 'point read ÷ constant answer', of: ['point', 'perSecond'], to: ['point', 'constant'], atLeast: 0.9 },
  { title: 'point read ÷ fastify + pg', of: ['point', 'perSecond'], to: ['point', 'fastify'], atLeast: 3 },
  { title: 'point read ÷ pgbench', of: ['point', 'perSecond'], to: ['point', 'pgbench'], atLeast: 1 },
  { title: 'hot page of 10 ÷ constant answer', of: ['hot', 'perSecond'], to: ['hot', 'constant'], atLeast: 0.8 },
  { title: 'page of 10 ÷ fastify + pg', of: ['page10', 'perSecond'], to: ['page10', 'fastify'], atLeast: 1.4 },
  { title: 'page of 10 ÷ pgbench', of: ['page10', 'perSecond'], to: ['page10', 'pgbench'], atLeast: 0.6 },
  {
    title: 'upsert of an existing row ÷ fastify + pg',
    of: ['upsert', 'perSecond'],
    to: ['upsert', 'fastify'],
    atLeast: 1,
  },
  {
    title: 'upsert of an existing row ÷ pgbench',
    of: ['upsert', 'perSecond'],
    to: ['upsert', 'pgbench'],
    atLeast: 0.7,
  },
  {
    title: 'p50 of the instruments page ÷ with small tables',
    of: ['instruments', 'p50Ms'],
    to: ['instruments', 'small'],
    atMost: 1.5,
  },
  { title: 'p50 of the lookup by uuid ÷ with small tables', of: ['uuid', 'p50Ms'], to: ['uuid', 'small'], atMost: 1.5 },
  {
    title: 'p99 of a point read while 10 clients stream ÷ without',
    of: ['besides', 'p99Ms'],
    to: ['point', 'ours'],
    atMost: 3,
  },
  {
    title: 'p99 of a point read by a lone client ÷ with a query each',
    of: ['lone', 'p99Ms'],
    to: ['lone', 'unbatched'],
    atMost: 1.1,
  },
  { title: 'time to stream a whole table ÷ psql \\copy', of: ['stream', 'p50Ms'], to: ['stream', 'psql'], atMost: 1.5 },
]

export type Verdict = { title: string; wanted: string; ratio: Spread | undefined; met: boolean | undefined }

/** The ratio in each round, and whether their median is what it should be; undefined where one of the two is not measured. */
export function judge(samples: Sample[]): Verdict[] {
  return thresholds.map((threshold) => {
    const [workload, key] = threshold.of
    const ours = valid(samples, workload, 'ours')
    const others = valid(samples, ...threshold.to)
    const ratio = spread(
      ours.map((sample) => {
        const other = others.find(({ round }) => round === sample.round)
        const [a, b] = [sample[key], other?.[key]]
        return a === undefined || b === undefined ? undefined : a / b
      }),
    )
    const [wanted, met] =
      'atLeast' in threshold
        ? [`≥ ${threshold.atLeast}`, ratio && ratio.median >= threshold.atLeast]
        : [`≤ ${threshold.atMost}`, ratio && ratio.median <= threshold.atMost]
    return { title: threshold.title, wanted, ratio, met }
  })
}

const valid = (samples: Sample[], workload: string, contestant: Sample['contestant']) =>
  samples.filter((each) => each.workload === workload && each.contestant === contestant && each.faults.length === 0)
