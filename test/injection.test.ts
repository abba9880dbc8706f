import { expect, test } from 'vitest'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'

const { sql } = await testDatabase()
const client = testClient(sql)

// What ends a string, a statement or a comment in SQL, and what LIKE, arrays and JSON would take for more than a letter.
const texts = [
  "'",
  "''",
  "' or '1'='1",
  "'; drop table site; --",
  '1; select pg_sleep(9)',
  "x') union select 1, current_user, null, null, null, null, null --",
  '$$',
  '$1',
  '"',
  '\\',
  "\\' or 1=1 --",
  '/*',
  '{a,NULL}',
  '%',
  '_',
  '\u02bc',
  'ﬀ',
  '"},{"id":2}',
]

test.for(texts)('%s is a text like any other: stored, found and compared as it is', async (text) => {
  const sites = async () => (await sql`select id from site`).length
  const { id } = (await client.post('/site', { name: text, country: text })).json
  const { id: other } = (await client.post('/site', { name: 'another', country: 'another' })).json
  const count = await sites()
  expect((await client.get(`/site/${id}`)).json).toMatchObject({ name: text, country: text })

  const asked = encodeURIComponent(text)
  for (const filter of [`country=${asked}`, `country__startswith=${asked}`, `name__contains=${asked}`]) {
    const rows = (await client.get(`/sites?${filter}&id__gte=${id}`)).json
    expect([filter, rows.map((row: { id: number }) => row.id)]).toEqual([filter, [id]])
  }
  expect((await client.get(`/sites?country__ne=${asked}&id__gte=${id}`)).json).toMatchObject([{ id: other }])
  expect((await client.get(`/search?q=${asked}`)).status).toBe(200)

  for (const refused of [`sort=${asked}`, `fields=${asked}`, `id=${asked}`, `${asked}=1`, `limit=1&cursor=${asked}`]) {
    expect([refused, (await client.get(`/sites?${refused}`)).status]).toEqual([refused, 400])
  }
  expect([400, 404]).toContain((await client.get(`/site/${asked}`)).status)
  expect(await sites()).toBe(count)
  for (const row of [id, other]) expect((await client.delete(`/site/${row}`)).status).toBe(200)
})
