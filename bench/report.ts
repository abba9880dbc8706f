import type { Figures, Spread } from './figures.ts'
import type { Options } from './options.ts'
import { entries } from './servers.ts'
import type { Verdict } from './thresholds.ts'
import { workloads } from './workloads.ts'

/** A row that has no figures, and why. */
export type Absent = { workload: string; contestant: Figures['contestant']; why: string }

const titles: { [contestant: string]: string } = {
  ...Object.fromEntries(Object.entries(entries).map(([name, { title }]) => [name, title])),
  pgbench: 'pgbench, 8 clients',
  psql: 'psql \\copy',
}

const workloadTitles: { [workload: string]: string } = {
  ...Object.fromEntries(workloads.map(({ name, title }) => [name, title])),
  stream: 'whole table, `/containers`, one client',
  start: 'start to first answer',
}

/** One row for each contestant under each workload. */
export function table(figures: Figures[], absent: Absent[], order: string[]): string {
  const rows = order.flatMap((workload) => [
    ...figures.filter((each) => each.workload === workload).map((each) => figureRow(each, figures)),
    ...absent.filter((each) => each.workload === workload).map(absentRow),
  ])
  return markdown(
    [
      'workload',
      'server',
      'requests/s',
      'min–max',
      '× fastify',
      'p50 ms',
      'p99 ms',
      'CPU s/1,000: server',
      'Postgres',
      'peak MB',
      'load: cores',
    ],
    rows,
  )
}

function figureRow(each: Figures, figures: Figures[]): string[] {
  const { workload, contestant, perSecond, p50Ms, p99Ms } = each
  const name = [workloadTitles[workload] ?? workload, titles[contestant] ?? contestant]
  if (each.faults.length > 0) return [...name, `invalid: ${each.faults.join('; ')}`, ...Array(8).fill('')]
  const fastify = figures.find((other) => other.workload === workload && other.contestant === 'fastify')
  const ratio = perSecond
    ? perSecond.median / (fastify?.perSecond?.median ?? Number.NaN)
    : (fastify?.p50Ms?.median ?? Number.NaN) / (p50Ms?.median ?? Number.NaN)
  const range = perSecond ? show(perSecond, 0, true) : show(p50Ms, 0, true)
  return [
    ...name,
    show(perSecond, 0),
    perSecond ? range : range && `${range} ms`,
    Number.isFinite(ratio) ? ratio.toFixed(2) : '',
    show(p50Ms, 2),
    show(p99Ms, 2),
    show(each.serverCpu, 3),
    show(each.postgresCpu, 3),
    show(each.peakMb, 0),
    show(each.generatorCores, 2),
  ]
}

const absentRow = ({ workload, contestant, why }: Absent) => [
  workloadTitles[workload] ?? workload,
  titles[contestant] ?? contestant,
  `n/a: ${why}`,
  ...Array(8).fill(''),
]

/** What should hold between the figures. */
export function verdictTable(verdicts: Verdict[]): string {
  return markdown(
    ['ratio', 'wanted', 'median', 'min–max', 'met'],
    verdicts.map(({ title, wanted, ratio, met }) => [
      title,
      wanted,
      show(ratio, 2),
      show(ratio, 2, true),
      met === undefined ? 'n/a' : met ? 'yes' : '**no**',
    ]),
  )
}

/** The whole report, for a file. */
export function page(
  { containers, seconds, rounds, connections }: Options,
  machine: { [what: string]: string },
  parts: string[],
): string {
  return `# Measured

${Object.entries(machine)
  .map(([what, value]) => `- ${what}: ${value}`)
  .join('\n')}
- ${containers} containers, ${containers} instruments, 10,000 sites; the small tables have 10,000, 1,000 and 100
- ${rounds} rounds of ${seconds} s for each figure, the contestants in turn; ${connections} connections, keep-alive
- servers: one worker process each, on the same Node, with a pool of 10 connections (this server's default and that of
  pg); NODE_ENV is production, and none of them logs requests (this server has LOG_LEVEL=warn). CPU and memory of this
  server are those of its worker and of the process that watches over it; the constant answer has no such process
- upserts give all fields, so that the peers' and pgbench's statements can be plain; this server's also allows for fields
  that are left out
- all servers' answers to the same requests were compared before; a row that differs is invalid
- load generator, Postgres and server share the machine's cores; CPU of pgbench's and psql's own is not counted
- medians over the rounds; a ratio is that within a round; for a stream and a start the times and CPU are of that one
  request, and × fastify is how many times as fast

${parts.join('\n\n')}

Again: \`npm run bench -- --containers ${containers} --seconds ${seconds} --rounds ${rounds} --connections ${connections}\`
`
}

function show(spread: Spread | undefined, digits: number, range = false): string {
  if (!spread) return ''
  const text = (value: number) =>
    value.toLocaleString('en', { maximumFractionDigits: digits, minimumFractionDigits: value < 1000 ? digits : 0 })
  return range ? `${text(spread.min)}–${text(spread.max)}` : text(spread.median)
}

const markdown = (head: string[], rows: string[][]) =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')
