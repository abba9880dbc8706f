import { once } from 'node:events'
import { type AddressInfo, connect as connectSocket, createServer, type Socket } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { expect, inject, onTestFinished, test } from 'vitest'
import { batched } from '../src/database/batch.ts'
import { createCircuit } from '../src/database/circuit.ts'
import { type ConnectOptions, connect, connectionOptions, type Pool } from '../src/database/connect.ts'
import { openConnection } from '../src/database/connection.ts'
import { hostsOf } from '../src/database/hosts.ts'
import { Unavailable } from '../src/database/unavailable.ts'
import { toProblem } from '../src/errors.ts'
import { testClient } from './client.ts'
import { testDatabase, throughPgBouncer } from './database.ts'
import { run } from './postgres.ts'

const { url } = await testDatabase()
const ofSessions = 'Postgres has no timeouts, limits and settings of a session for those who come through PgBouncer'
if (throughPgBouncer) console.info(`Skipped, because ${ofSessions}: the tests of these.`)
await run(url, 'create sequence try')
await run(
  url,
  `create function fail_until(tries int, code text) returns int language plpgsql as $$
  begin
    if nextval('try') < tries then raise exception 'once more' using errcode = code; end if;
    return currval('try');
  end $$`,
)

function pool(options: ConnectOptions = {}, at = url): Pool {
  const sql = connect(at, options)
  onTestFinished(() => sql.end())
  return sql
}

const patient = connectionOptions({ timeoutMs: 10_000, prepare: true })

const reasonOf = (query: PromiseLike<unknown>) =>
  query.then(
    () => 'answered',
    (error) => (error instanceof Unavailable ? error.reason : String(error.code)),
  )

const sleepers = "select from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'"
const asleep = (count: number) => expect.poll(async () => (await run(url, sleepers)).length).toBe(count)

