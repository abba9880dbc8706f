import pg from 'pg'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { connect } from '../src/database/connect.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { run } from './postgres.ts'

const resources = [
  { one: 'site', needed: { name: 'Site 9' }, text: 'name' },
  { one: 'freezer', needed: { name: '-80C', site_id: 1 }, text: 'name' },
  { one: 'computer', needed: { name: 'Computer 9', site_id: 1 }, text: 'name' },
  { one: 'container', needed: { freezer_id: 1 }, text: 'description' },
]

const { sql, url } = await testDatabase()
const client = testClient(sql)
// Two servers on one database: what one of them keeps in mind is of no use to the other.
const otherSql = connect(url, { max: 10 })
afterAll(() => otherSql.end())
const servers = [client, testClient(otherSql)]

type Headers = Record<string, string>
const get = (path: string, headers: Headers) => client.request('GET', path, { headers })
const remove = (path: string, headers: Headers) => client.request('DELETE', path, { headers })
const post = (path: string, fields: unknown, headers: Headers, server = client) =>
  server.request('POST', path, {
    body: JSON.stringify(fields),
    headers: { 'Content-Type': 'application/json', ...headers },
  })
const etagOf = async (path: string) => (await client.get(path)).headers.get('etag') ?? ''

/** The answers to 30 requests at once, shared between the two servers. */
const atOnce = <Result>(request: (i: number, server: typeof client) => Promise<Result>) =>
  Promise.all(Array.from({ length: 30 }, (_, i) => request(i, servers[i % 2] as typeof client)))

/** What requests are answered that find another transaction at their row, and have to wait for what comes of it. */
async function behind(statement: string, requests: () => ReturnType<typeof client.get>[]) {
  const other = new pg.Client(url)
  await other.connect()
  try {
    await other.query('begin')
    await other.query(statement)
    const answers = requests()
    await expect
      .poll(() => sql`select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`)
      .toHaveLength(answers.length)
    await other.query('commit')
    return (await Promise.all(answers)).map(({ status }) => status)
  } finally {
    await other.end()
  }
}

beforeEach(async () => {
  await sql`truncate site, freezer, computer, container restart identity`
  await sql`insert into site (id, name) values (1, 'Site 1'), (2, 'Site 2')`
  await sql`insert into freezer (id, name, site_id) values (1, '-20C', 1), (2, '-40C', 2)`
})

