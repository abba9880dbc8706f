import pg from 'pg'
import { beforeEach, describe, expect, test } from 'vitest'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { run } from './postgres.ts'

// The rules that hold for every resource, as plain records: one for each.
const resources = [
  {
    one: 'site',
    many: 'sites',
    columns: ['id', 'name', 'contact', 'address', 'state_or_region', 'country', 'postcode_or_zip'],
    needed: { name: 'Site 9' },
    optional: {
      contact: 'Ada',
      address: '1 Rue A',
      state_or_region: 'MI',
      country: 'USA',
      postcode_or_zip: '01234',
    },
    texts: ['name', 'contact', 'address', 'state_or_region', 'country', 'postcode_or_zip'],
    neverNull: ['name'],
    references: [],
    lists: ['/sites'],
  },
  {
    one: 'freezer',
    many: 'freezers',
    columns: ['id', 'name', 'site_id'],
    needed: { name: '-80C', site_id: 1 },
    optional: {},
    texts: ['name'],
    neverNull: ['name', 'site_id'],
    references: ['site_id'],
    lists: ['/freezers', '/site/1/freezers'],
  },
  {
    one: 'computer',
    many: 'computers',
    columns: ['id', 'name', 'mac', 'site_id'],
    needed: { name: 'Computer 9', site_id: 1 },
    optional: { mac: '08:00:2b:01:02:03' },
    texts: ['name'],
    neverNull: ['name', 'site_id'],
    references: ['site_id'],
    lists: ['/computers', '/site/1/computers'],
  },
  {
    one: 'container',
    many: 'containers',
    columns: ['id', 'uuid', 'description', 'freezer_id'],
    needed: { freezer_id: 1 },
    optional: { description: 'Plasmids' },
    texts: ['description'],
    neverNull: ['uuid', 'freezer_id'],
    references: ['freezer_id'],
    lists: ['/containers', '/freezer/1/containers'],
  },
]

const { sql, url } = await testDatabase()
const client = testClient(sql)

beforeEach(async () => {
  await sql`truncate site, freezer, computer, container restart identity`
  await sql`insert into site (id, name) values (1, 'Site 1'), (2, 'Site 2')`
  await sql`insert into freezer (id, name, site_id) values (1, '-20C', 1), (2, '-40C', 2)`
})