/** What stands between a pool and Postgres, and can fall silent: it keeps what comes, and forwards nothing. */
async function silenceable(): Promise<{
  url: string
  silence: () => void
  speak: () => void
  /** Breaks all connections, at once. */
  reset: () => void
  forget: () => void
  connections: () => number
}> {
  const { hostname, port } = new URL(url)
  const pairs = new Map<Socket, Socket>()
  let silent = false
  const server = createServer((near) => {
    const far = connectSocket(Number(port), hostname)
    pairs.set(near, far)
    near.on('error', () => {}).once('close', () => far.destroy())
    far.on('error', () => {}).once('close', () => near.destroy())
    near.once('close', () => pairs.delete(near))
    near.on('data', (bytes) => silent || far.write(bytes))
    far.on('data', (bytes) => silent || near.write(bytes))
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => {
    for (const socket of pairs.keys()) socket.destroy()
    server.close()
  })
  const there = new URL(url)
  there.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const set = (to: boolean) => () => {
    silent = to
  }
  // As a firewall does that has lost its states: those that are there stay silent for ever, and new ones are served.
  const forget = () => {
    for (const [near, far] of pairs) {
      near.removeAllListeners('data').resume()
      far.removeAllListeners('data').resume()
    }
  }
  const reset = () => {
    for (const socket of pairs.keys()) socket.resetAndDestroy()
  }
  return { url: there.href, silence: set(true), speak: set(false), reset, forget, connections: () => pairs.size }
}

test('no more statements wait than may, and what is too much is told so at once', async () => {
  const sql = pool({ max: 2, queue: 3 })
  const all = Array.from({ length: 8 }, () => reasonOf(sql`select pg_sleep(0.2)`))
  expect(sql.usage()).toEqual({ size: 2, busy: 2, waiting: 3 })
  expect(await Promise.race(all.slice(5))).toBe('crowded')
  expect(await Promise.all(all)).toEqual([...Array(5).fill('answered'), ...Array(3).fill('crowded')])
  expect(sql.usage()).toEqual({ size: 2, busy: 0, waiting: 0 })
})

test('a statement that waits for longer than it may is given up, never sent, and the one before goes on', async ({
  skip,
}) => {
  skip(throughPgBouncer, ofSessions)
  const sql = pool({ max: 1, timeoutMs: 600 })
  await sql`select 1`
  const slow = Array.from({ length: 2 }, () => reasonOf(sql`select pg_sleep(10)`))
  const start = performance.now()
  const never = reasonOf(sql`create table never (id int)`)
  expect(await never).toBe('late')
  expect(performance.now() - start).toBeLessThan(850)
  expect(await Promise.all(slow)).toEqual(['57014', 'late'])
  await expect.poll(() => sql.usage().busy).toBe(0)
  expect(await sql`select to_regclass('never') as never`).toEqual([{ never: null }])
})

test('when the database falls silent everybody is told in time, the circuit opens, and closes when it speaks', async () => {
  const between = await silenceable()
  const sql = pool({ max: 3, timeoutMs: 400 }, between.url)
  await Promise.all(Array.from({ length: 3 }, () => sql`select 1`))
  between.silence()
  const start = performance.now()
  const told = await Promise.all(Array.from({ length: 10 }, () => reasonOf(sql`select 1`)))
  expect(performance.now() - start).toBeLessThan(650)
  expect(new Set(told)).toEqual(new Set(['late']))
  // Sooner than a connection that does not open would tell.
  await expect.poll(() => reasonOf(sql`select 1`), { timeout: 200, interval: 10 }).toBe('refused')
  const refused = performance.now()
  for (let i = 0; i < 100; i++) expect(await reasonOf(sql`select 1`)).toBe('refused')
  expect(performance.now() - refused).toBeLessThan(200)
  await expect.poll(sql.usage).toEqual({ size: 3, busy: 0, waiting: 0 })
  between.speak()
  await expect.poll(() => reasonOf(sql`select 1`), { timeout: 3_000 }).toBe('answered')
  expect(between.connections()).toBeLessThanOrEqual(3)
})

test('what is asked just when connections are reset is answered or told at once, not when its time is over', async () => {
  const between = await silenceable()
  const sql = pool({ max: 4, timeoutMs: 5_000 }, between.url)
  for (let round = 0; round < 30; round++) {
    await Promise.all(Array.from({ length: 4 }, () => reasonOf(sql`select 1`)))
    const start = performance.now()
    between.reset()
    // One after the other, through the turns of the event loop in which sockets tell of it.
    const told: PromiseLike<string>[] = []
    for (let i = 0; i < 20; i++) {
      told.push(reasonOf(sql`select 1`))
      await setImmediate()
    }
    await Promise.all(told)
    expect(performance.now() - start).toBeLessThan(2_000)
    await expect.poll(() => reasonOf(sql`select 1`)).toBe('answered')
  }
})

test('a connection that its Postgres ends fails its own statement, and no other', async () => {
  const sql = pool({ max: 3 })
  const slow = reasonOf(sql`select pg_sleep(10)`)
  await asleep(1)
  const others = Promise.all(Array.from({ length: 50 }, () => reasonOf(sql`select pg_sleep(0.005)`)))
  await run(
    url,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query ~ 'pg_sleep\\(10'
       and pid <> pg_backend_pid()`,
  )
  expect(await slow).toBe('lost')
  expect(new Set(await others)).toEqual(new Set(['answered']))
})

test.skipIf(throughPgBouncer).each(['one host', 'two hosts'])(
  'when Postgres has no connection left, those that are there do it all: %s',
  async (hosts) => {
    const role = `limited_${process.pid}`
    await run(url, `create role ${role} login password 'limited' connection limit 2`)
    onTestFinished(() => run(url, `drop role ${role}`).then(() => {}))
    const limited = Object.assign(new URL(url), { username: role, password: 'limited' })
    const at = hosts === 'one host' ? limited.href : limited.href.replace(limited.host, `${limited.host},127.0.0.1:1`)
    const sql = pool({ max: 10 }, at)
    const all = await Promise.all(Array.from({ length: 60 }, () => reasonOf(sql`select pg_sleep(0.01)`)))
    expect(new Set(all)).toEqual(new Set(['answered']))
    // Who has none at all is told.
    const slow = Array.from({ length: 2 }, () => reasonOf(sql`select pg_sleep(0.3)`))
    await asleep(2)
    expect(await reasonOf(pool({ max: 2 }, at)`select 1`)).toBe('full')
    expect(await Promise.all(slow)).toEqual(['answered', 'answered'])
    await sql.end()
  },
)

test('what accepts connections and closes them is asked once, not again and again', async () => {
  let accepted = 0
  const server = createServer((socket) => {
    accepted++
    socket.on('error', () => {})
    // Not before it has been asked something.
    socket.once('data', () => socket.end())
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  onTestFinished(() => void server.close())
  const { port } = server.address() as AddressInfo
  const start = performance.now()
  await expect(openConnection(`postgresql://ada@127.0.0.1:${port}/lab`, patient)).rejects.toThrow(Unavailable)
  expect(performance.now() - start).toBeLessThan(1_000)
  expect(accepted).toBe(1)
})

test('when one connection turns out to be dead, no other idle one costs a request its time', async () => {
  const between = await silenceable()
  const sql = pool({ max: 5, timeoutMs: 500 }, between.url)
  await Promise.all(Array.from({ length: 5 }, () => sql`select pg_sleep(0.05)`))
  between.forget()
  const told: string[] = []
  for (let i = 0; i < 5; i++) {
    told.push(await reasonOf(sql`select 1`))
    await expect.poll(() => reasonOf(sql`select 1`), { timeout: 3_000 }).not.toBe('refused')
  }
  expect(told.filter((each) => each === 'late')).toHaveLength(1)
})

test('without a queue, what can be sent at once is answered, reads that are shared as well', async () => {
  const client = testClient(pool({ max: 2, queue: 0 }))
  expect((await client.get('/sites')).status).toBe(200)
  expect((await client.get('/summary')).status).toBe(200)
})

test('a statement that takes long each time it is rolled back opens no circuit', async () => {
  const sql = pool({ max: 3, timeoutMs: 1_000 })
  await run(url, 'alter sequence try restart')
  const slowly = reasonOf(sql`select pg_sleep(0.4), fail_until(9, ${'40001'})`)
  const others: string[] = []
  for (let i = 0; i < 30; i++) {
    others.push(await reasonOf(sql`select pg_sleep(0.05)`))
  }
  await slowly
  expect(new Set(others)).toEqual(new Set(['answered']))
})

test('idle connections that Postgres has ended are not used again', async () => {
  const sql = pool({ max: 3 })
  await Promise.all(Array.from({ length: 3 }, () => sql`select 1`))
  const others = 'from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()'
  await run(url, `select pg_terminate_backend(pid) ${others} and application_name = 'lab-inventory'`)
  await expect.poll(async () => (await run(url, `select ${others}`)).length).toBe(0)
  expect(await Promise.all(Array.from({ length: 9 }, () => reasonOf(sql`select 1`)))).toEqual(Array(9).fill('answered'))
})

test.each(['40001', '40P01'])(
  'a statement that is rolled back with %s is carried out again, up to three times',
  async (code) => {
    const sql = pool()
    await run(url, 'alter sequence try restart')
    expect(await sql`select fail_until(4, ${code}) as tries`).toEqual([{ tries: 4 }])
    await run(url, 'alter sequence try restart')
    expect(await reasonOf(sql`select fail_until(5, ${code}) as tries`)).toBe(code)
    expect(await run(url, 'select last_value::int from try')).toEqual([{ last_value: 4 }])
  },
)

test('what fails for another reason is not carried out again', async () => {
  await run(url, 'alter sequence try restart')
  expect(await reasonOf(pool()`select fail_until(5, ${'23514'}) as tries`)).toBe('23514')
  expect(await run(url, 'select last_value::int from try')).toEqual([{ last_value: 1 }])
})

test('a row that an admin keeps locked is 503 after a third of the time, and the connections are free again', async ({
  skip,
}) => {
  skip(throughPgBouncer, ofSessions)
  const sql = pool({ max: 1, timeoutMs: 3_000 })
  const client = testClient(sql)
  await client.post('/site/1', { name: 'locked' })
  const admin = pool({ max: 1 })
  const hold = reasonOf(admin`
    with locked as (select id from site where id = 1 for update)
    select pg_sleep(2.5) from locked`)
  await asleep(1)
  const answer = await client.post('/site/1', { name: 'changed' })
  expect(answer.status).toBe(503)
  expect(answer.headers.get('retry-after')).toBe('1')
  expect(answer.json.detail).toBe('Somebody else is writing the same. Nothing was done. Try again soon.')
  expect((await client.get('/site/1')).json.name).toBe('locked')
  expect(await hold).toBe('answered')
  expect((await client.post('/site/1', { name: 'changed' })).status).toBe(200)
})

test('what becomes read-only and writable again needs no restart', async (context) => {
  context.skip(throughPgBouncer, ofSessions)
  const client = testClient(pool({ max: 2 }))
  await client.post('/site/2', { name: 'before' })
  const name = new URL(url).pathname.slice(1)
  const readOnly = (to: string) =>
    run(inject('serverUrl'), `alter database ${name} set default_transaction_read_only = ${to}`)
  await readOnly('on')
  onTestFinished(() => readOnly('off').then(() => {}))
  const others = "from pg_stat_activity where application_name = 'lab-inventory' and datname = current_database()"
  await run(url, `select pg_terminate_backend(pid) ${others}`)
  await expect.poll(async () => (await run(url, `select ${others}`)).length).toBe(0)
  const refused = await client.post('/site/2', { name: 'meanwhile' })
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '1'])
  expect((await client.get('/site/2')).json.name).toBe('before')
  await readOnly('off')
  await client.post('/site/2', { name: 'after' })
  expect((await client.post('/site/2', { name: 'after' })).status).toBe(200)
})

