import { once } from 'node:events'
import { globSync, readFileSync } from 'node:fs'
import { type AddressInfo, createConnection, createServer } from 'node:net'
import { pipeline } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { expect, onTestFinished, test, vi } from 'vitest'
import { connect, type Pool, type Sql } from '../src/database/connect.ts'
import { Unavailable } from '../src/database/unavailable.ts'
import { testClient } from './client.ts'
import { testDatabase, throughPgBouncer } from './database.ts'
import { run } from './postgres.ts'

// What is known to go wrong in postgres 3.4.9, and that it does not go wrong here. Before an upgrade of it, see that these
// pass, and look among the issues of porsager/postgres for what to add.

const { url } = await testDatabase()

const ofSessions =
  'Postgres has no timeouts, prepared statements and locks of a session for those who come through PgBouncer'
if (throughPgBouncer) console.info(`Skipped, because ${ofSessions}: the tests of these.`)

function pool(options: { max?: number; timeoutMs?: number } = {}): Pool {
  const sql = connect(`${url}?timezone=UTC`, { queue: 2_000, ...options })
  onTestFinished(() => sql.end())
  return sql
}

/** What became of a query: "answered", the SQLSTATE of its error, or why there was no answer. */
const outcome = (query: PromiseLike<unknown>) =>
  query.then(
    () => 'answered',
    (error: unknown) => (error instanceof Unavailable ? error.reason : (error as { code: string }).code),
  )

/** Asks until there is an answer, and returns it. */
async function served(sql: Sql): Promise<object[]> {
  for (;;) {
    try {
      return await sql`select 1 as one`
    } catch {
      // What is refused at once gives nobody else a turn.
      await setImmediate()
    }
  }
}

/** Resolves once so many statements are in pg_sleep. */
async function sleeping(count: number) {
  const statement = "select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
  while ((await run(url, statement)).length < count);
}

/** The database goes away for a moment, as far as those connected to it can tell. */
const terminateAll = () =>
  run(
    url,
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  )

const day = (n: number) => new Date(Date.UTC(2000, 0, n)).toISOString().slice(0, 10)

// For each type that a parameter may have, a value to be answered, another for each number.
const good: Record<string, (n: number) => unknown> = {
  int4: (n) => n,
  int8: (n) => `${n}000000000000000`,
  numeric: (n) => `${n}.10`,
  text: (n) => `ü ${n}`,
  bool: (n) => n % 3 === 0,
  json: (n) => ({ n: [n, null, 'a'] }),
  jsonb: (n) => ({ n: [n, null, 'a'] }),
  date: day,
  time: (n) => `12:00:00.${n + 1000}01`,
  timestamp: (n) => `${day(n)} 12:00:00.000001`,
  timestamptz: (n) => `${day(n)} 12:00:00.000001+00`,
  uuid: (n) => `0f8fad5b-d9cb-469f-a165-70867728${n + 1000}`,
  macaddr: (n) => `08:00:2b:01:${day(n).slice(5).replace('-', ':')}`,
}

// What can't be sent: undefined becomes null, and the others have to be refused, wrongType for its type.
const wrongType = '1 or 2'
const circular: Record<string, unknown> = {}
circular.itself = circular
const thrower = () => {
  throw new Error('thrown in the middle of a message to Postgres')
}
const garbage = [
  undefined,
  wrongType,
  'a\0b',
  new Date(Number.NaN),
  circular,
  Object.assign(Object.create(null), { big: 1n }),
  { toString: thrower, toJSON: thrower },
  Symbol('symbol'),
  () => 'a function',
  [1n],
]

