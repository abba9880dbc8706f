import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { testDatabase } from './database.ts'
import { type Program, startProgram } from './process.ts'

const { sql, url: DATABASE_URL } = await testDatabase()
await sql`insert into site (id, name) values (1, 'Site 1')`
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
})