describe.each(resources)('$one', ({ one, needed, text }) => {
  const path = `/${one}/7`

  test('a row has a strong ETag, which each write changes and nothing else', async () => {
    await client.post(path, needed)
    const etag = await etagOf(path)
    expect(etag).toMatch(/^"\d+"$/)
    await client.post(`/${one}/8`, needed)
    await run(url, `select from ${one} where id = 7 for update`)
    await run(url, `vacuum freeze ${one}`)
    expect(await etagOf(path)).toBe(etag)
    expect((await client.request('HEAD', path)).headers.get('etag')).toBe(etag)
    await client.post(path, { [text]: 'changed' })
    const changed = await etagOf(path)
    await run(url, `update ${one} set ${text} = 'by an admin' where id = 7`)
    expect(new Set([etag, changed, await etagOf(path)]).size).toBe(3)
  })

  test('the answer to a write has the ETag that a GET has next', async () => {
    const created = await client.post(`/${one}`, needed)
    expect(created.headers.get('etag')).toMatch(/^"\d+"$/)
    expect(created.headers.get('etag')).toBe(await etagOf(`/${one}/${created.json.id}`))
    for (const fields of [needed, { [text]: 'changed' }, {}]) {
      const stored = await client.post(path, fields)
      expect(stored.headers.get('etag')).toMatch(/^"\d+"$/)
      expect(stored.headers.get('etag')).toBe(await etagOf(path))
    }
  })

  test('If-None-Match with the ETag is 304 with that ETag and no body, in any list and weak too', async () => {
    await client.post(path, needed)
    const etag = await etagOf(path)
    for (const given of [etag, `W/${etag}`, `"x", ${etag}`, ` ,"a,b" ,${etag},, "y"`, '*']) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await client.request(method, path, { headers: { 'If-None-Match': given } })
        expect([answer.status, answer.text, answer.headers.get('etag')]).toEqual([304, '', etag])
        expect(answer.headers.get('content-type')).toBeNull()
      }
    }
    for (const given of ['"x"', `"x${etag.slice(1)}`, `"${etag.slice(1, -1)},"`, '""']) {
      const answer = await get(path, { 'If-None-Match': given })
      expect([answer.status, answer.json.id, answer.headers.get('etag')]).toEqual([200, 7, etag])
    }
    await client.post(path, { [text]: 'changed' })
    expect((await get(path, { 'If-None-Match': etag })).status).toBe(200)
  })

  test('GET with If-Match is 412 when the row has changed, also where If-None-Match would make it 304', async () => {
    await client.post(path, needed)
    const etag = await etagOf(path)
    expect((await get(path, { 'If-Match': `"x", ${etag}` })).status).toBe(200)
    expect((await get(path, { 'If-Match': '*', 'If-None-Match': etag })).status).toBe(304)
    for (const given of ['"x"', `W/${etag}`]) {
      const answer = await get(path, { 'If-Match': given, 'If-None-Match': etag })
      expect([answer.status, answer.headers.get('etag')]).toEqual([412, null])
    }
  })

  test('GET of a row that is not there is 404, whatever the condition', async () => {
    for (const headers of [{ 'If-Match': '"1"' }, { 'If-None-Match': '*' }, { 'If-Match': '*' }]) {
      expect((await get(path, headers as unknown as Headers)).status).toBe(404)
    }
  })

  test('POST with If-Match changes the row that has the ETag, and no other', async () => {
    await client.post(path, { ...needed, [text]: 'first' })
    const etag = await etagOf(path)
    const changed = await post(path, { [text]: 'second' }, { 'If-Match': `"a\\,}b", ${etag}` })
    expect([changed.status, changed.json[text]]).toEqual([200, 'second'])
    for (const given of [etag, `W/${changed.headers.get('etag')}`, '"x", ""']) {
      const refused = await post(path, { [text]: 'third' }, { 'If-Match': given })
      expect(refused.status).toBe(412)
      expect(refused.headers.get('etag')).toBeNull()
      expect(refused.json.detail).toBe(
        `${one} 7 has changed since, or is gone. GET it again, and use the ETag it has now.`,
      )
    }
    expect(await etagOf(path)).toBe(changed.headers.get('etag'))
    expect((await post(path, { [text]: 'third' }, { 'If-Match': '*' })).json[text]).toBe('third')
  })

  test('POST with If-Match never creates', async () => {
    for (const given of ['*', '"1"']) {
      for (const fields of [needed, {}]) expect((await post(path, fields, { 'If-Match': given })).status).toBe(412)
      expect((await post(`/${one}`, needed, { 'If-Match': given })).status).toBe(412)
    }
    expect(await run(url, `select id from ${one} where id > 2`)).toEqual([])
  })

  test('POST with If-None-Match: * creates, and leaves alone what is there', async () => {
    const created = await post(path, needed, { 'If-None-Match': '*' })
    expect([created.status, created.headers.get('etag')]).toEqual([200, await etagOf(path)])
    for (const fields of [needed, { [text]: 'changed' }]) {
      const refused = await post(path, fields, { 'If-None-Match': '*' })
      expect(refused.status).toBe(412)
      expect(refused.json.detail).toBe(`There is a ${one} 7 already, and If-None-Match: * asks for a new one only.`)
    }
    expect(await etagOf(path)).toBe(created.headers.get('etag'))
    expect((await post(`/${one}`, needed, { 'If-None-Match': '*' })).status).toBe(201)
    expect((await post(path, {}, { 'If-Match': '*', 'If-None-Match': '*' })).status).toBe(412)
  })

  test('If-None-Match with the ETag keeps POST and DELETE from the row, and lets them at any other', async () => {
    expect((await remove(path, { 'If-None-Match': '"1"' })).status).toBe(404)
    expect((await post(path, needed, { 'If-None-Match': '"1"' })).status).toBe(200)
    const etag = await etagOf(path)
    for (const given of [etag, `"x", W/${etag}`]) {
      expect((await post(path, {}, { 'If-None-Match': given })).status).toBe(412)
      expect((await remove(path, { 'If-None-Match': given })).status).toBe(412)
    }
    expect((await remove(path, { 'If-None-Match': '*' })).status).toBe(412)
    expect((await remove(path, { 'If-Match': etag, 'If-None-Match': etag })).status).toBe(412)
    expect((await post(path, {}, { 'If-None-Match': '"x"' })).status).toBe(200)
    expect((await remove(path, { 'If-None-Match': etag })).status).toBe(200)
  })

  test('DELETE with If-Match deletes the row that has the ETag, and no other', async () => {
    await client.post(path, needed)
    const etag = await etagOf(path)
    await client.post(path, { [text]: 'changed' })
    const refused = await remove(path, { 'If-Match': etag })
    expect(refused.status).toBe(412)
    expect(refused.headers.get('content-type')).toBe('application/problem+json')
    expect((await remove(path, { 'If-Match': `W/${await etagOf(path)}` })).status).toBe(412)
    expect((await remove(path, { 'If-Match': `"x",${await etagOf(path)}` })).status).toBe(200)
    expect((await remove(path, { 'If-Match': '*' })).status).toBe(412)
    expect((await client.delete(path)).status).toBe(404)
    await client.post(path, needed)
    expect((await remove(path, { 'If-Match': '*' })).status).toBe(200)
  })

  test('a write that waits for another transaction at the row goes by what that leaves', async () => {
    const { headers } = await client.post(path, needed)
    const given = { 'If-Match': headers.get('etag') ?? '' }
    const writes = () => [post(path, {}, given), post(path, needed, given), remove(path, given)]
    expect(await behind(`update ${one} set ${text} = 'by an admin' where id = 7`, writes)).toEqual([412, 412, 412])
    expect((await client.get(path)).json[text]).toBe('by an admin')
    given['If-Match'] = await etagOf(path)
    expect(await behind(`delete from ${one} where id = 7`, writes)).toEqual([412, 412, 412])
    expect((await client.get(path)).status).toBe(404)
    const fields = Object.keys(needed).join()
    const values = Object.values(needed).map((value) => `'${value}'`)
    const creates = () => [post(path, needed, { 'If-None-Match': '*' })]
    expect(await behind(`insert into ${one} (id, ${fields}) values (7, ${values.join()})`, creates)).toEqual([412])
  })

  test('of 30 writers with one ETag exactly one wins, and its value is there', async () => {
    let { headers } = await client.post(path, needed)
    for (let round = 0; round < 8; round++) {
      const etag = headers.get('etag') ?? ''
      // Some give the row's columns, others leave them to be read from it.
      const answers = await atOnce((i, server) =>
        post(path, { ...(i % 3 && needed), [text]: `${round}/${i}` }, { 'If-Match': etag }, server),
      )
      const winners = answers.filter(({ status }) => status === 200)
      expect(winners).toHaveLength(1)
      expect(answers.filter(({ status }) => status === 412)).toHaveLength(29)
      expect((await client.get(path)).json).toEqual(winners[0]?.json)
      headers = winners[0]?.headers ?? headers
      expect(headers.get('etag')).toBe(await etagOf(path))
    }
  })

  test('of 30 creators with If-None-Match: * exactly one wins, and its value is there', async () => {
    for (let id = 10; id < 18; id++) {
      const answers = await atOnce((i, server) =>
        post(`/${one}/${id}`, { ...needed, [text]: `from ${i}` }, { 'If-None-Match': '*' }, server),
      )
      const winners = answers.filter(({ status }) => status === 200)
      expect(winners).toHaveLength(1)
      expect(answers.filter(({ status }) => status === 412)).toHaveLength(29)
      expect((await client.get(`/${one}/${id}`)).json).toEqual(winners[0]?.json)
    }
  })

  test('of deletes and writes with one ETag at once exactly one wins, and no row comes back', async () => {
    for (let id = 20; id < 28; id++) {
      const { headers } = await client.post(`/${one}/${id}`, needed)
      const given = { 'If-Match': headers.get('etag') ?? '' }
      const answers = await atOnce(async (i, server) => {
        if (i % 2) return await post(`/${one}/${id}`, needed, given, servers[i % 4 === 1 ? 0 : 1])
        return await server.request('DELETE', `/${one}/${id}`, { headers: given })
      })
      const winner = answers.findIndex(({ status }) => status === 200)
      expect(answers.filter(({ status }) => status === 412)).toHaveLength(29)
      expect((await client.get(`/${one}/${id}`)).status).toBe(winner % 2 ? 200 : 404)
    }
  })

  test.each(['If-Match', 'If-None-Match'])(
    '%s that is not a list of tags is 400, and says how to write one',
    async (name) => {
      const { headers } = await client.post(path, needed)
      const bare = headers.get('etag')?.slice(1, -1) ?? ''
      for (const given of [bare, `"${bare}`, `'${bare}'`, '"a" "b"', '*, "a"', 'w/"a"', 'W/ "a"', '"a b"', '', ',']) {
        for (const method of ['GET', 'POST', 'DELETE']) {
          const init = method === 'POST' ? { body: '{}' } : {}
          const type = { 'Content-Type': 'application/json' }
          const refused = await client.request(method, path, { ...init, headers: { ...type, [name]: given } })
          expect(refused.status).toBe(400)
          expect(refused.json.errors[0].field).toBe(name)
          expect(refused.json.detail).toContain(given === bare ? `-H '${name}: "${bare}"'` : 'double quotes')
        }
      }
      expect((await post(`/${one}`, needed, { [name]: bare })).status).toBe(400)
      expect(await etagOf(path)).toBe(headers.get('etag'))
    },
  )

  test('what is wrong with the request itself is said before the condition is looked at', async () => {
    await client.post(path, needed)
    expect((await post(path, { colour: 'red' }, { 'If-Match': '"x"' })).status).toBe(400)
    expect((await post(`/${one}/0`, needed, { 'If-Match': '"x"' })).status).toBe(400)
    // A reference to nothing is found out when it is written.
    const reference = one === 'container' ? 'freezer_id' : 'site_id'
    if (one !== 'site') expect((await post(path, { [reference]: 99 }, { 'If-Match': '"x"' })).status).toBe(412)
    if (one !== 'site') expect((await post(path, { [reference]: 99 }, { 'If-Match': '*' })).status).toBe(409)
  })

  test('a list has no ETag, and conditions do not change its answer', async () => {
    const plain = await client.get(`/${one}s`)
    expect(plain.headers.get('etag')).toBeNull()
    const answer = await get(`/${one}s`, { 'If-None-Match': '"1"', 'If-Modified-Since': new Date().toUTCString() })
    expect([answer.status, answer.text]).toEqual([200, plain.text])
  })
})

