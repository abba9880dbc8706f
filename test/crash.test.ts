import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { testDatabase } from './database.ts'
import { type Program, startProgram } from './process.ts'

const { sql, url: DATABASE_URL } = await testDatabase()
await sql`insert into site (id, name) values (1, 'Site 1')`
// Enough that their list does not fit into what a connection holds while nobody reads.
await sql`insert into computer (id, name, site_id) select id, repeat('x', 10000), 1 from generate_series(1, 1300) as id`
const patiently = { timeout: 10_000 }

// Long enough for Postgres not to give up waiting for a lock.
const start = (env: Record<string, string> = {}) =>
  startProgram(process.execPath, ['src/main.ts'], {
    env: {
      DATABASE_URL,
      PORT: '0',
      QUERY_TIMEOUT: '60000',
      NODE_OPTIONS: '--import ./test/crash_on_sigusr2.ts',
      ...env,
    },
  })

const listening = async (program: Program): Promise<{ url: string; pid: number }> =>
  JSON.parse(await program.line(/"msg":"listening"/))

/** A request that waits until the table is unlocked. */
async function inFlight(url: string) {
  const lock = new pg.Client(DATABASE_URL)
  // Whatever a test that fails leaves behind is not to end the others.
  lock.on('error', () => {})
  await lock.connect()
  await lock.query('begin; lock table site in access exclusive mode')
  const answer = fetch(`${url}/site/1`).then(
    async (response) => ({ status: response.status, body: await response.json() }),
    () => undefined,
  )
  const waiting = () => sql`select from pg_stat_activity where wait_event = 'relation' and datname = current_database()`
  await expect.poll(waiting, patiently).not.toHaveLength(0)
  return { lock, answer }
}

/** A list of which the first part has come, to a client to which its end is that of the connection. */
async function listOverHttp10(url: string) {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write('GET /computers HTTP/1.0\r\n\r\n')
  await once(socket, 'readable')
  return socket
}

describe('a worker in which an error is caught by nobody', () => {
  test.each(['exception', 'rejection'])('by an %s: says so, and answers what is in flight', async (CRASH) => {
    const program = start({ CRASH })
    const { url, pid } = await listening(program)
    const { lock, answer } = await inFlight(url)
    process.kill(pid, 'SIGUSR2')
    const { level, err, msg } = JSON.parse(await program.line(/"level":60/))
    expect([level, msg]).toEqual([60, 'nobody caught this error'])
    expect(err).toMatchObject({ type: 'Error', message: 'a crash', statement: 'readNothing' })
    expect(err.stack.join()).toContain('crash_on_sigusr2.ts')
    expect(program.lines.join('\n')).not.toContain('Canary')

    await lock.end()
    expect(await answer).toEqual({ status: 200, body: expect.objectContaining({ id: 1, name: 'Site 1' }) })
    await expect.poll(() => program.lines.join('\n'), patiently).toMatch(/"pid":\d+,"code":1,.*a worker ended/)
  })

  test('is replaced by another, which does not wait for its end', async () => {
    const program = start()
    const { url, pid } = await listening(program)
    const { lock } = await inFlight(url)
    process.kill(pid, 'SIGUSR2')
    const other = await listening(program)
    expect(other).toMatchObject({ url })
    expect(other.pid).not.toBe(pid)
    expect(JSON.parse(await program.line(/a worker ended/))).toMatchObject({ pid, code: 1 })
    await lock.end()
    expect((await fetch(`${url}/site/1`)).status).toBe(200)
    program.kill('SIGTERM')
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    expect(program.lines.filter((line) => /"listening"/.test(line))).toHaveLength(2)
  })

  test('ends in 5 s, whatever is in flight, also if it hears nothing from the primary', async () => {
    const program = start({ CRASH: 'mute' })
    const { url, pid } = await listening(program)
    const { lock, answer } = await inFlight(url)
    const startedAt = performance.now()
    process.kill(pid, 'SIGUSR2')
    await program.line(/a worker ended/)
    expect(performance.now() - startedAt).toBeLessThan(5_000)
    await answer
    await lock.end()
  })

  test.each(['exception', 'mute'])('does not have a list that it breaks off look whole (%s)', async (CRASH) => {
    const program = start({ CRASH })
    const { url, pid } = await listening(program)
    const list = await listOverHttp10(url)
    process.kill(pid, 'SIGUSR2')
    await program.line(/a worker ended/)
    await expect(text(list)).rejects.toThrow('ECONNRESET')
  })
})

describe('a primary in which an error is caught by nobody', () => {
  test('says so, has what is in flight answered, and exits with 1', async () => {
    const program = start({ CRASH: 'primary', WEB_CONCURRENCY: '2' })
    const { url } = await listening(program)
    await listening(program)
    const { lock, answer } = await inFlight(url)
    process.kill(program.pid, 'SIGUSR2')
    const { pid, msg } = JSON.parse(await program.line(/"level":60/))
    expect([pid, msg]).toEqual([program.pid, 'nobody caught this error'])
    const takesMore = () => fetch(`${url}/healthz`).then(Boolean, () => false)
    await expect.poll(takesMore, patiently).toBe(false)
    await lock.end()
    expect(await answer).toEqual({ status: 200, body: expect.objectContaining({ id: 1, name: 'Site 1' }) })
    expect(await program.ended()).toEqual({ code: 1, signal: null })
  })

  test('ends in 5 s, whatever is in flight', async () => {
    const program = start({ CRASH: 'primary' })
    const { url } = await listening(program)
    const { lock, answer } = await inFlight(url)
    const startedAt = performance.now()
    process.kill(program.pid, 'SIGUSR2')
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(performance.now() - startedAt).toBeLessThan(5_000)
    expect(await answer).toBeUndefined()
    await lock.end()
  })
})
