import { beforeAll, expect, test } from 'vitest'
import { search, searchTypes } from '../src/database/search.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { planOfBuilt } from './explain.ts'
import { run } from './postgres.ts'

const { sql, url } = await testDatabase()
const client = testClient(sql)

beforeAll(async () => {
  await sql`
    insert into site (id, name, contact, address, state_or_region, country, postcode_or_zip)
    values
      (1, 'Zürich', 'Łucja Núñez', '7 Rämistraße', 'ZH', 'Switzerland', '8001'),
      (2, 'Ann Arbor', 'John Smith', '123 Muffin Lane', 'MI', 'USA', '48103'),
      (3, 'Łódź', null, null, null, 'Poland', null)`
  await sql`
    insert into freezer (id, name, site_id)
    values (1, '-80C north', 1), (2, '-20C', 2), (12, 'Nitrogen tank', 2)`
  await sql`
    insert into computer (id, name, mac, site_id)
    values (1, 'Scale PC', '08:00:2b:01:02:03', 1), (2, 'Scanner', '08:00:2b:ff:02:03', 2), (3, 'Label printer', null, 3)`
  await sql`
    insert into container (id, uuid, description, freezer_id)
    values
      (1, '0f8fad5b-d9cb-469f-a165-70867728950e', 'Plasmid prep, 10% DMSO', 1),
      (2, '0f8fad5b-0000-469f-a165-70867728950e', 'Serum 12, aliquot of 0.5 ml', 2),
      (3, 'aaaaaaaa-0000-4000-8000-000000000003', 'Human serum 7', 2),
      (4, 'aaaaaaaa-0000-4000-8000-000000000004', 'Serum', 12),
      (5, 'aaaaaaaa-0000-4000-8000-000000000005', 'antiserum_a', 12),
      (6, 'aaaaaaaa-0000-4000-8000-000000000006', null, 12),
      (7, 'aaaaaaaa-0000-4000-8000-000000000007', 'back\\slash 100', 12),
      (12, 'aaaaaaaa-0000-4000-8000-000000000012', 'Buffer', 12)`
})

/** What is found, in order, as `type id`. */
async function find(q: string, rest = {}): Promise<string[]> {
  const { status, json } = await client.post('/search', { q, ...rest })
  expect(status).toBe(200)
  return json.results.map(({ type, id }: { type: string; id: number }) => `${type} ${id}`)
}

test('a result says what it is, and in which freezer and site', async () => {
  expect((await client.get('/search?q=plasmid')).json).toEqual({
    results: [
      {
        type: 'container',
        id: 1,
        label: 'Plasmid prep, 10% DMSO',
        site_id: 1,
        site_name: 'Zürich',
        freezer_id: 1,
        freezer_name: '-80C north',
      },
    ],
    pagination: { offset: 0, limit: 20, total: 1 },
  })
  const nowhere = { freezer_id: null, freezer_name: null }
  const { json } = await client.get('/search?q=zurich')
  expect(json.results).toEqual([{ type: 'site', id: 1, label: 'Zürich', site_id: 1, site_name: 'Zürich', ...nowhere }])
  expect((await client.get('/search?q=printer')).json.results).toEqual([
    { type: 'computer', id: 3, label: 'Label printer', site_id: 3, site_name: 'Łódź', ...nowhere },
  ])
  expect((await client.get('/search?q=nitrogen')).json.results).toEqual([
    {
      type: 'freezer',
      id: 12,
      label: 'Nitrogen tank',
      site_id: 2,
      site_name: 'Ann Arbor',
      freezer_id: 12,
      freezer_name: 'Nitrogen tank',
    },
  ])
})

test.each(['Zürich', 'zurich', 'ZÜRICH', 'Zu\u0308rich', 'uric', 'lucja nunez', 'RAMISTRASSE', 'switzerland', '8001'])(
  'accents, case and the column do not matter: %s',
  async (q) => expect(await find(q)).toEqual(['site 1']),
)

test.each(['Łódź', 'lodz', 'ŁÓDŹ', 'odz'])('a stroke through a letter does not matter: %s', async (q) => {
  expect(await find(q)).toEqual(['site 3'])
})