test.each([1, 3])('of 1,200 queries in flight on %i connections each gets its own answer', async (max) => {
  const sql = pool({ max })
  const types = Object.entries(good)
  const questions = Array.from({ length: 1200 }, (_, n) => {
    const [type, goodValue] = types[n % types.length] ?? thrower()
    const isGood = n % 4 >= 2
    const value = isGood ? goodValue(n) : garbage[Math.floor(n / types.length) % garbage.length]
    const fits = isGood || value === undefined || (value === wrongType && type === 'text')
    const answer = fits ? [{ n, value: value ?? null }] : 'refused'
    return { type, n, value: value as string, answer }
  })
  // The first time the statements have to be prepared; the second time they are.
  for (const _ of ['first', 'second']) {
    const answers = questions.map(({ type, n, value }) =>
      sql`select ${n}::int as n, ${value}::${sql(type)} as value`.catch(() => 'refused'),
    )
    expect(await Promise.all(answers)).toEqual(questions.map(({ answer }) => answer))
  }
  expect(await sql`select 1 as one`).toEqual([{ one: 1 }])
})

test('a statement that is sent again because its plan changed stores its values unaltered', async () => {
  await run(url, 'create table plan (id int, json json, jsonb jsonb, yes bool, no bool, text text, day date)')
  const sql = pool({ max: 2 })
  const row = (id: number) => ({
    id,
    json: { a: [1] },
    jsonb: { a: [2] },
    yes: true,
    no: false,
    text: '"t"',
    day: day(id),
  })
  const insert = ({ id, json, jsonb, yes, no, text, day }: ReturnType<typeof row>) => sql`
    insert into plan (id, json, jsonb, yes, no, text, day)
    values (${id}, ${json as never}, ${jsonb as never}, ${yes}, ${no}, ${text}, ${day})
    returning id, json, jsonb, yes, no, text, day`
  await Promise.all([insert(row(1)), insert(row(2))])
  await run(url, 'alter table plan alter column id type bigint')
  // Twenty at once: the driver used to wait for ever when it had to prepare two of them on one connection.
  const rows = Array.from({ length: 20 }, (_, i) => row(i + 3))
  const answers = await Promise.all(rows.map(insert))
  // That the ids come as text, as those of a bigint do, shows that these were planned anew.
  expect(answers).toEqual(rows.map((row) => [{ ...row, id: String(row.id) }]))
})

test.each<[why: string, outcome: string, timeoutMs: number, list: (sql: Sql) => PromiseLike<object[]>]>([
  ['a value', '22012', 10_000, (sql) => sql`select 1 / (500 - i) from generate_series(1, ${1000}::int) as i`],
  ['the timeout', '57014', 800, (sql) => sql`select pg_sleep(i / 500) from generate_series(1, ${1000}::int) as i`],
  [
    'a lost connection',
    'lost',
    10_000,
    (sql) => {
      sleeping(1).then(terminateAll)
      return sql`
        select repeat('x', 1000), case when i = 500 then pg_sleep(10) end
        from generate_series(1, ${1000}::int) as i`
    },
  ],
])('a list that fails midway for %s leaves no holes in the next answer', async (_, expected, timeoutMs, list) => {
  // Without its timeout the deadline of this process is what comes first.
  if (throughPgBouncer && expected === '57014') expected = 'late'
  const sql = pool({ max: 1, timeoutMs })
  expect(await outcome(list(sql))).toBe(expected)
  expect(await served(sql)).toEqual([{ one: 1 }])
})

test('rows that come without their number, as those of show and explain do, are all there', async () => {
  const sql = pool({ max: 1 })
  expect(await sql`show server_encoding`).toEqual([{ server_encoding: 'UTF8' }])
  expect(await sql`explain (costs off) select 1`).toEqual([{ 'QUERY PLAN': 'Result' }])
})

test('on one connection, a query waits its turn behind a slow one and gets its own answer', async () => {
  const sql = pool({ max: 1 })
  const finished: unknown[] = []
  const ask = (n: number, seconds: number) => sql`select pg_sleep(${seconds}), ${n}::int as n`
  const queries = Array.from({ length: 50 }, async (_, n) => {
    const [row] = await ask(n, n === 0 ? 0.2 : 0)
    finished.push(row?.n)
  })
  await Promise.all(queries)
  expect(finished).toEqual(Array.from({ length: 50 }, (_, n) => n))
})

