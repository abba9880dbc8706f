import { beforeAll, expect, test } from 'vitest'
import { runScript } from '../src/scripts.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'

const { sql, url } = await testDatabase()
const client = testClient(sql)

beforeAll(() => runScript(url, 'mock_data'))

test('the instruments of the mock data are its computers, then its freezers', async () => {
  const site = { site_id: 1, site_name: 'Site 1' }
  const instruments = [
    { ...site, computer_id: 1, freezer_id: null, name: 'Computer 1' },
    { ...site, computer_id: 2, freezer_id: null, name: 'Computer 2' },
    { ...site, computer_id: null, freezer_id: 1, name: '-20C' },
    { ...site, computer_id: null, freezer_id: 2, name: '-40C' },
  ]
  for (const path of ['/instruments', '/site/1/instruments']) {
    const answer = await client.get(path)
    expect(answer.json).toEqual(instruments)
    expect(Object.keys(answer.json[0])).toEqual(['site_id', 'site_name', 'computer_id', 'freezer_id', 'name'])
  }
})

test('an overview has a site, its freezers with a count, and its computers', async () => {
  await client.post('/container/1', { freezer_id: 2 })
  await client.post('/container/2', { freezer_id: 2 })
  await client.post('/computer/2', { mac: '08002b010203' })
  const overview = await client.get('/site/1/overview')
  expect(overview.json).toEqual({
    site: (await client.get('/site/1')).json,
    freezers: [
      { id: 1, name: '-20C', containers: 0 },
      { id: 2, name: '-40C', containers: 2 },
    ],
    computers: [
      { id: 1, name: 'Computer 1', mac: null },
      { id: 2, name: 'Computer 2', mac: '08:00:2b:01:02:03' },
    ],
  })
  expect(Object.keys(overview.json.site)).toEqual(Object.keys((await client.get('/site/1')).json))
  expect((await client.get('/site/3/overview')).json).toMatchObject({ freezers: [], computers: [] })
  expect((await client.get('/site/99/overview')).status).toBe(404)
})

test('a location leads from a container to its site', async () => {
  const uuid = '0f8fad5b-d9cb-469f-a165-70867728950e'
  await client.post('/container/9', { freezer_id: 1, uuid })
  expect((await client.get('/container/9/location')).json).toEqual({
    container_id: 9,
    uuid,
    freezer_id: 1,
    freezer_name: '-20C',
    site_id: 1,
    site_name: 'Site 1',
  })
  expect((await client.get('/container/99/location')).status).toBe(404)
})

test('the summary counts every table', async () => {
  const [counts] = await sql`
    select
      (select count(*)::int from site) as sites,
      (select count(*)::int from freezer) as freezers,
      (select count(*)::int from computer) as computers,
      (select count(*)::int from container) as containers`
  expect((await client.get('/summary')).json).toEqual(counts)
})

test.each(['/site/99/freezers', '/site/99/computers', '/site/99/instruments', '/freezer/99/containers'])(
  '%s is 404 when there is no such parent, and [] when it has none',
  async (path) => {
    expect((await client.get(path)).status).toBe(404)
    expect((await client.get(`${path}/0/10`)).status).toBe(404)
    await client.post('/site/50', { name: 'Empty' })
    await client.post('/freezer/50', { name: 'Empty', site_id: 3 })
    const there = path.replace('99', '50')
    expect((await client.get(there)).json).toEqual([])
    expect((await client.get(`${there}/5/10`)).json).toEqual([])
    expect((await client.get(path.replace('99', '0'))).status).toBe(400)
  },
)