test('who waits for a shared read is bounded in number and in time, too', async () => {
  const answers = Promise.withResolvers<string[]>()
  const read = batched(() => answers.promise, { queue: 2, timeoutMs: 200 }, { atOnce: 1 })
  const [first, second, third, fourth] = [1, 2, 3, 4].map((id) => reasonOf(read(String(id))))
  expect(await fourth).toBe('crowded')
  const start = performance.now()
  expect(await Promise.all([second, third])).toEqual(['late', 'late'])
  expect(performance.now() - start).toBeLessThan(450)
  expect(await first).toBe('late')
  answers.resolve(['too late'])
})

test('a circuit tells why it is open, again when that changes, and once when it closes', async () => {
  const told: (string | undefined)[] = []
  const failures = ['gone', 'gone', 'starting up', 'starting up']
  const probe = async () => {
    const failure = failures.shift()
    if (failure) throw new Error(failure)
  }
  const circuit = createCircuit({ probe, onChange: (reason) => told.push(reason) })
  const refusals: unknown[] = []
  circuit.onOpen((refusal) => refusals.push(refusal.reason))
  expect(circuit.refusal()).toBeUndefined()
  circuit.open(new Error('gone'))
  circuit.open(new Error('another'))
  expect(circuit.refusal()).toBeInstanceOf(Unavailable)
  await circuit.closed()
  expect(circuit.refusal()).toBeUndefined()
  expect(told).toEqual(['gone', 'starting up', undefined])
  expect(refusals).toEqual(['refused'])
})

test.each([
  ['postgresql://ada@a/lab', ['postgresql://ada@a/lab']],
  [
    'postgresql://ada:s%2Fc@a:1,b:2/lab?x=1',
    ['postgresql://ada:s%2Fc@a:1/lab?x=1', 'postgresql://ada:s%2Fc@b:2/lab?x=1'],
  ],
  ['postgres://a:1,[::1]:2/lab?target_session_attrs=primary', ['postgres://a:1/lab', 'postgres://[::1]:2/lab']],
])('the hosts of %s', (all, each) => {
  expect(hostsOf(all)).toEqual(each)
})

test.each([
  ['22001', 400],
  ['23514', 500],
  ['25006', 503],
  ['40001', 503],
  ['42P01', 500],
  ['53300', 503],
  ['55P03', 503],
  ['57014', 503],
  ['57P03', 503],
  ['08006', 503],
])('an error %s of Postgres is a %i', async (code, status) => {
  await run(url, 'alter sequence try restart')
  const error = await pool()`select fail_until(9, ${code})`.catch((error: unknown) => error)
  expect(toProblem(error).status).toBe(status)
})
