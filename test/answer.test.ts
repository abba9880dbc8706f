import { expect, inject, test } from 'vitest'
import { connect } from '../src/database/connect.ts'
import { testClient } from './client.ts'
import { createDatabase, testDatabase } from './database.ts'

const { sql } = await testDatabase()
const client = testClient(sql)

test('every answer carries an X-Request-Id, the same as its log line', async () => {
  for (const path of ['/sites', '/site/1', '/site/x', '/nowhere']) {
    const answer = await client.get(path)
    expect(client.lines.at(-1)).toMatchObject({
      requestId: answer.headers.get('x-request-id'),
      method: 'GET',
      status: answer.status,
    })
  }
})

test('a sane X-Request-Id of the client is kept, another is replaced', async () => {
  const withId = (id: string) => client.request('GET', '/sites', { headers: { 'X-Request-Id': id } })
  expect((await withId('run-42_a')).headers.get('x-request-id')).toBe('run-42_a')
  for (const id of ['', 'a b', 'x'.repeat(256), '"}', '%0a']) {
    expect((await withId(id)).headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/)
  }
})

test('the log line of a request has its route, not what was in it', async () => {
  await client.post('/site/1', { name: 'secret name' })
  expect(client.lines.at(-1)).toMatchObject({ method: 'POST', route: '/site/:id', status: 200 })
  expect(JSON.stringify(client.lines)).not.toContain('secret name')
})

test('errors are problem details', async () => {
  const answer = await client.post('/site/1', { name: '' })
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
  expect(answer.json).toEqual({
    type: 'about:blank',
    title: 'Bad Request',
    status: 400,
    detail: 'name: must not be blank',
    errors: [{ field: 'name', message: 'must not be blank' }],
  })
})

test('an address that is not there says which are', async () => {
  for (const path of ['/', '/nowhere?x=1', '/sites/1', '/site/1/2', '/site//1', '/sites//', '/site/1/freezer']) {
    const answer = await client.get(path)
    expect(answer.status).toBe(404)
    expect(answer.json.detail).toContain('/instruments')
  }
})

test.each([
  ['PUT', '/site/1', 'GET, HEAD, POST, DELETE, OPTIONS'],
  ['PATCH', '/container/1', 'GET, HEAD, POST, DELETE, OPTIONS'],
  ['GET', '/site', 'POST, OPTIONS'],
  ['DELETE', '/instruments', 'GET, HEAD, OPTIONS'],
  ['POST', '/site/1/overview', 'GET, HEAD, OPTIONS'],
  ['POST', '/summary/', 'GET, HEAD, OPTIONS'],
  ['DELETE', '/site/1/freezers/0/5', 'GET, HEAD, OPTIONS'],
])('%s %s is 405, and Allow says what can be done', async (method, path, allow) => {
  const answer = await client.request(method, path)
  expect(answer.status).toBe(405)
  expect(answer.headers.get('allow')).toBe(allow)
  expect(answer.headers.get('content-type')).toBe('application/problem+json')
})

test('OPTIONS says what can be done', async () => {
  const answer = await client.request('OPTIONS', '/site/1')
  expect(answer.status).toBe(204)
  expect(answer.headers.get('allow')).toBe('GET, HEAD, POST, DELETE, OPTIONS')
  expect((await client.request('OPTIONS', '/nowhere')).status).toBe(404)
})

test('HEAD answers as GET does, without the body', async () => {
  await client.post('/site/1', { name: 'Site 1' })
  for (const path of ['/site/1', '/sites', '/summary', '/site/99']) {
    const [head, get] = [await client.request('HEAD', path), await client.get(path)]
    expect(head.status).toBe(get.status)
    expect(head.headers.get('content-type')).toBe(get.headers.get('content-type'))
    expect(head.text).toBe('')
  }
})

test('what is refused before it gets to its route has its line as well', async () => {
  const lineOf = async (answer: Promise<{ headers: Headers }>) => {
    const requestId = (await answer).headers.get('x-request-id')
    return client.lines.filter((line) => line.requestId === requestId)
  }
  expect(await lineOf(client.get('/summary?country=USA'))).toMatchObject([
    { method: 'GET', route: '/summary', status: 400, durationMs: expect.any(Number) },
  ])
  const elsewhere = { headers: { Origin: 'http://elsewhere.example' } }
  expect(await lineOf(client.request('DELETE', '/site/1', elsewhere))).toMatchObject([
    { method: 'DELETE', route: '/site/:id', status: 403, durationMs: expect.any(Number) },
  ])
})

