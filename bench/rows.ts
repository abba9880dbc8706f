import '../src/node_version.js'
import { writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { isDeepStrictEqual } from 'node:util'
// biome-ignore lint/correctness/noUndeclaredDependencies: it is the server's, in the folder above.
import driver, { type Sql } from 'postgres'
import type { Container } from '../src/database/container.ts'
import { empty, fill, smallScale } from './data.ts'
import { spread } from './figures.ts'
import { describeMachine, postgresSettings } from './machine.ts'
import { cpuSeconds } from './processes.ts'

const help = `npm run bench:rows: measures the ways from rows to the bytes of a JSON array, by rows per page.
One connection asks for a page after the other, from random ids on. It takes a minute.
The table is printed, and written to .data/bench/rows.md.`

type Row = Container & { json: string }
type Way = (sql: Sql, start: number, size: number) => Promise<Buffer>

const plain = (sql: Sql, start: number, size: number) => sql<Row[]>`
  select id, uuid, description, freezer_id from container where id >= ${start} order by id limit ${size}`

// ::text, because the driver would parse what comes as json.
const ways: { [name: string]: Way } = {
  'rows, JSON.stringify': async (...page) => Buffer.from(JSON.stringify(await plain(...page))),
  '.values(), JSON.stringify of objects': async (...page) => {
    const rows = await plain(...page).values()
    const objects = rows.map(([id, uuid, description, freezer_id]) => ({ id, uuid, description, freezer_id }))
    return Buffer.from(JSON.stringify(objects))
  },
  '.raw(), JSON by hand': async (...page) => {
    // UTF-8 taken for latin1, and back: what JSON escapes is the same bytes in both, and nothing has to be decoded.
    const text = (bytes: Buffer | null | undefined) => bytes?.toString('latin1') ?? null
    const objects = (await plain(...page).raw()).map(
      ([id, uuid, description, freezer]) =>
        `{"id":${text(id)},"uuid":"${text(uuid)}","description":${JSON.stringify(text(description))},"freezer_id":${text(freezer)}}`,
    )
    return Buffer.from(`[${objects.join(',')}]`, 'latin1')
  },
  'row_to_json, joined here': async (sql, start, size) => {
    const rows = await sql<Row[]>`select row_to_json(page)::text as json from (
      select id, uuid, description, freezer_id from container where id >= ${start} order by id limit ${size}) as page`
    return Buffer.from(`[${rows.map(({ json }) => json).join(',')}]`)
  },
  json_agg: async (sql, start, size) => {
    const [row] = await sql<Row[]>`select json_agg(page)::text as json from (
      select id, uuid, description, freezer_id from container where id >= ${start} order by id limit ${size}) as page`
    return Buffer.from(row?.json ?? '[]')
  },
  'string_agg of row_to_json (the server)': async (sql, start, size) => {
    const [row] = await sql<Row[]>`select string_agg(row_to_json(page)::text, ',') as json from (
      select id, uuid, description, freezer_id from container where id >= ${start} order by id limit ${size}) as page`
    return Buffer.from(`[${row?.json ?? ''}]`)
  },
}
const cells = [1, 10, 100, 500].flatMap((size) => Object.entries(ways).map(([name, way]) => ({ size, name, way })))
// Many and short, so that what else runs on the machine comes upon all of them alike.
const rounds = 10

if (process.argv.length > 2) {
  if (process.argv[2] === '--help') console.info(help)
  else console.error(help)
  process.exit(process.argv[2] === '--help' ? 0 : 1)
}
const folder = fileURLToPath(new URL('../.data/bench', import.meta.url))
const { startEmbedded } = await import('../src/embedded.ts')
const flags = Object.entries(postgresSettings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
// Its data is not the bench's, which may be running.
const postgres = await startEmbedded(`${folder}/rows-18`, { flags })
let ending = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  // Those that came with the embedded Postgres would stop it in the midst of a query, whose error would be printed.
  process.removeAllListeners(signal)
  process.once(signal, () => end(130))
}
await main().catch((error) => {
  if (ending) return
  console.error(error)
  process.exitCode = 1
})
if (!ending) await end()

async function end(code?: number) {
  ending = true
  await postgres.stop()
  process.exit(code ?? process.exitCode ?? 0)
}

async function main() {
  const url = await fill(postgres.url, smallScale, console.error)
  const sql = driver(url, { max: 1, fetch_types: false })
  await check(sql).finally(() => empty(url, smallScale))
  const [backend] = await sql<[{ pid: number }]>`select pg_backend_pid() as pid`
  for (const { way, size } of cells) await measure(sql, backend.pid, way, size, 100)
  const measured = cells.map((cell) => ({ ...cell, figures: [] as (number | undefined)[][] }))
  for (let round = 1; round <= rounds; round++) {
    console.error(`round ${round}/${rounds}`)
    // Each begins with another way.
    for (const { way, size, figures } of [...measured.slice(round), ...measured.slice(0, round)])
      figures.push(await measure(sql, backend.pid, way, size, 165))
  }
  const rows = measured.map(({ size, name, figures }) => {
    const [elapsed, ours, backend] = [0, 1, 2].map((each) => spread(figures.map((round) => round[each])))
    const range = `${elapsed?.min.toFixed(0)}–${elapsed?.max.toFixed(0)}`
    const [first, ...cpu] = [elapsed, ours, backend].map((each) => each?.median.toFixed(0) ?? 'n/a')
    return [size, name, first, range, ...cpu]
  })
  const head = ['rows', 'way', 'µs per page', 'min–max', 'CPU µs: this process', 'Postgres']
  const table = [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n')
  const { cpu, node, postgres: version } = await describeMachine(url)
  await writeFile(
    `${folder}/rows.md`,
    `${table}\n\nMedians of ${rounds} rounds; ${cpu}; Node ${node}; Postgres ${version}.\n`,
  )
  console.info(table)
}

/** Throws if the ways differ in what they give, also for a text that JSON has to escape; leaves a row behind. */
async function check(sql: Sql) {
  const id = smallScale.containers + 1
  const description = '"quoted" \\ \b\f\n\r\t \u0001\u007f\u2028 é € 😀'
  await sql`insert into container (id, description, freezer_id) values (${id}, ${description}, 1)`
  for (const { name, way, size } of cells) {
    const wanted = [...(await plain(sql, id + 1 - size, size))].map((row) => ({ ...row }))
    const same = isDeepStrictEqual(JSON.parse((await way(sql, id + 1 - size, size)).toString()), wanted)
    if (!same || wanted[size - 1]?.description !== description) throw new Error(`${name}, ${size}: other data`)
  }
}

/** Microseconds per page: elapsed, CPU of this process and of Postgres, one page of random rows after the other. */
async function measure(sql: Sql, backend: number, way: Way, size: number, ms: number) {
  const postgresBefore = await cpuSeconds(backend)
  const before = process.cpuUsage()
  const start = performance.now()
  let pages = 0
  for (; performance.now() - start < ms; pages++)
    await way(sql, 1 + Math.floor(Math.random() * (smallScale.containers - size + 1)), size)
  const elapsed = (performance.now() - start) * 1000
  const { user, system } = process.cpuUsage(before)
  // NaN where it isn't known, which spread() leaves out.
  const postgresCpu = (((await cpuSeconds(backend)) ?? Number.NaN) - (postgresBefore ?? Number.NaN)) * 1e6
  return [elapsed, user + system, postgresCpu].map((sum) => sum / pages)
}