test.each([
  'muffin arbor',
  'ARBOR  muffin',
  ' lane 48103 ',
  'michael',
  'smith usa mi',
  'smith poland',
  'smith zz',
  'muffin arbor smith xyz',
])('all words must be there, in any order and any column: %s', async (q) =>
  expect(await find(q)).toEqual(/michael|poland|zz|xyz/.test(q) ? [] : ['site 2']),
)

test.each([
  '08:00:2b:01:02:03',
  '08-00-2B-01-02-03',
  '0800.2b01.0203',
  '08002b010203',
  '8:0:2b:1:2:3',
  '08 00 2B 01 02 03',
])('a MAC is found however it is typed: %s', async (q) => expect(await find(q)).toEqual(['computer 1']))

test.each(['08:00:2b', '08-00-2B-', '08002b', '0800.2b', '8:0:2B'])(
  'a MAC is found by its beginning: %s',
  async (q) => {
    expect(await find(q)).toEqual(['computer 2', 'computer 1'])
  },
)

test.each([
  '0f8fad5b-d9cb-469f-a165-70867728950e',
  '0F8FAD5BD9CB469FA16570867728950E',
  '{0f8fad5b-d9cb-469f-a165-70867728950e}',
  'urn:uuid:0f8fad5b-d9cb-469f-a165-70867728950e',
  '0f8fad5b-d9',
  '0F8FAD5BD9CB4',
])('a UUID, or how it begins, is found as a scanner sends it: %s', async (q) => {
  expect(await find(q)).toEqual(['container 1'])
})

test('the beginning that several UUIDs share finds them all', async () => {
  expect(await find('0f8fad5b')).toEqual(['container 1', 'container 2'])
  expect(await find('0f8fad5b-')).toHaveLength(2)
  expect(await find('fad5b')).toEqual([])
})

test('a number that is an id comes first, then what has it in its name', async () => {
  expect(await find('12')).toEqual(['freezer 12', 'container 12', 'container 2', 'site 2'])
  expect(await find('012')).toEqual([])
})

test('the whole text is better than its beginning, then the beginning of a word, then any part', async () => {
  expect(await find('serum')).toEqual(['container 4', 'container 2', 'container 3', 'container 5'])
})

test('a container without a description is called by its UUID', async () => {
  const { json } = await client.get('/search?q=aaaaaaaa-0000-4000-8000-000000000006')
  expect(json.results[0].label).toBe('aaaaaaaa-0000-4000-8000-000000000006')
})

test.each([
  ['%', ['container 1']],
  ['10%', ['container 1']],
  ['_', ['container 5']],
  ['rum_a', ['container 5']],
  ['ser_m', []],
  ['\\', ['container 7']],
  ['back\\slash', ['container 7']],
  ["'", []],
  ['\u0301', []],
])('%s stands for itself', async (q, found) => {
  expect(await find(q)).toEqual(found)
})

test('words of one or two letters are found where they begin a name, and anywhere in a small table', async () => {
  expect(await find('la')).toEqual(['computer 3', 'container 7', 'container 1', 'site 3', 'site 1', 'site 2'])
  expect(await find('-2')).toEqual(['freezer 2'])
})

test('types narrow it, in JSON as a list and elsewhere with commas', async () => {
  expect(await find('sca', { types: ['freezer', 'computer'] })).toEqual(['computer 2', 'computer 1'])
  expect(await find('sca', { types: ['container'] })).toEqual([])
  expect(await find('12', { types: ['freezer'] })).toEqual(['freezer 12'])
  expect((await client.form('/search', 'q=12&types=freezer,site')).json.results).toHaveLength(2)
  expect((await client.get('/search?q=12&types=container')).json.pagination.total).toBe(2)
})

test('pages are parts of one order, and a page past the end is empty', async () => {
  const all = await find('serum')
  const page = async (path: string) => (await client.get(path)).json
  expect((await page('/search/1/2?q=serum')).results).toEqual((await page('/search?q=serum')).results.slice(1, 3))
  expect(await find('serum', { offset: 1, limit: 2 })).toEqual(all.slice(1, 3))
  expect((await page('/search/1/2/?q=serum')).pagination).toEqual({ offset: 1, limit: 2, total: 4 })
  expect(await page('/search/2147483647/500?q=serum')).toEqual({
    results: [],
    pagination: { offset: 2147483647, limit: 500, total: 4 },
  })
  expect((await client.form('/search', 'q=serum&offset=3&limit=1&types=')).json.results).toHaveLength(1)
})