test('no query waits behind a slow one while another connection is free', async ({ skip }) => {
  skip(throughPgBouncer, ofSessions)
  const [sql, holder] = [pool({ max: 2 }), pool({ max: 1 })]
  // Both connections are open before the slow query takes one.
  await Promise.all([sql`select pg_sleep(0.01)`, sql`select pg_sleep(0.01)`])
  await holder`select pg_advisory_lock(1)`
  const slow = sql`select pg_advisory_lock(1), pg_advisory_unlock(1)`.then(() => 'slow')
  const quick = Promise.all(Array.from({ length: 50 }, () => sql`select 1 as one`)).then(() => 'quick')
  expect(await Promise.race([slow, quick])).toBe('quick')
  await holder`select pg_advisory_unlock(1)`
  expect(await slow).toBe('slow')
})

test('Postgres ends a statement that takes too long, and its connection goes on', async ({ skip }) => {
  skip(throughPgBouncer, ofSessions)
  const sql = pool({ max: 1, timeoutMs: 400 })
  const [before] = await sql`select pg_backend_pid() as pid, current_setting('statement_timeout') as timeout`
  expect(before?.timeout).toBe('300ms')
  expect(await outcome(sql`select pg_sleep(10)`)).toBe('57014')
  expect(await sql`select pg_backend_pid() as pid`).toEqual([{ pid: before?.pid }])
  // A startup parameter, not a statement: it is what the session goes back to.
  await sql`reset statement_timeout`
  expect(await outcome(sql`select pg_sleep(10)`)).toBe('57014')
})

test('when the database goes away, queries in flight are told, and soon after it is back there are answers', async () => {
  const sql = pool({ max: 3 })
  for (const _ of ['first', 'second', 'third']) {
    const inFlight = Array.from({ length: 3 }, () => outcome(sql`select pg_sleep(10)`))
    await sleeping(3)
    await terminateAll()
    expect(await Promise.all(inFlight)).toEqual(Array(3).fill('lost'))
    const start = performance.now()
    await Promise.all(Array.from({ length: 3 }, () => served(sql)))
    expect(performance.now() - start).toBeLessThan(2000)
  }
})

test('while a database can not be reached, that is told at once, and once it is back there are answers', async () => {
  const { hostname, port } = new URL(url)
  const door = createServer((socket) => {
    pipeline(socket, createConnection(Number(port), hostname), socket, () => {})
  })
  await once(door.listen(0, '127.0.0.1'), 'listening')
  const { port: doorPort } = door.address() as AddressInfo
  await once(door.close(), 'close')
  const throughDoor = new URL(url)
  throughDoor.host = `127.0.0.1:${doorPort}`
  const sql = connect(throughDoor.href)
  const start = performance.now()
  for (const _ of ['first', 'second', 'third']) {
    const refused = await Promise.all(Array.from({ length: 10 }, () => outcome(sql`select 1`)))
    for (const outcome of refused) expect(outcome).toMatch(/^(unreachable|refused)$/)
  }
  await once(door.listen(doorPort, '127.0.0.1'), 'listening')
  await Promise.all(Array.from({ length: 10 }, () => served(sql)))
  expect(performance.now() - start).toBeLessThan(2000)
  await sql.end()
  door.close()
})

test('a pool that lost a connection ends in time', async () => {
  const sql = pool({ max: 2 })
  const inFlight = outcome(sql`select pg_sleep(10)`)
  await sleeping(1)
  await terminateAll()
  expect(await inFlight).toBe('lost')
  const start = performance.now()
  await sql.end()
  expect(performance.now() - start).toBeLessThan(2000)
})

test('numbers that a double would round and times that a Date would round come as text', async () => {
  const sql = pool({ max: 1 })
  const [row] = await sql`
    select
      9007199254740993::int8 as int8,
      1.10::numeric as numeric,
      '0001-01-01'::date as date,
      '12:00:00.123456'::time as time,
      '2000-01-01 12:00:00.123456'::timestamp as timestamp,
      '2000-01-01 12:00:00.123456Z'::timestamptz as timestamptz`
  expect(row).toEqual({
    int8: '9007199254740993',
    numeric: '1.10',
    date: '0001-01-01',
    time: '12:00:00.123456',
    timestamp: '2000-01-01 12:00:00.123456',
    timestamptz: '2000-01-01 12:00:00.123456+00',
  })
})

