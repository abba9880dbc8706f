import pg from 'pg'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serve } from '../src/server.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'

const { sql, url: databaseUrl } = await testDatabase()
const log = pino({ level: 'silent' })
const lock = new pg.Client(databaseUrl)
let server: Awaited<ReturnType<typeof serve>>

beforeAll(async () => {
  await lock.connect()
  server = await serve({ databaseUrl, host: '127.0.0.1', port: 0, pool: 1, serverTiming: true }, log)
})
afterAll(async () => {
  await lock.end()
  await server.stop()
})

/** Milliseconds in all, and of these for the database. */
async function timing(path: string) {
  const response = await fetch(`${server.url}${path}`)
  const header = response.headers.get('server-timing') ?? ''
  const [, total, db] = /^total;dur=(\d+\.\d), db;dur=(\d+\.\d)$/.exec(header) ?? []
  return { total: Number(total), db: Number(db) }
}

test('an answer tells how long it took; without the database, none of that was for it', async () => {
  const { total, db } = await timing('/healthz')
  expect(total).toBeGreaterThanOrEqual(0)
  expect(db).toBe(0)
})

test('an answer to what is refused before it gets to its route tells so as well', async () => {
  const { total, db } = await timing('/summary?country=USA')
  expect(total).toBeGreaterThanOrEqual(0)
  expect(db).toBe(0)
})

test('requests that share a query, and those that wait for a connection, have all waited for the database', async () => {
  const startedAt = performance.now()
  await lock.query('begin; lock table freezer in access exclusive mode')
  const paths = ['/freezer/1', '/freezer/2', '/freezer/3', '/freezers', '/sites', '/summary']
  const answers = paths.map(timing)
  const waiting = () => sql`
    select from pg_stat_activity where wait_event = 'relation' and datname = current_database()`
  await expect.poll(waiting, { timeout: 10_000 }).not.toHaveLength(0)
  const lockedMs = performance.now() - startedAt
  await lock.query('rollback')
  for (const [i, answer] of answers.entries()) {
    const { total, db } = await answer
    expect(db).toBeLessThanOrEqual(total)
    // Of the one connection that there is, the first has it.
    expect([paths[i], db > total / 2]).toEqual([paths[i], true])
    expect(total).toBeLessThan(lockedMs + 5_000)
  }
})

test('nobody is told unless the setting is on', async () => {
  expect((await testClient(sql).get('/site/1')).headers.has('server-timing')).toBe(false)
})