test.each([
  ['site', { freezers: 1, computers: 0 }, 'site 1 still has 1 freezer'],
  ['freezer', { containers: 1 }, 'freezer 1 still has 1 container'],
])(
  'a %s that has changed is 412, and one that has not but still holds something is 409',
  async (one, _held, detail) => {
    await client.post('/container/1', { freezer_id: 1 })
    const etag = await etagOf(`/${one}/1`)
    await client.post(`/${one}/1`, { name: 'changed' })
    expect((await remove(`/${one}/1`, { 'If-Match': etag })).status).toBe(412)
    const refused = await remove(`/${one}/1`, { 'If-Match': await etagOf(`/${one}/1`) })
    expect([refused.status, refused.json.detail]).toEqual([409, detail])
    expect((await remove(`/${one}/1`, { 'If-None-Match': '*' })).status).toBe(412)
    expect((await client.delete(`/${one}/1`)).status).toBe(409)
  },
)

test.each([
  ['computer', { name: 'Computer 9', site_id: 1, mac: '08:00:2b:01:02:03' }],
  ['container', { freezer_id: 1, uuid: '0f8fad5b-d9cb-469f-a165-70867728950e' }],
])('of 30 creators of one %s with a key of its own, none is told that another has it', async (one, fields) => {
  for (let id = 10; id < 18; id++) {
    const created = await atOnce((_, server) => post(`/${one}/${id}`, fields, { 'If-None-Match': '*' }, server))
    expect(created.map(({ status }) => status).sort()).toEqual([200, ...Array(29).fill(412)])
    await client.delete(`/${one}/${id}`)
    const stored = await atOnce((_, server) => post(`/${one}/${id}`, fields, {}, server))
    expect(stored.map(({ status }) => status)).toEqual(Array(30).fill(200))
    await client.delete(`/${one}/${id}`)
  }
})

test('tags of any characters reach Postgres as they are', async () => {
  const texts = ['', ' ', 'a,b', '"', '\\', '\\"{}', 'null', 'NULL', 'ü🧪', "'; --"]
  expect(await sql`select to_json(${texts}::text[]) as texts, cardinality(${[] as string[]}::text[]) as none`).toEqual([
    { texts, none: 0 },
  ])
})
