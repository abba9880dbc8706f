import { expect, test } from 'vitest'
import { batched, shared } from '../src/database/batch.ts'
import type { Sql } from '../src/database/connect.ts'
import { listSites, readSites, type Site, upsertSite } from '../src/database/site.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'

const { sql } = await testDatabase()
for (let id = 1; id <= 100; id++) await upsertSite(sql, id, { name: `Site ${id}` })

/** The database, and how many statements it has been asked. */
function counted(): { sql: Sql; statements: () => number } {
  let count = 0
  const counting = new Proxy(sql, {
    apply(target, self, args) {
      count++
      return Reflect.apply(target, self, args)
    },
  })
  return { sql: counting, statements: () => count }
}

test('reads of single rows that come at once share two queries, and each gets its own row', async () => {
  const { sql, statements } = counted()
  const client = testClient(sql)
  const ids = Array.from({ length: 200 }, (_, i) => 1 + (i % 120))
  const answers = await Promise.all(ids.map((id) => client.get(`/site/${id}`)))
  for (const [i, id] of ids.entries()) {
    expect(answers[i]?.status).toBe(id <= 100 ? 200 : 404)
    if (id <= 100) expect(answers[i]?.json).toMatchObject({ id, name: `Site ${id}` })
  }
  expect(statements()).toBe(2)
})

test('a read by itself is sent before anything else happens', () => {
  const { sql, statements } = counted()
  const read = batched((ids) => readSites(sql, ids))
  const answer = read(1)
  expect(statements()).toBe(1)
  return answer
})

test('the same page asked for at once is read twice at most, another page by itself', async () => {
  const { sql, statements } = counted()
  const client = testClient(sql)
  const pages = await Promise.all(Array.from({ length: 100 }, (_, i) => client.get(`/sites/${10 * (i % 2)}/10`)))
  for (const [i, { json }] of pages.entries()) expect(json.map(({ id }: Site) => id)[0]).toBe(i % 2 ? 11 : 1)
  expect(statements()).toBe(4)
})

test('whoever has seen the answer to a write reads what was written, however busy it is', async () => {
  const client = testClient(sql)
  const noise = { on: true }
  const readers = Array.from({ length: 20 }, async () => {
    while (noise.on) await Promise.all([client.get('/site/1'), client.get('/sites/0/10')])
  })
  for (let i = 0; i < 100; i++) {
    await client.post('/site/1', { name: `Name ${i}` })
    const [row, page] = await Promise.all([client.get('/site/1'), client.get('/sites/0/10')])
    expect([row.json.name, page.json[0].name]).toEqual([`Name ${i}`, `Name ${i}`])
  }
  noise.on = false
  await Promise.all(readers)
})

test('a query that fails, fails those who shared it, and no others', async () => {
  let calls = 0
  const failsOnce =
    <Args extends unknown[], Result>(read: (...args: Args) => Promise<Result>) =>
    async (...args: Args) => {
      if (calls++ === 1) throw new Error('lost')
      return await read(...args)
    }
  const read = batched(failsOnce((ids: number[]) => readSites(sql, ids)))
  const first = [read(2), read(3), read(3), read(4)]
  expect((await Promise.allSettled(first)).map(({ status }) => status)).toEqual([
    'fulfilled',
    'rejected',
    'rejected',
    'rejected',
  ])
  expect((await read(3))?.id).toBe(3)

  calls = 0
  const page = { after: undefined, offset: 0, limit: 5 }
  const readPage = shared(failsOnce((limit: number) => listSites(sql, { ...page, limit })))
  const second = [readPage(5), readPage(5), readPage(5)]
  expect((await Promise.allSettled(second)).map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'rejected'])
  expect(await readPage(5)).toHaveLength(5)
})