describe.each(resources)('$one', ({ one, many, columns, needed, optional, texts, neverNull, references, lists }) => {
  const all: Record<string, unknown> = { ...needed, ...optional }

  test('a row is created under the id in the path, and read back as it was stored', async () => {
    const stored = await client.post(`/${one}/7`, all)
    expect(stored.status).toBe(200)
    expect(stored.json).toMatchObject({ id: 7, ...all })
    expect(Object.keys(stored.json)).toEqual(columns)
    const read = await client.get(`/${one}/7`)
    expect(read.status).toBe(200)
    expect(read.headers.get('content-type')).toBe('application/json')
    expect(read.json).toEqual(stored.json)
  })

  test('the columns in SQL are those in JSON, in the same order', async () => {
    const rows = await sql<{ column_name: string }[]>`
      select column_name from information_schema.columns where table_name = ${one} order by ordinal_position`
    expect(rows.map((row) => row.column_name)).toEqual(columns)
  })

  test('without an id in the path the row gets one, and Location says where it is', async () => {
    const stored = await client.post(`/${one}`, all)
    expect(stored.status).toBe(201)
    expect(stored.json).toMatchObject(all)
    expect(stored.headers.get('location')).toBe(`/${one}/${stored.json.id}`)
    expect((await client.get(`/${one}/${stored.json.id}`)).json).toEqual(stored.json)
  })

  test('a new id goes around ids that were used before, far ahead and up to the greatest', async () => {
    const rows = [3, 4, 5, 6, 7, 8, 9, 10, 11, 500, 2147483647]
    for (const id of rows) await client.post(`/${one}/${id}`, needed)
    const ids = await Promise.all(
      Array.from({ length: 40 }, async () => (await client.post(`/${one}`, needed)).json.id),
    )
    expect(new Set(ids).size).toBe(40)
    for (const id of ids) expect(rows).not.toContain(id)
  })

  test('a new id is found when the sequence is at its end', async () => {
    await client.post(`/${one}/2147483647`, needed)
    await sql`select setval(${`${one}_id_seq`}, 2147483645)`
    const ids = []
    for (let i = 0; i < 5; i++) ids.push((await client.post(`/${one}`, needed)).json.id)
    expect(ids[0]).toBe(2147483646)
    expect(new Set(ids).size).toBe(5)
    expect(ids).not.toContain(2147483647)
  })

  test('an omitted field keeps its value, and a given one replaces it', async () => {
    const before = (await client.post(`/${one}/7`, all)).json
    for (const [field, value] of Object.entries({ ...all })) {
      expect((await client.post(`/${one}/7`, { [field]: value })).json).toEqual(before)
    }
    expect((await client.post(`/${one}/7`, {})).json).toEqual(before)
    for (const field of texts) {
      const after = (await client.post(`/${one}/7`, { [field]: 'changed' })).json
      expect(after).toEqual({ ...before, [field]: 'changed' })
      await client.post(`/${one}/7`, { [field]: before[field] })
    }
  })

  test('an explicit null clears a field', async () => {
    await client.post(`/${one}/7`, all)
    for (const field of Object.keys(optional)) {
      const cleared = await client.post(`/${one}/7`, { [field]: null })
      expect(cleared.status).toBe(200)
      expect(cleared.json[field]).toBeNull()
    }
  })

  test.each(neverNull)('%s can not be null', async (field) => {
    await client.post(`/${one}/7`, all)
    const before = (await client.get(`/${one}/7`)).json
    const refused = await client.post(`/${one}/7`, { [field]: null })
    expect(refused.status).toBe(400)
    expect(refused.json.errors[0].field).toBe(field)
    expect((await client.get(`/${one}/7`)).json).toEqual(before)
  })

  test('repeating a POST changes nothing more', async () => {
    const once = await client.post(`/${one}/7`, all)
    const twice = await client.post(`/${one}/7`, all)
    expect(twice.json).toEqual(once.json)
    expect(await run(url, `select count(*)::int from ${one} where id = 7`)).toEqual([{ count: 1 }])
  })

  test.each(Object.keys(needed))('creating needs %s, by either way', async (field) => {
    const { [field]: _, ...rest } = needed as Record<string, unknown>
    for (const path of [`/${one}`, `/${one}/7`]) {
      const refused = await client.post(path, rest)
      expect(refused.status).toBe(400)
      expect(refused.json.errors.map((error: { field: string }) => error.field)).toEqual([field])
    }
    expect((await client.get(`/${one}/7`)).status).toBe(404)
  })

  test('the body may name its own id, and only that', async () => {
    expect((await client.post(`/${one}/7`, { ...needed, id: 7 })).status).toBe(200)
    expect((await client.post(`/${one}/7`, { [`${one}_id`]: 7 })).status).toBe(200)
    expect((await client.post(`/${one}/7`, { id: '7' })).status).toBe(200)
    for (const field of ['id', `${one}_id`]) {
      const refused = await client.post(`/${one}/7`, { [field]: 8 })
      expect(refused.status).toBe(400)
      expect(refused.json.errors[0].field).toBe(field)
    }
  })

  test('an unknown field is refused and named', async () => {
    for (const path of [`/${one}`, `/${one}/7`]) {
      for (const field of ['colour', '__proto__', 'constructor', 'ID']) {
        const body = `{${JSON.stringify(field)}: "x", ${JSON.stringify(all).slice(1)}`
        const headers = { 'Content-Type': 'application/json' }
        const refused = await client.request('POST', path, { body, headers })
        expect(refused.status).toBe(400)
        expect(refused.json.errors).toEqual([{ field, message: 'is not a field here' }])
      }
    }
  })

  test.each(texts)('%s takes text, a number as it is written, or nothing else', async (field) => {
    await client.post(`/${one}/7`, needed)
    for (const [sent, stored] of [
      ['48104', '48104'],
      ['1.50', '1.50'],
      ['12345678901234567890', '12345678901234567890'],
      ['1e3', '1e3'],
      ['" \\u00fc \\ud83e\\uddea "', ' ü 🧪 '],
    ]) {
      const body = `{"${field}": ${sent}}`
      const answer = await client.request('POST', `/${one}/7`, {
        body,
        headers: { 'Content-Type': 'application/json' },
      })
      expect(answer.json[field]).toBe(stored)
    }
    for (const value of [true, [], {}, ['a'], { a: 1 }, 'a\0b', '\ud83e', '\udded a']) {
      const refused = await client.post(`/${one}/7`, { [field]: value })
      expect(refused.status).toBe(400)
      expect(refused.json.errors[0].field).toBe(field)
    }
  })

  test.each(texts)('%s takes 10,000 characters, counted as Postgres counts them', async (field) => {
    await client.post(`/${one}/7`, needed)
    const longest = '🧪'.repeat(10_000)
    expect((await client.post(`/${one}/7`, { [field]: longest })).json[field]).toBe(longest)
    for (const text of ['a'.repeat(10_001), `${longest}a`]) {
      const refused = await client.post(`/${one}/7`, { [field]: text })
      expect(refused.status).toBe(400)
      expect(refused.json.errors[0].field).toBe(field)
    }
  })

  test.each(references)('%s has to be a row that is there', async (field) => {
    await client.post(`/${one}/7`, needed)
    for (const path of [`/${one}`, `/${one}/7`, `/${one}/8`]) {
      const refused = await client.post(path, { ...needed, [field]: 999 })
      expect(refused.status).toBe(409)
      expect(refused.json.errors[0].field).toBe(field)
      expect(refused.text).not.toMatch(/fkey|violates|constraint/)
    }
    for (const id of [0, -1, 1.5, 'abc', 2147483648, '01', true, [1]]) {
      const refused = await client.post(`/${one}/7`, { [field]: id })
      expect(refused.status).toBe(400)
      expect(refused.json.errors[0].field).toBe(field)
    }
    expect((await client.post(`/${one}/7`, { [field]: 2 })).json[field]).toBe(2)
  })

  test.each(['0', '-1', '1.5', 'abc', '2147483648', '01', '+1', '1e3', '%31%00', '%ff', '99999999999999999999', ' 1'])(
    'the id %s is refused',
    async (id) => {
      for (const [method, init] of [
        ['GET', {}],
        ['DELETE', {}],
        ['POST', { body: '{}', headers: { 'Content-Type': 'application/json' } }],
      ] as const) {
        const refused = await client.request(method, `/${one}/${id}`, init)
        expect(refused.status).toBe(400)
        expect(refused.json.errors[0].field).toBe('id')
      }
    },
  )

  test('a row that is not there is 404', async () => {
    for (const id of [7, 2147483647]) {
      expect((await client.get(`/${one}/${id}`)).status).toBe(404)
      const answer = await client.delete(`/${one}/${id}`)
      expect(answer.status).toBe(404)
      expect(answer.json.detail).toBe(`There is no ${one} ${id}.`)
    }
  })

  test('a row is deleted once', async () => {
    await client.post(`/${one}/7`, all)
    const answer = await client.delete(`/${one}/7`)
    expect(answer.status).toBe(200)
    expect(answer.json).toEqual({ message: `${one[0]?.toUpperCase()}${one.slice(1)} deleted: 7` })
    expect((await client.get(`/${one}/7`)).status).toBe(404)
    expect((await client.delete(`/${one}/7`)).status).toBe(404)
  })

  test('one trailing slash never matters', async () => {
    const stored = await client.post(`/${one}/`, all)
    expect(stored.status).toBe(201)
    const id = stored.json.id
    expect((await client.get(`/${one}/${id}/`)).json).toEqual(stored.json)
    expect((await client.post(`/${one}/${id}/`, {})).json).toEqual(stored.json)
    for (const path of lists) {
      expect((await client.get(`${path}/`)).json).toEqual((await client.get(path)).json)
      expect((await client.get(`${path}/0/1/`)).json).toEqual((await client.get(`${path}/0/1`)).json)
    }
    expect((await client.delete(`/${one}/${id}/`)).status).toBe(200)
  })

  test('50 upserts of one new row at once are all answered with it, and store one row', async () => {
    const answers = await Promise.all(Array.from({ length: 50 }, () => client.post(`/${one}/7`, needed)))
    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200))
    expect(await run(url, `select count(*)::int from ${one} where id = 7`)).toEqual([{ count: 1 }])
  })

  test('50 upserts of some fields of one row at once all change it', async () => {
    await client.post(`/${one}/7`, all)
    const changes = [...Object.entries(all), [`${one}_id`, 7]].map(([field, value]) => ({ [String(field)]: value }))
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, i) => client.post(`/${one}/7`, changes[i % changes.length])),
    )
    expect(answers.map((answer) => answer.status)).toEqual(answers.map(() => 200))
  })

  test('rows created with and without an id at once never collide', async () => {
    const pairs = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        Promise.all([client.post(`/${one}/${3 + i}`, needed), client.post(`/${one}`, needed)]),
      ),
    )
    expect(new Set(pairs.map(([byId]) => byId.status))).toEqual(new Set([200]))
    expect(new Set(pairs.map(([, byServer]) => byServer.status))).toEqual(new Set([201]))
    expect(new Set(pairs.map(([, byServer]) => byServer.json.id)).size).toBe(60)
  })

  test('an id that another transaction is just taking is left to it', async () => {
    const other = new pg.Client(url)
    await other.connect()
    try {
      await sql`select setval(${`${one}_id_seq`}, 1000, false)`
      const fields = Object.keys(needed)
      await other.query('begin')
      await other.query(
        `insert into ${one} (id, ${fields}) values (1000, ${fields.map((_, i) => `$${i + 1}`)})`,
        Object.values(needed),
      )
      const created = client.post(`/${one}`, needed)
      await expect
        .poll(() => sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
        .toHaveLength(1)
      await other.query('commit')
      expect(await created).toMatchObject({ status: 201, json: { id: 1001 } })
    } finally {
      await other.end()
    }
  })

  test('a run of taken ids is leapt over, not walked along', async () => {
    await sql`select setval(${`${one}_id_seq`}, 1000, false)`
    for (let id = 1000; id < 1050; id++) await client.post(`/${one}/${id}`, needed)
    expect((await client.post(`/${one}`, needed)).json.id).toBe(1064)
    await client.delete(`/${one}/1064`)
    for (let id = 1065; id < 1100; id++) expect((await client.post(`/${one}`, needed)).json.id).toBe(id)
  })

  test('the lists give all rows by id, and pages of them', async () => {
    for (const id of [30, 10, 20]) await client.post(`/${one}/${id}`, needed)
    for (const path of lists) {
      const rows = (await client.get(path)).json
      expect(rows.map((row: { id: number }) => row.id)).toEqual(
        rows.map((row: { id: number }) => row.id).sort((a: number, b: number) => a - b),
      )
      expect(rows.map((row: { id: number }) => row.id)).toEqual(expect.arrayContaining([10, 20, 30]))
      expect(Object.keys(rows[0])).toEqual(columns)
      expect((await client.get(`${path}/1/2`)).json).toEqual(rows.slice(1, 3))
      expect((await client.get(`${path}/1/0`)).json).toEqual(rows.slice(1))
      expect((await client.get(`${path}/0/2147483647`)).json).toEqual(rows)
      expect((await client.get(`${path}/2147483647/2147483647`)).json).toEqual([])
    }
  })

  test.each(['-1/5', '0/-1', 'a/5', '0/b', '2147483648/1', '0/2147483648', '01/1', '1.5/1'])(
    'the page %s is refused',
    async (page) => {
      for (const path of lists) {
        const refused = await client.get(`${path}/${page}`)
        expect(refused.status).toBe(400)
        expect(['offset', 'limit']).toContain(refused.json.errors[0].field)
      }
    },
  )

  test('the plural is a list only', async () => {
    for (const method of ['POST', 'DELETE', 'PUT', 'PATCH']) {
      const refused = await client.request(method, `/${many}`)
      expect(refused.status).toBe(405)
      expect(refused.headers.get('allow')).toBe('GET, HEAD, OPTIONS')
    }
  })
})
