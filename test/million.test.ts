import { readFile } from 'node:fs/promises'
import { get, type IncomingMessage } from 'node:http'
import { beforeAll, expect, test } from 'vitest'
import * as columns from '../src/database/columns.ts'
import { listInstruments } from '../src/database/instrument.ts'
import { readRows } from '../src/database/query.ts'
import { search, searchTypes } from '../src/database/search.ts'
import { testDatabase } from './database.ts'
import { planOf, planOfBuilt } from './explain.ts'
import { run } from './postgres.ts'
import { startProgram } from './process.ts'

const rows = 1_000_000

const { sql, url } = await testDatabase()
let server: { url: string; pid: number }

beforeAll(async () => {
  await sql`insert into site (id, name) values (1, 'Site 1')`
  await sql`insert into freezer (id, name, site_id) values (1, '-80C', 1)`
  // By itself, because it takes longer than a request may. Foreign keys are not checked, and indexes made afterwards, which
  // would be most of the work; UUIDs in order go into theirs faster.
  await run(
    url,
    `set session_replication_role = replica;
    set maintenance_work_mem = '256MB';
    create temporary table dropped as
    select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition
    from pg_index
    join pg_class on pg_class.oid = indexrelid
    where relnamespace = 'public'::regnamespace
      and not exists (select from pg_constraint where conindid = indexrelid);
    do $$ declare index record; begin
      for index in select * from dropped loop execute 'drop index ' || index.name; end loop;
    end $$;
    insert into site (id, name) select id, 'Site ' || id from generate_series(2, 1000) as id;
    insert into computer (name, site_id) select 'Computer ' || id, 1 + id % 1000 from generate_series(1, ${rows / 2}) as id;
    insert into freezer (name, site_id) select 'Freezer', 1 + id % 1000 from generate_series(1, ${rows / 2}) as id
    on conflict do nothing;
    insert into container (uuid, description, freezer_id)
    select lpad(to_hex(id), 32, '0')::uuid, 'Plasmid prep ' || id || ', glycerol stock', 1
    from generate_series(1, ${rows}) as id;
    do $$ declare index record; begin
      for index in select * from dropped loop execute index.definition; end loop;
    end $$;
    analyze`,
  )
  const program = startProgram('node_modules/.bin/node', ['src/main.ts'], { env: { DATABASE_URL: url, PORT: '0' } })
  server = JSON.parse(await program.line(/"listening"/))
}, 180_000)