test.each([
  ['/search', 'q: is needed'],
  ['/search?q=', 'q: must not be blank'],
  ['/search?q=+%09', 'q: must not be blank'],
  ['/search?q=%00', 'q: must not contain the NUL character'],
  ['/search?q=%ff', 'What is written with % must be UTF-8.'],
  [`/search?q=${'a'.repeat(201)}`, 'q: must have at most 200 characters'],
  ['/search?q=a&q=b', 'q: is given twice'],
  ['/search?q=a&colour=red&limit=3', 'colour: is not a parameter here; limit: is not a parameter here'],
  ['/search?q=a&__proto__=b', '__proto__: is not a parameter here'],
  ['/search?q=a&types=site,box', 'types.1: must be a list of some of site, freezer, computer, container'],
  ['/search/0/0?q=a', 'limit: must be a whole number from 1 to 500'],
  ['/search/0/501?q=a', 'limit: must be a whole number from 1 to 500'],
  ['/search/-1/5?q=a', 'offset: must be a whole number from 0 to 2147483647'],
])('%s is refused, with what is wrong', async (path, detail) => {
  const { status, json } = await client.get(path)
  expect([status, json.detail]).toEqual([400, detail])
})

test.each([
  [{}, 'q: is needed'],
  [{ q: null }, 'q: must have a value'],
  [{ q: 'a\ud800' }, 'q: must not contain half a surrogate pair'],
  [{ q: ['a'] }, 'q: must be text or a number'],
  [{ q: 'a', types: [] }, 'types: must be a list of some of site, freezer, computer, container'],
  [{ q: 'a', types: [7] }, 'types.0: must be a list of some of site, freezer, computer, container'],
  [{ q: 'a', types: {} }, 'types: must be a list of some of site, freezer, computer, container'],
  [{ q: 'a', limit: 0 }, 'limit: must be a whole number from 1 to 500'],
  [{ q: 'a', offset: 0.5 }, 'offset: must be a whole number from 0 to 2147483647'],
  [{ q: 'a', page: 2 }, 'page: is not a field here'],
])('the body %j is refused, with what is wrong', async (fields, detail) => {
  const { status, json } = await client.post('/search', fields)
  expect([status, json.detail]).toEqual([400, detail])
})

test('what was written is found at once, and what was deleted is not', async () => {
  const { json } = await client.post('/container', { description: 'Xenopus oocytes', freezer_id: 1 })
  expect(await find('oocyt')).toEqual([`container ${json.id}`])
  await client.delete(`/container/${json.id}`)
  expect(await find('oocyt')).toEqual([])
})

test('no more than 500 are found, and they are whole pages of one order', async () => {
  await sql`insert into computer (id, name, site_id) select 1000 + id, 'Microscope ' || id, 3 from generate_series(1, 700) as id`
  const first = (await client.get('/search/0/500?q=microscope')).json
  expect([first.results.length, first.pagination.total]).toEqual([500, 500])
  expect((await client.get('/search/490/100?q=microscope')).json.results).toEqual(first.results.slice(490))
  expect(
    (await client.get('/search?q=scope+microscope+700')).json.results.map((each: { label: string }) => each.label),
  ).toEqual(['Microscope 700'])
})

test.each(['serum', 'plasmid dmso', 'se', '0f8fad5b'])('a search for %s reads no large table whole', async (q) => {
  await sql`
    insert into container (id, description, freezer_id)
    select 1000 + id, 'Plasmid prep ' || id || ', glycerol stock', 1 from generate_series(1, 20000) as id
    on conflict do nothing`
  for (const table of ['site', 'freezer', 'computer', 'container']) await run(url, `vacuum analyze ${table}`)
  const plan = await planOfBuilt(sql, (sql) => search(sql, { q, types: searchTypes, offset: 0, limit: 20 }))
  expect(plan).not.toMatch(/Seq Scan on container/)
  for (const index of ['description_search_idx', 'description_begin_idx', 'uuid_key', 'pkey']) {
    expect(plan).toContain(`container_${index}`)
  }
})