test('a query parameter that nothing knows is refused by name, not ignored', async () => {
  const answer = await client.get('/summary?country=USA&colour=red')
  expect(answer.status).toBe(400)
  expect(answer.json.errors.map((error: { field: string }) => error.field)).toEqual(['country', 'colour'])
  expect((await client.get('/sites?')).status).toBe(200)
})

test('what still has something is not deleted, and the answer counts it', async () => {
  await client.post('/site/5', { name: 'Site 5' })
  await client.post('/freezer/5', { name: '-20C', site_id: 5 })
  await client.post('/freezer/6', { name: '-40C', site_id: 5 })
  await client.post('/computer/5', { name: 'Computer', site_id: 5 })
  await client.post('/container/5', { freezer_id: 6 })
  const refused = await client.delete('/site/5')
  expect(refused.status).toBe(409)
  expect(refused.json.detail).toBe('site 5 still has 2 freezers and 1 computer')
  expect((await client.delete('/freezer/6')).json.detail).toBe('freezer 6 still has 1 container')
  await client.delete('/freezer/5')
  await client.delete('/container/5')
  await client.delete('/freezer/6')
  expect((await client.delete('/site/5')).json.detail).toBe('site 5 still has 1 computer')
  expect((await client.get('/site/5')).status).toBe(200)
})

test('deleting races with putting something there: either is whole', async () => {
  for (let id = 100; id < 140; id++) {
    await client.post(`/site/${id}`, { name: 'racy' })
    const [removed, added] = await Promise.all([
      client.delete(`/site/${id}`),
      client.post(`/freezer/${id}`, { name: 'racy', site_id: id }),
    ])
    const outcome = [removed.status, added.status, (await client.get(`/site/${id}`)).status]
    expect([
      [200, 409, 404],
      [409, 200, 200],
    ]).toContainEqual(outcome)
    if (removed.status === 409) expect(removed.json.detail).toBe(`site ${id} still has 1 freezer`)
  }
})

test('an upsert without a name races with deleting: it updates or is refused, and never revives the row', async () => {
  for (let id = 200; id < 240; id++) {
    await client.post(`/site/${id}`, { name: 'racy' })
    const [removed, ...updated] = await Promise.all([
      client.delete(`/site/${id}`),
      ...['a', 'b', 'c'].map((contact) => client.post(`/site/${id}`, { contact })),
    ])
    expect(removed.status).toBe(200)
    for (const { status } of updated) expect([200, 400]).toContain(status)
    expect((await client.get(`/site/${id}`)).status).toBe(404)
  }
})

test('two deletes of one row at once: one did it, the other finds nothing', async () => {
  for (let id = 300; id < 330; id++) {
    await client.post(`/site/${id}`, { name: 'racy' })
    const answers = await Promise.all([client.delete(`/site/${id}`), client.delete(`/site/${id}`)])
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 404])
  }
})

test('a database that can not be reached is 503 with Retry-After, and says nothing of itself', async () => {
  const unreachable = connect('postgresql://nobody:secret@127.0.0.1:1/nothing')
  const answer = await testClient(unreachable).get('/site/1')
  expect(answer.status).toBe(503)
  expect(answer.headers.get('retry-after')).toBe('1')
  expect(answer.text).not.toMatch(/ECONN|127|nobody|secret|postgres/i)
  await unreachable.end()
})

test('our own bugs are 500: logged whole, answered with nothing', async () => {
  const url = await createDatabase(`${inject('template')}_without_tables`, 'template0')
  const empty = connect(url)
  const broken = testClient(empty)
  const answer = await broken.get('/site/1')
  expect(answer.status).toBe(500)
  expect(answer.json).toEqual({
    type: 'about:blank',
    title: 'Internal Server Error',
    status: 500,
    detail: 'Something went wrong in the server, not in the request. It has been logged.',
    errors: [],
  })
  const line = broken.lines.find(({ err }) => err)
  expect(line).toMatchObject({ level: 50, requestId: answer.headers.get('x-request-id') })
  expect(JSON.stringify(line)).toContain('relation \\"site\\" does not exist')
  await empty.end()
})