test('notices are not printed', async () => {
  const print = vi.spyOn(console, 'log')
  onTestFinished(() => print.mockRestore())
  await pool({ max: 1 })`do $$ begin raise warning 'for people at psql'; end $$`
  expect(print).not.toHaveBeenCalled()
})

// Each request with a number takes its ids, names, offsets and limits from it.
const requests: ((n: number) => [method: string, path: string, fields?: object])[] = [
  (n) => ['POST', `/site/${n}`, { name: `Site ${n}`, ...(n % 2 && { address: n % 3 ? null : 'Rue A' }) }],
  (n) => ['POST', `/freezer/${n}`, { name: `-${n}C`, site_id: n }],
  (n) => ['POST', `/computer/${n}`, { name: `PC ${n}`, site_id: n, ...(n % 2 && { mac: null }) }],
  (n) => ['POST', `/container/${n}`, { freezer_id: n, uuid: `0f8fad5b-d9cb-469f-a165-70867728${1000 + n}` }],
  (n) => ['POST', `/container/${n}`, { description: n % 2 ? null : 'Plasmids' }],
  ...['site', 'freezer', 'computer', 'container'].flatMap((one) => [
    (n: number): [string, string] => ['GET', `/${one}/${n}`],
    (n: number): [string, string] => ['GET', `/${one}s/${n % 7}/${n % 5}`],
  ]),
  (n) => ['GET', `/instruments/${n % 7}/${n % 5}`],
  (n) => ['GET', `/site/${n}/freezers/${n % 2}/${n % 3}`],
  (n) => ['GET', `/site/${n}/computers/${n % 2}/${n % 3}`],
  (n) => ['GET', `/site/${n}/instruments/${n % 3}/${n % 4}`],
  (n) => ['GET', `/freezer/${n}/containers/${n % 2}/${n % 3}`],
  (n) => ['GET', `/site/${n}/overview`],
  (n) => ['GET', `/container/${n}/location`],
  () => ['GET', '/sites'],
  () => ['GET', '/instruments'],
  () => ['GET', '/summary'],
  ...['container', 'computer', 'freezer', 'site'].map((one) => (n: number): [string, string] => [
    'DELETE',
    `/${one}/${n}`,
  ]),
]

async function answers(sql: Pool, n: number) {
  const client = testClient(sql)
  const all = []
  for (const request of requests) {
    const [method, path, fields] = request(n)
    const body = fields && { body: JSON.stringify(fields), headers: { 'Content-Type': 'application/json' } }
    const { status, json } = await client.request(method, path, body)
    all.push({ path, status, json })
  }
  return all
}

/** Creates a row of each kind, without an id, and returns the statuses. */
async function creations(sql: Pool, site_id: number) {
  const client = testClient(sql)
  const { status, json: freezer } = await client.post('/freezer', { name: '-20C', site_id })
  const others = [
    await client.post('/site', { name: 'Site', contact: site_id % 2 ? null : 'Ada' }),
    await client.post('/computer', { name: 'PC', site_id, ...(site_id % 2 && { mac: null }) }),
    await client.post('/container', { freezer_id: freezer.id, ...(site_id % 2 && { description: 'Plasmids' }) }),
  ]
  return [status, ...others.map((answer) => answer.status)]
}

test('a statement is prepared once, whatever the values in it', async ({ skip }) => {
  skip(throughPgBouncer, ofSessions)
  const sql = pool({ max: 1 })
  const prepared = async () =>
    (await sql<{ statement: string }[]>`select statement from pg_prepared_statements`).map(({ statement }) => statement)
  // More rows than fit a page, so that the lists go on after the first.
  await run(url, "insert into site (id, name) select id, 'Site' from generate_series(1001, 1500) as id")
  await answers(sql, 1)
  await creations(sql, 1001)
  const once = await prepared()
  expect(new Set(once).size).toBe(once.length)
  for (let n = 2; n < 30; n++) {
    await answers(sql, n)
    await creations(sql, 1000 + n)
  }
  expect(await prepared()).toEqual(once)
})

