import { afterAll, inject } from 'vitest'
import { connect, type Pool } from '../src/database/connect.ts'
import { run, withDatabase } from './postgres.ts'

/** Whether the server's connections of these tests go through PgBouncer in transaction mode: see test/pgbouncer/run.ts. */
export const throughPgBouncer = process.env.TEST_PGBOUNCER_URL !== undefined

/** A database for the tests of one file, as migrations leave it; dropped after them. */
export async function testDatabase({ max = 10 } = {}): Promise<{ sql: Pool; url: string }> {
  const name = `${inject('template')}_${crypto.randomUUID().slice(0, 8)}`
  const url = await createDatabase(name, inject('template'))
  const sql = connect(url, { max })
  afterAll(() => sql.end())
  return { sql, url }
}

/** A database of this name, dropped after the tests; template0 is an empty one. */
export async function createDatabase(name: string, template: string): Promise<string> {
  await run(inject('serverUrl'), `create database ${name} template ${template}`)
  afterAll(() => run(inject('serverUrl'), `drop database if exists ${name} with (force)`))
  return withDatabase(inject('serverUrl'), name)
}
