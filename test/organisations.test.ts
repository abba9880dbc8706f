import { parse } from 'csv-parse/sync'
import { beforeAll, describe, expect, test } from 'vitest'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { load, readOrganisations, spread, toMac, toSite } from './load_organisations.ts'
import { ids, type Row, real, sorted, walk } from './walk.ts'

const { sql } = await testDatabase()
const client = testClient(sql)

const organisations = readOrganisations()
const isAscii = ({ site }: { site: object }) => /^[\0-\x7f]*$/.test(JSON.stringify(site))

test('1,000 organisations from all over the world are read back as they were stored', async () => {
  const foreign = spread(
    organisations.filter((organisation) => !isAscii(organisation)),
    500,
  )
  const plain = spread(organisations.filter(isAscii), 500)
  const { sites, computers, mismatches } = await load(client.request, [...foreign, ...plain])
  expect(mismatches).toEqual([])
  expect(sites).toBe(1000)
  expect(computers).toBeGreaterThanOrEqual(1000)
  expect((await client.get('/summary')).json).toEqual({ sites, freezers: 0, computers, containers: 0 })
})

test('what is stored otherwise than it was sent is told', async () => {
  const altering: typeof client.request = async (method, path, init) => {
    const answer = await client.request(method, path, init)
    return { ...answer, text: method === 'GET' ? answer.text.replace('Rhein', 'Rhine') : answer.text }
  }
  const site = toSite('Bär\nRheinstraße 17\nTeltow Germany 14513\nGermany', new Set(['Germany']))
  const { mismatches } = await load(altering, [{ site, prefixes: [] }])
  expect(mismatches).toEqual([
    expect.stringMatching(/^\/site\/\d+ address: sent "Rheinstraße 17, .*", read "Rhinestraße 17, .*"$/),
  ])
})

test('a second computer with the MAC address of a prefix is refused, however it is written', async () => {
  const site = await client.post('/site', { name: 'Site' })
  const { prefixes } = organisations.find((organisation) => !isAscii(organisation)) ?? { prefixes: [] }
  const mac = toMac(prefixes[0] ?? '')
  const digits = mac.replaceAll(':', '')
  await client.post('/computer', { name: 'first', mac, site_id: site.json.id })
  for (const notation of [digits, mac.toUpperCase(), mac.replaceAll(':', '-'), digits.replace(/....(?!$)/g, '$&.')]) {
    const refused = await client.post('/computer', { name: 'second', mac: notation, site_id: site.json.id })
    expect(refused.status).toBe(409)
    expect(refused.json.errors[0].field).toBe('mac')
  }
})

test('a record is taken apart only where it is plain what is what', () => {
  const countries = new Set(['Germany', 'United States'])
  const nothing = { contact: null, address: null, state_or_region: null, country: null, postcode_or_zip: null }
  expect(toSite('Private', countries)).toEqual({ ...nothing, name: 'Private' })
  expect(toSite('Exxon\nUnited States', countries)).toEqual({ ...nothing, name: 'Exxon', country: 'United States' })
  expect(toSite('Danfoss A/S\nDK-6430 Nordborg', countries)).toEqual({
    ...nothing,
    name: 'Danfoss A/S',
    address: 'DK-6430 Nordborg',
  })
  expect(toSite('Bär\nRheinstraße 17\nTeltow Germany 14513\nGermany', countries)).toEqual({
    ...nothing,
    name: 'Bär',
    address: 'Rheinstraße 17, Teltow Germany 14513',
    country: 'Germany',
    postcode_or_zip: '14513',
  })
})

test('a prefix of any length becomes a MAC address of its own', () => {
  expect(toMac('00079D')).toBe('00:07:9d:00:00:00')
  expect(toMac('943EFD4')).toBe('94:3e:fd:40:00:01')
  expect(toMac('70B3D54CA')).toBe('70:b3:d5:4c:a0:02')
  const macs = organisations.flatMap(({ prefixes }) => prefixes.map(toMac))
  expect(new Set(macs).size).toBe(macs.length)
})

test('a selection is as large as it is to be, and from everywhere', () => {
  expect(spread([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 3)).toEqual([0, 4, 7])
  expect(spread([0, 1, 2], 5)).toEqual([0, 1, 2])
  for (const count of [1, 7, 1000, 32_332]) expect(spread(organisations, count)).toHaveLength(count)
})

describe('lists of 4,000 organisations', async () => {
  const { sql } = await testDatabase()
  const client = testClient(sql)
  let sites: Row[]

  beforeAll(async () => {
    const some = spread(organisations, 4_000).map(({ site }) => site)
    await sql`
      insert into site (name, address, country, postcode_or_zip)
      select name, address, country, postcode_or_zip
      from jsonb_to_recordset(${JSON.stringify(some)}::text::jsonb) as (name text, address text, country text, postcode_or_zip text)`
    sites = (await client.get('/sites')).json
    expect(sites).toHaveLength(4_000)
  })

  test.each([
    ['', 250],
    ['name', 333],
    ['-country,name', 97],
    ['postcode_or_zip', 1_000],
  ])('sort=%s in pages of %i has each of them once', async (sort, limit) => {
    const walked = await walk(client, `/sites?limit=${limit}${sort && `&sort=${sort}`}`)
    expect(ids(walked)).toEqual(ids(sorted(sites, sort)))
  })

  test.each<[string, (site: Row) => boolean]>([
    ['country=Germany', ({ country }) => country === 'Germany'],
    ['country__ne=United%20States', ({ country }) => country !== 'United States'],
    ['name__contains=GmbH', ({ name }) => String(name).toLowerCase().includes('gmbh')],
    ['name__contains=%C3%BC', ({ name }) => String(name).toLowerCase().includes('ü')],
    ['name__startswith=shenzhen', ({ name }) => String(name).toLowerCase().startsWith('shenzhen')],
    ['postcode_or_zip__isnull=true&id__gt=2000', (site) => site.postcode_or_zip === null && Number(site.id) > 2000],
  ])('?%s leaves what the same filter in JavaScript does', async (query, filter) => {
    const expected = sites.filter(filter)
    expect(expected.length).toBeGreaterThan(0)
    expect((await client.get(`/sites?${query}`)).json).toEqual(expected)
    expect(await walk(client, `/sites?${query}&limit=100`)).toEqual(expected)
  })

  test('as CSV they are the same', async () => {
    const rows = parse((await client.get('/sites?format=csv')).text, { columns: true }) as Record<string, string>[]
    const cells = rows.map((row) => Object.values(row).map(real))
    expect(cells).toEqual(sites.map((site) => Object.values(site).map((value) => String(value ?? ''))))
  })
})
