import { describe, expect, test } from 'vitest'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { run } from './postgres.ts'

// Admins may add tables and constraints of their own. What those refuse is nothing that went wrong in the server.

const { sql, url } = await testDatabase()
const client = testClient(sql)
await client.post('/site/1', { name: 'Site 1' })

/** The detail of the only problem that there may be, which has nothing of the database in it. */
function detailOf({ status, json, text }: Awaited<ReturnType<typeof client.get>>) {
  expect([status, json]).toEqual([409, expect.objectContaining({ title: 'Conflict', errors: [] })])
  expect(text).not.toMatch(/booking|owner|constraint|key|Canary/)
  return json.detail
}

describe.each(['no action', 'restrict'])('a foreign key, on delete %s', (rule) => {
  test.each([
    ['site', { name: 'Site 2' }],
    ['freezer', { name: '-20C', site_id: 1 }],
    ['computer', { name: 'Computer', site_id: 1 }],
  ])('a %s to which it refers is not deleted', async (kind, fields) => {
    await client.post(`/${kind}/2`, fields)
    await run(url, `create table booking (it int references ${kind} on delete ${rule})`)
    await run(url, 'insert into booking values (2)')
    expect(detailOf(await client.delete(`/${kind}/2`))).toMatch(/^Something else still refers to it/)
    expect((await client.get(`/${kind}/2`)).status).toBe(200)
    await run(url, 'drop table booking')
    expect((await client.delete(`/${kind}/2`)).status).toBe(200)
  })
})

test('what refers to nothing is refused', async () => {
  await run(url, 'create table owner (name text primary key)')
  await run(url, 'alter table site add constraint site_owner_fkey foreign key (contact) references owner')
  expect(detailOf(await client.post('/site/3', { name: 'Site 3', contact: 'Canary' }))).toMatch(/not there/)
  await run(url, 'drop table owner cascade')
})

test('what is to be there only once is refused a second time', async () => {
  await run(url, 'create unique index site_name_key on site (name)')
  await client.post('/site/4', { name: 'Canary' })
  const detail = 'The database takes this only once, and there is another one like it.'
  expect(detailOf(await client.post('/site/5', { name: 'Canary' }))).toBe(detail)
  expect(detailOf(await client.post('/site', { name: 'Canary' }))).toBe(detail)
  await run(url, 'drop index site_name_key')
})

test('a row that gets something each time that it is to be deleted is tried four times, and then kept', async () => {
  await client.post('/site/6', { name: 'Site 6' })
  // A sequence, because that is not rolled back.
  await run(url, 'create sequence tried')
  await run(
    url,
    `create function fill() returns trigger language plpgsql as $$
      begin
        insert into freezer (id, name, site_id) values (nextval('tried') + 1000, 'late', old.id);
        return old;
      end $$;
    create trigger fill before delete on site for each row execute function fill()`,
  )
  expect(detailOf(await client.delete('/site/6'))).toBe('Something else still refers to it.')
  expect(await run(url, 'select last_value from tried')).toEqual([{ last_value: '4' }])
  await run(url, 'drop function fill cascade')
  expect((await client.delete('/site/6')).status).toBe(200)
})
