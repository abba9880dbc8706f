import createClient from 'openapi-fetch'
import pino from 'pino'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { paths, schemas } from '../.data/client_types.ts'
import { runScript } from '../src/scripts.ts'
import { serve } from '../src/server.ts'
import { testDatabase } from './database.ts'

// A client over a socket, whose types come from the description: what is wrong here doesn't compile.

const { sql, url } = await testDatabase()
let server: Awaited<ReturnType<typeof serve>>
let client: ReturnType<typeof createClient<paths, 'application/json' | 'application/problem+json'>>

beforeAll(async () => {
  server = await serve({ databaseUrl: url, host: '127.0.0.1', port: 0 }, pino({ level: 'silent' }))
  client = createClient({ baseUrl: server.url, querySerializer: { array: { style: 'form', explode: false } } })
})
afterAll(() => server.stop())
beforeEach(async () => {
  await sql`truncate site, freezer, computer, container restart identity`
  await runScript(url, 'mock_data')
})

test('a list is read, with filters and fields', async () => {
  const { data, response } = await client.GET('/sites', {
    params: {
      query: { country: 'USA', name__contains: 'site', id__in: [1, 2], fields: ['id', 'name'], count: 'exact' },
    },
  })
  expect(data).toEqual([{ id: 1, name: 'Site 1' }])
  expect(response.headers.get('x-total-count')).toBe('1')
})

test('a list is walked by the cursors in Link', async () => {
  const names: (string | undefined)[] = []
  for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
    const query = { sort: ['-name' as const], limit: 2, ...(cursor === undefined ? {} : { cursor }) }
    const { data = [], response } = await client.GET('/sites', { params: { query } })
    names.push(...data.map(({ name }) => name))
    cursor = /cursor=([^&>]+)>; rel="next"/.exec(response.headers.get('link') ?? '')?.[1]
  }
  expect(names).toEqual(['Site 3', 'Site 2', 'Site 1'])
})

test('a row is created, read, updated and deleted', async () => {
  const made = await client.POST('/freezer', { body: { name: '-80C', site_id: 2 } })
  expect(made.data).toEqual({ id: 3, name: '-80C', site_id: 2 })
  const path = { id: made.data?.id ?? 0 }
  const read = await client.GET('/freezer/{id}', { params: { path } })
  expect(read.data).toEqual(made.data)
  const etag = read.response.headers.get('etag') ?? ''
  const moved = await client.POST('/freezer/{id}', {
    params: { path, header: { 'If-Match': etag } },
    body: { site_id: 3 },
  })
  expect(moved.data?.site_id).toBe(3)
  const stale = await client.DELETE('/freezer/{id}', { params: { path, header: { 'If-Match': etag } } })
  expect(stale.error?.status).toBe(412)
  const gone = await client.DELETE('/freezer/{id}', { params: { path } })
  expect(gone.data?.message).toBe('Freezer deleted: 3')
})

test('an error has the fields that are wrong', async () => {
  const { data, error, response } = await client.POST('/computer', { body: { name: 'PC', site_id: 999 } })
  expect(data).toBeUndefined()
  expect(response.status).toBe(409)
  expect(error?.errors).toEqual([{ field: 'site_id', message: 'there is no site with this id' }])
})

test('what a page shows comes in one request each', async () => {
  const overview = await client.GET('/site/{id}/overview', { params: { path: { id: 1 } } })
  expect(overview.data?.freezers.map(({ name }) => name)).toEqual(['-20C', '-40C'])
  const found = await client.POST('/search', { body: { q: 'computer 2', types: ['computer'] } })
  expect(found.data?.results[0]?.site_name).toBe('Site 1')
})

test('what is not in the description does not compile, and is refused', async () => {
  // @ts-expect-error: a site has no colour.
  const body: schemas['NewSite'] = { name: 'Site 9', colour: 'red' }
  expect((await client.POST('/site', { body })).response.status).toBe(400)
  // @ts-expect-error: a name is text.
  expect((await client.POST('/site', { body: { name: ['Site 9'] } })).response.status).toBe(400)
  // @ts-expect-error: a freezer stands somewhere.
  expect((await client.POST('/freezer', { body: { name: '-80C' } })).response.status).toBe(400)
  // @ts-expect-error: colours are no filter.
  expect((await client.GET('/sites', { params: { query: { colour: 'red' } } })).response.status).toBe(400)
  // @ts-expect-error: numbers have no parts to look for.
  expect((await client.GET('/sites', { params: { query: { id__contains: '1' } } })).response.status).toBe(400)
  // @ts-expect-error: it is /sites.
  expect((await client.GET('/sitez', {})).response.status).toBe(404)
  const { data } = await client.GET('/site/{id}', { params: { path: { id: 1 } } })
  // @ts-expect-error: nor is there one in the answer.
  expect(data?.colour).toBeUndefined()
})