test('a migration that adds columns breaks no statement that is prepared', async () => {
  const sql = pool({ max: 1 })
  await run(url, "insert into site (id, name) values (2000, 'Site')")
  expect(await creations(sql, 2000)).toEqual([201, 201, 201, 201])
  const before = await answers(sql, 500)
  expect(new Set(before.map(({ status }) => status))).toEqual(new Set([200]))
  for (const table of ['site', 'freezer', 'computer', 'container']) {
    await run(url, `alter table ${table} add column added text not null default 'later'`)
  }
  expect(await answers(sql, 500)).toEqual(before)
  expect(await creations(sql, 2000)).toEqual([201, 201, 201, 201])
})

// What the sources must not have, and what to do instead.
const forbidden: { in: 'api' | 'database'; pattern: RegExp; instead: string; but?: RegExp }[] = [
  { in: 'api', pattern: /\bsql\b\s*(<[^`]*>)?\s*`/, instead: 'call a function of src/database' },
  // Two are put together, of names that are written in columns.ts and in themselves, and one does it for them.
  {
    in: 'database',
    pattern: /\bsql\s*\(/,
    instead: 'write out names and values',
    but: /\/(query|search|connection)\.ts$/,
  },
  {
    in: 'database',
    pattern: /\bsql\s*\.\s*\w+/,
    instead: 'make it one statement, a template',
    but: /\/connection\.ts$/,
  },
  { in: 'database', pattern: /from 'postgres'/, instead: 'take a Sql', but: /\/connection\.ts$/ },
  {
    in: 'database',
    pattern: /\.\s*(cursor|readable|writable|cancel)\s*\(/,
    instead: 'read pages, and let Postgres time out',
  },
  // What search.ts takes whole, its own statement has listed before.
  { in: 'database', pattern: /\b(select|returning)\s+(\w+\.)?\*/i, instead: 'list the columns', but: /\/search\.ts$/ },
  { in: 'database', pattern: /\bin\s*\(\s*\$\{/i, instead: 'compare with = any (…)' },
]

/** The places in a source, without its comments, that use the driver in ways that fail. */
function misuses(file: string, source: string): string[] {
  const code = source.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, (comment) => comment.replace(/./g, ' '))
  return forbidden
    .filter((rule) => file.includes(`src/${rule.in}/`) && !rule.but?.test(file))
    .flatMap(({ pattern, instead }) =>
      [...code.matchAll(new RegExp(pattern, `g${pattern.flags}`))].map(({ 0: found, index }) => {
        const line = code.slice(0, index).split('\n').length
        return `${file}:${line}: ${found.trim()} (${instead})`
      }),
    )
}

test('the sources use the driver in the one way that is safe', () => {
  const files = globSync('src/{api,database}/**/*.ts').map((file) => file.replaceAll('\\', '/'))
  expect(files).toContain('src/database/site.ts')
  expect(files.flatMap((file) => misuses(file, readFileSync(file, 'utf8')))).toEqual([])
})

test('each of the other ways would be found, with its line', () => {
  const lines = [
    "import postgres from 'postgres'",
    'sql.begin((sql) => [])',
    'sql.reserve()',
    "sql.unsafe('select 1')",
    'sql({ id: 1 })',
    'sql`select id from site`.cursor(10)',
    'sql`select id from site`.readable()',
    'query.cancel()',
    'sql`select * from site`',
    'sql`select site.* from site`',
    'sql`delete from site returning *`',
    'sql`select id from site where id in ($' + '{ids})`',
  ]
  const found = misuses('src/database/site.ts', ['// select *', '/* sql.begin(', '*/', ...lines].join('\n'))
  expect(found.map((misuse) => Number(misuse.split(':')[1])).sort((a, b) => a - b)).toEqual(lines.map((_, i) => i + 4))
  expect(misuses('src/api/site.ts', 'const [row] = await sql<Site[]>`select id from site`')).toHaveLength(1)
})
