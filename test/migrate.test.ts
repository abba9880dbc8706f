import pg from 'pg'
import { expect, inject, test } from 'vitest'
import { migrate, migrationNames, rollBack } from '../src/migrate.ts'
import { createDatabase } from './database.ts'
import { run } from './postgres.ts'

/** What docs/operations.md has admins do for PgBouncer, with a time in which nothing is done. */
async function hurry(url: string) {
  const database = new URL(url).pathname.slice(1)
  for (const name of ['statement_timeout', 'lock_timeout']) {
    await run(inject('serverUrl'), `alter role current_user in database ${database} set ${name} = '1ms'`)
  }
}

test('migrations take the time they need, whatever the timeouts of the role are', async () => {
  const url = await createDatabase(`${inject('template')}_hurried`, 'template0')
  await hurry(url)
  expect(await migrate(url)).toEqual(await migrationNames())
})

test('migrations wait for locks, whatever the timeouts of the role are', async () => {
  const url = await createDatabase(`${inject('template')}_locked`, inject('template'))
  const name = await rollBack(url)
  const other = new pg.Client(url)
  await other.connect()
  await other.query('begin; lock table site, freezer, computer, container in access exclusive mode')
  await hurry(url)
  const migrating = migrate(url)
  const waiting = `
    select from pg_stat_activity
    where datname = '${new URL(url).pathname.slice(1)}' and wait_event_type = 'Lock' and query_start < now() - interval '50 ms'`
  try {
    await expect.poll(() => run(inject('serverUrl'), waiting), { timeout: 5_000 }).toHaveLength(1)
  } finally {
    await other.end()
  }
  expect(await migrating).toEqual([name])
})