test('a million containers stream whole, in under 256 MB', async ({ skip }) => {
  if (process.platform !== 'linux') console.info('Skipped, because only Linux tells the peak memory of a process.')
  skip(process.platform !== 'linux', 'only Linux tells the peak memory of a process')
  let count = 0
  let end = ''
  for await (const chunk of await ask('/containers')) {
    const text = String(chunk)
    count += text.split('{').length - 1
    end = (end + text).slice(-30)
  }
  expect(count).toBe(rows)
  expect(end).toMatch(/"freezer_id":1\}\]$/)
  const peakMb = Number(/VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${server.pid}/status`, 'utf8'))?.[1]) / 1024
  console.info(`Peak memory of the server: ${Math.round(peakMb)} MB.`)
  expect(peakMb).toBeLessThan(256)
}, 60_000)

test.each([0, 500_000])(
  'a page of a million instruments at %i merges two indexes, and sorts no more than a site',
  async (offset) => {
    const stretch = { after: undefined, offset, limit: 10 }
    const plan = await planOf(sql, (sql) => listInstruments(sql, [stretch]), 'analyze, costs off, timing off')
    expect(plan).not.toMatch(/Seq Scan/)
    expect(plan).toMatch(/Merge Append/)
    expect(plan.match(/Sort\b(?! (Key|Method))/g)).toEqual(['Sort'])
    expect(plan).toMatch(/Incremental Sort.*\n.*\n *Presorted Key: computer.site_id\n/)
    const scans = [...plan.matchAll(/Index Only Scan using (\w+).*rows=(\d+)/g)]
    expect(scans.map(([, index]) => index)).toEqual(['computer_site_id_id_idx', 'freezer_site_id_id_idx'])
    for (const [, , rows] of scans) expect(Number(rows)).toBeLessThanOrEqual(offset + 10)
  },
)

test.each([
  ['plasmid', 'the beginnings', 500],
  ['glycerol', 'a few pages', 500],
  ['pl', 'the beginnings', 500],
  ['stock 123456', 'the trigrams', 1],
  ['nothing like it', 'the trigrams', 0],
  ['00000000-0000-0000-0000-000000012345', 'the trigrams', 1],
])('a search for %s among a million containers reads %s, and no table whole', async (q, from, found) => {
  const asked = { q, types: searchTypes, offset: 0, limit: 20 }
  expect((await search(sql, { ...asked, types: ['container'] })).total).toBe(found)
  const plan = await planOfBuilt(sql, (sql) => search(sql, asked), 'analyze, costs off, timing off, buffers off')
  expect(plan).not.toMatch(/Seq Scan on (freezer|computer|container)/)
  const begun = /using container_description_begin_idx .*rows=(\d+)/.exec(plan)?.[1]
  expect(Number(begun)).toBe(from === 'the beginnings' ? 500 : 0)
  const read = !/on container_description_search_idx \(never executed\)/.test(plan)
  expect(read).toBe(from === 'the trigrams')
})

test.each<[columns.List, string, string]>([
  [columns.containers, 'freezer_id=77', ''],
  [columns.containers, 'uuid=00000000-0000-0000-0000-000000012345', ''],
  [columns.containers, 'description__contains=prep 12345', ''],
  [columns.containers, 'description__startswith=plasmid prep 99', ''],
  [columns.containers, 'id__gt=900000', '-id'],
  [columns.computers, 'site_id=77', ''],
  [columns.computers, 'mac=08:00:2b:01:02:03', ''],
  [columns.computers, 'name=Computer 12345', ''],
  [columns.computers, 'name__contains=er 12345', ''],
  [columns.computers, 'name__startswith=computer 12345', ''],
  [columns.computers, '', 'name'],
  [columns.computers, '', '-name'],
  [columns.computers, '', '-mac'],
  [columns.computers, '', 'site_id'],
  [columns.freezers, 'site_id=77', 'name'],
  [columns.containers, '', 'uuid'],
  [columns.containers, '', '-freezer_id'],
])('a page of a million, of $0.name with $1 in the order $2, reads no table whole', async (list, filter, sort) => {
  const [, column = '', operator = 'eq', value = ''] = /^(\w+?)(?:__(\w+))?=(.*)$/.exec(filter) ?? []
  const sorted = sort ? [{ column: sort.replace('-', ''), descending: sort.startsWith('-') }] : []
  const query = {
    list,
    filters: filter ? [{ column, operator: operator as 'eq', values: [value] }] : [],
    order: [...sorted, { column: 'id', descending: sort.startsWith('-') }],
    fields: Object.keys(list.columns),
    format: 'json' as const,
  }
  const first = await readRows(sql, query, { limit: 50 })
  const plans = [await planOfBuilt(sql, (sql) => readRows(sql, query, { limit: 50 }))]
  if (first.last) {
    plans.push(await planOfBuilt(sql, (sql) => readRows(sql, query, { after: first.last ?? [], limit: 50 })))
  }
  for (const plan of plans) expect(plan).not.toMatch(/Seq Scan/)
})

test.each([undefined, ['500', '250000', null]])(
  'a page of a million instruments that is asked for after %o sorts no more than a site',
  async (after) => {
    const query = {
      list: columns.instruments,
      filters: [],
      order: columns.instruments.order.map((column) => ({ column, descending: false })),
      fields: ['name'],
      format: 'json' as const,
    }
    const plan = await planOfBuilt(sql, (sql) => readRows(sql, query, { after, limit: 50 }))
    expect(plan).not.toMatch(/Seq Scan on (computer|freezer|site)/)
  },
)

test('a client that leaves after 1 MB costs the database nothing a second later', async () => {
  const response = await ask('/containers')
  let received = 0
  for await (const chunk of response) {
    received += chunk.length
    if (received > 1_000_000) break
  }
  response.destroy()
  // Between two pages nobody is busy either, so time has to pass without a read: twenty other requests' worth.
  const isQuiet = async () => {
    const before = await lastRead()
    expect(before).not.toBeNull()
    for (let i = 0; i < 20; i++) expect((await ask('/site/1')).resume().statusCode).toBe(200)
    return (await busySessions()) === 0 && [before, null].includes(await lastRead())
  }
  await expect.poll(isQuiet, { timeout: 1_000, interval: 20 }).toBe(true)
  expect(await isQuiet()).toBe(true)
})

function ask(path: string): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(`${server.url}${path}`, { agent: false }, resolve).on('error', reject)
  })
}

async function busySessions() {
  const [row] = await sql<[{ count: number }]>`
    select count(*)::int as count
    from pg_stat_activity
    where datname = current_database()
      and state <> 'idle'
      and pid <> pg_backend_pid()`
  return row.count
}

/** When the sessions whose last question was for containers asked it: if it stands still, nobody is reading them. */
async function lastRead() {
  const [row] = await sql<[{ time: string | null }]>`
    select max(query_start) as time
    from pg_stat_activity
    where datname = current_database()
      and query like '%from container%'
      and pid <> pg_backend_pid()`
  return row.time
}
