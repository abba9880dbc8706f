import { expect, test } from 'vitest'
import { batched } from '../src/database/batch.ts'
import type { Pool } from '../src/database/connect.ts'
import { readSites, type Site, upsertSite } from '../src/database/site.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'

const { sql } = await testDatabase()
for (let id = 1; id <= 100; id++) await upsertSite(sql, id, { name: `Site ${id}` })

/** The database, and how many statements it has been asked. */
function counted(): { sql: Pool; statements: () => number } {
  let count = 0
  const counting = new Proxy(sql, {
    apply(target, self, args) {
      count++
      return Reflect.apply(target, self, args)
    },
  })
  return { sql: counting, statements: () => count }
}

test('reads of single rows that come at once share three queries, and each gets its own row', async () => {
  const { sql, statements } = counted()
  const client = testClient(sql)
  const ids = Array.from({ length: 200 }, (_, i) => 1 + (i % 120))
  const answers = await Promise.all(ids.map((id) => client.get(`/site/${id}`)))
  for (const [i, id] of ids.entries()) {
    expect(answers[i]?.status).toBe(id <= 100 ? 200 : 404)
    if (id <= 100) expect(answers[i]?.json).toMatchObject({ id, name: `Site ${id}` })
  }
  expect(statements()).toBe(3)
})

test('a read by itself is sent before anything else happens', () => {
  const { sql, statements } = counted()
  const read = batched((ids: number[]) => readSites(sql, ids), sql.limits)
  const answer = read(1)
  expect(statements()).toBe(1)
  return answer
})

test('pages that are asked for at once share three queries, and each gets its own rows', async () => {
  const { sql, statements } = counted()
  const client = testClient(sql)
  const pages = await Promise.all(Array.from({ length: 99 }, (_, i) => client.get(`/sites/${i % 33}/${1 + (i % 3)}`)))
  for (const [i, { json }] of pages.entries()) {
    expect(json.map(({ id }: Site) => id)).toEqual([1, 2, 3].slice(0, 1 + (i % 3)).map((n) => n + (i % 33)))
  }
  expect(statements()).toBe(3)
})

test('a query takes no more than is read in good time, however many ask', async () => {
  const asked: number[][] = []
  const read = batched(
    async (weights: number[]) => {
      asked.push(weights)
      await Promise.resolve()
      return weights
    },
    sql.limits,
    { weight: (weight) => weight, most: 10 },
  )
  const weights = [1, 2, 3, 4, 5, 6, 99, 7]
  expect(await Promise.all(weights.map(read))).toEqual(weights)
  expect(asked).toEqual([[1], [2], [3, 4], [5], [6], [99], [7]])
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
  const read = batched(async (ids: number[]) => {
    if (++calls === 3) throw new Error('lost')
    return await readSites(sql, ids)
  }, sql.limits)
  const all = [read(1), read(2), read(3), read(3), read(4)]
  const { fulfilled, rejected } = Object.groupBy(await Promise.allSettled(all), ({ status }) => status)
  expect([fulfilled?.length, rejected?.length, calls]).toEqual([2, 3, 3])
  expect(JSON.parse((await read(3))?.json ?? '')).toMatchObject({ id: 3 })
})
