import { parse } from 'csv-parse/sync'
import { beforeAll, describe, expect, test } from 'vitest'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { run } from './postgres.ts'
import { ids, linkOf, type Row, real, sorted, walk } from './walk.ts'

const { sql, url } = await testDatabase()
const client = testClient(sql)
let sites: Row[]

const words = [
  'Zürich',
  'zürich',
  'Łódź',
  'x%y_z\\',
  'a,b',
  '"quoted"',
  'two\nlines',
  'CR\rLF\r\n',
  "'apostrophe",
  '=1+1',
  '-80C',
  '@SUM(A1)',
  '+49 30',
  '\ttab',
  ' space ',
  '🧪🧫',
  '東京',
  '\ufeffmark',
  'ÅNGSTRÖM',
]
const countries = [null, 'USA', 'Côte d’Ivoire', 'Åland', '', 'usa']

beforeAll(async () => {
  for (let i = 0; i < 240; i++) {
    await client.post('/site', {
      name: `${words[i % words.length]} ${i % 7}`,
      contact: i % 3 === 0 ? null : words[(i * 5) % words.length],
      country: countries[i % countries.length],
      postcode_or_zip: String(i * 37),
    })
  }
  sites = (await client.get('/sites')).json
  expect(sites).toHaveLength(240)
})

describe('filters', () => {
  const is = (column: string, test: (value: string) => boolean) => (site: Row) =>
    site[column] !== null && test(String(site[column]))
  const has = (part: string) => (value: string) => value.toLowerCase().includes(part.toLowerCase())

  test.each<[string, (site: Row) => boolean]>([
    ['country=USA', (site) => site.country === 'USA'],
    ['country=', (site) => site.country === ''],
    ['country__ne=USA', (site) => site.country !== 'USA'],
    ['country__isnull=true', (site) => site.country === null],
    ['country__isnull=false', (site) => site.country !== null],
    ['country__in=USA,usa', (site) => ['USA', 'usa'].includes(String(site.country))],
    ['id__gt=17&id__lte=100', (site) => Number(site.id) > 17 && Number(site.id) <= 100],
    ['id__gte=17&id__lt=20', (site) => Number(site.id) >= 17 && Number(site.id) < 20],
    ['id__in=1,2,3', (site) => Number(site.id) <= 3],
    ['country__gt=USA', is('country', (value) => Buffer.compare(Buffer.from(value), Buffer.from('USA')) > 0)],
    ['name__contains=Z%C3%9CR', is('name', has('zür'))],
    ['name__contains=zur', () => false],
    ['name__contains=%25y_', is('name', has('%y_'))],
    ['name__contains=%5C', is('name', has('\\'))],
    ['name__startswith=-80', is('name', (value) => value.startsWith('-80'))],
    ['contact__contains=o', is('contact', has('o'))],
    ['contact__startswith=%20', is('contact', (value) => value.startsWith(' '))],
    ['name__contains=a&name__contains=b', is('name', (value) => has('a')(value) && has('b')(value))],
    ['name=%F0%9F%A7%AA%F0%9F%A7%AB+1', (site) => site.name === '🧪🧫 1'],
  ])('?%s is what the same filter in JavaScript leaves', async (query, filter) => {
    const expected = sites.filter(filter)
    expect((await client.get(`/sites?${query}`)).json).toEqual(expected)
    expect((await client.get(`/sites/2/3?${query}`)).json).toEqual(expected.slice(2, 5))
    const counted = await client.get(`/sites?${query}&count=exact&limit=1`)
    expect(counted.headers.get('x-total-count')).toBe(String(expected.length))
  })

  test('a MAC or a UUID is found in any notation', async () => {
    const uuid = '0f8fad5b-d9cb-469f-a165-70867728950e'
    await client.post('/freezer/1', { name: '-80C', site_id: 1 })
    await client.post('/container/1', { freezer_id: 1, uuid })
    await client.post('/computer/1', { name: 'PC', site_id: 1, mac: '08:00:2b:01:02:03' })
    for (const mac of ['08:00:2b:01:02:03', '08-00-2B-01-02-03', '0800.2b01.0203', '08002b010203']) {
      expect(ids((await client.get(`/computers?mac=${mac}`)).json)).toEqual([1])
      expect((await client.get(`/site/2/computers?mac=${mac}`)).json).toEqual([])
    }
    for (const text of [uuid, uuid.toUpperCase(), uuid.replaceAll('-', '')]) {
      expect(ids((await client.get(`/containers?uuid=${text}`)).json)).toEqual([1])
      expect(ids((await client.get(`/freezer/1/containers?uuid=${text}`)).json)).toEqual([1])
    }
    expect((await client.get('/instruments?computer_id__isnull=true')).json).toEqual([
      { site_id: 1, site_name: sites[0]?.name, computer_id: null, freezer_id: 1, name: '-80C' },
    ])
    expect((await client.get('/site/999/computers?name=x')).status).toBe(404)
  })

  test.each([
    ['colour=red', 'colour', 'is not a parameter here'],
    ['__proto__=1', '__proto__', 'is not a parameter here'],
    ['constructor=1', 'constructor', 'is not a parameter here'],
    ['name__like=x', 'name__like', 'there'],
    ['id__contains=1', 'id__contains', 'id has ne'],
    ['id=x', 'id', 'whole number'],
    ['id=3000000000', 'id', 'whole number'],
    ['id__in=1,,2', 'id__in', 'whole number'],
    ['country__isnull=yes', 'country__isnull', 'true or false'],
    ['name=%00', 'name', 'NUL'],
    ['sort=colour', 'sort', 'colour is not a field'],
    ['sort=name,-name', 'sort', 'twice'],
    ['sort=', 'sort', 'not a field'],
    ['fields=id,password', 'fields', 'password is not a field'],
    ['limit=0', 'limit', 'from 1 to 1000'],
    ['limit=1001', 'limit', 'from 1 to 1000'],
    ['limit=1&limit=2', 'limit', 'twice'],
    ['count=all', 'count', 'exact or estimated'],
    ['format=xml', 'format', 'json, ndjson or csv'],
    ['cursor=x', 'cursor', 'limit'],
  ])('?%s is 400, and says why', async (query, field, message) => {
    const { status, json } = await client.get(`/sites?${query}`)
    expect(status).toBe(400)
    const error = json.errors.find((each: { field: string }) => each.field === field)
    expect(`${error?.field} ${error?.message}`).toContain(message === 'there' ? 'no such operator' : message)
  })

  test('many values are one parameter, and more than fit into a link are refused', async () => {
    const many = Array.from({ length: 3_000 }, (_, i) => 1 + (i % 9)).join(',')
    expect(ids((await client.get(`/sites?id__in=${many}`)).json)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9])
    const { status, json } = await client.get(`/sites?id__in=${many}&limit=2`)
    expect([status, json.errors[0].field]).toEqual([400, 'limit'])
  })

  test('a letter that becomes a backslash without its accent is found', async () => {
    const { json } = await client.post('/site', { name: 'full width \uff3c here' })
    expect(ids((await client.get('/sites?name__contains=%EF%BC%BC')).json)).toEqual([json.id])
    await client.delete(`/site/${json.id}`)
  })

  test('what is not UTF-8 is 400', async () => {
    expect((await client.get('/sites?name=%FF')).status).toBe(400)
  })

  test('a view or a write still has no parameters', async () => {
    expect((await client.get('/summary?country=USA')).status).toBe(400)
    expect((await client.request('POST', '/site?name=x')).status).toBe(400)
  })
})

describe('pages by keyset', () => {
  const sorts = ['', '-id', 'name', '-name', 'country', '-country', 'country,-name', '-contact,country', 'contact,-id']

  test.each(sorts.flatMap((sort) => [1, 7, 100].map((limit) => [sort, limit] as const)))(
    'sort=%s in pages of %i are the whole list, forth and back',
    async (sort, limit) => {
      const query = `${sort && `sort=${sort}&`}fields=id,name,country,contact`
      const { json: whole } = await client.get(`/sites?${query}`)
      expect(ids(whole)).toEqual(ids(sorted(sites, sort)))
      expect(await walk(client, `/sites?${query}&limit=${limit}`)).toEqual(whole)

      let last = `/sites?${query}&limit=${limit}`
      for (let next: string | undefined = last; next; next = linkOf((await client.get(next)).headers, 'next'))
        last = next
      expect(await walk(client, last, { rel: 'prev' })).toEqual(whole)
    },
  )

  test('with a filter they are the filtered list', async () => {
    const expected = sorted(
      sites.filter(({ country }) => country !== 'USA'),
      '-name',
    )
    expect(ids(await walk(client, '/sites?country__ne=USA&sort=-name&limit=9'))).toEqual(ids(expected))
  })

  test('instruments and nested lists have them too', async () => {
    for (let id = 10; id < 50; id++) {
      await client.post(`/freezer/${id}`, { name: `Freezer ${id % 5}`, site_id: 1 + (id % 3) })
      await client.post(`/computer/${id}`, { name: `Computer ${id % 4}`, site_id: 1 + (id % 3) })
    }
    for (const path of ['/instruments', '/site/2/instruments', '/site/2/freezers', '/computers']) {
      const { json: whole } = await client.get(path)
      expect(await walk(client, `${path}?limit=6`)).toEqual(whole)
      const { json: byName } = await client.get(`${path}?sort=-name`)
      expect(await walk(client, `${path}?sort=-name&limit=6`)).toEqual(byName)
      expect(new Set(byName.map(JSON.stringify))).toEqual(new Set(whole.map(JSON.stringify)))
    }
  })

  test('rows that come and go between pages make none of the others be skipped or repeated', async () => {
    let n = 0
    const added: number[] = []
    const between = async () => {
      const { json } = await client.post('/site', { name: `${words[n++ % words.length]} 3`, country: 'USA' })
      added.push(json.id)
      if (added.length > 3) await client.delete(`/site/${added.shift()}`)
    }
    const walked = ids(await walk(client, '/sites?sort=name&limit=5', { between }))
    for (const id of added) await client.delete(`/site/${id}`)
    expect(new Set(walked).size).toBe(walked.length)
    const stayed = new Set(ids(sites))
    expect(walked.filter((id) => stayed.has(id as number))).toEqual(ids(sorted(sites, 'name')))
  })

  test('a cursor of another list, filter or order, or that was changed, is 400', async () => {
    const next = linkOf((await client.get('/sites?limit=2&country=USA')).headers, 'next') ?? ''
    const cursor = new URL(next, 'http://x').searchParams.get('cursor') ?? ''
    expect((await client.get(`/sites?limit=5&country=USA&cursor=${cursor}`)).status).toBe(200)
    const forged = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const changed = Buffer.from(JSON.stringify([...forged.slice(0, -1), '4'])).toString('base64url')
    const typed = Buffer.from(JSON.stringify([...forged.slice(0, -1), "1'; drop"])).toString('base64url')
    for (const path of [
      `/freezers?limit=2&cursor=${cursor}`,
      `/site/1/freezers?limit=2&cursor=${cursor}`,
      `/sites?limit=2&country=usa&cursor=${cursor}`,
      `/sites?limit=2&country=USA&sort=name&cursor=${cursor}`,
      `/sites?limit=2&country=USA&cursor=${cursor.slice(0, -2)}`,
      `/sites?limit=2&country=USA&cursor=${changed}`,
      `/sites?limit=2&country=USA&cursor=${typed}`,
      '/sites?limit=2&country=USA&cursor=',
    ]) {
      const { status, json } = await client.get(path)
      expect([path, status, json.errors?.[0].field]).toEqual([path, 400, 'cursor'])
    }
  })
})

describe('pages by offset', () => {
  test('lead to the next and the one before', async () => {
    const page = await client.get('/sites/20/10')
    expect(linkOf(page.headers, 'next')).toBe('/sites/30/10')
    expect(linkOf(page.headers, 'prev')).toBe('/sites/10/10')
    expect(linkOf(page.headers, 'first')).toBe('/sites/0/10')
    expect(linkOf((await client.get('/sites/235/10?sort=name')).headers, 'next')).toBeUndefined()
    expect(await walk(client, '/sites/0/50?country=USA&sort=-name')).toEqual(
      sorted(
        sites.filter(({ country }) => country === 'USA'),
        '-name',
      ),
    )
  })

  test('have their limit in the path', async () => {
    expect((await client.get('/sites/0/10?limit=5')).json.errors).toEqual([
      { field: 'limit', message: 'is in the path already' },
    ])
  })
})

describe('formats', () => {
  const csvOptions = { bom: true, columns: true, record_delimiter: '\r\n' } as const

  test.each(['/sites', '/sites?sort=-name', '/sites/3/100', '/sites?limit=200'])(
    '%s as CSV has the same rows',
    async (path) => {
      const { json } = await client.get(path)
      const { text, headers } = await client.get(`${path}${path.includes('?') ? '&' : '?'}format=csv`)
      expect(headers.get('content-type')).toMatch(/^text\/csv/)
      expect(headers.get('content-disposition')).toBe('attachment; filename="sites.csv"')
      const rows = parse(text, csvOptions) as Record<string, string>[]
      expect(rows).toHaveLength(json.length)
      for (const [i, row] of rows.entries()) {
        const cells = Object.entries(row).map(([column, cell]) => [column, real(cell)])
        const values = Object.entries(json[i] as Row).map(([column, value]) => [column, String(value ?? '')])
        expect(cells).toEqual(values)
        for (const cell of Object.values(row)) expect(cell).not.toMatch(/^[-=+@\t\r]/)
      }
    },
  )

  test('CSV begins with the mark by which a spreadsheet knows UTF-8', async () => {
    const { bytes } = await client.get('/sites?format=csv')
    expect([...bytes.slice(0, 5)]).toEqual([0xef, 0xbb, 0xbf, ...Buffer.from('id')])
  })

  test('a row of one null is a line, too', async () => {
    for (const query of ['', '&limit=1']) {
      expect((await client.get(`/sites?id=1&fields=country&format=csv${query}`)).text).toBe('country\r\n\r\n')
    }
  })

  test('CSV tells empty text from null', async () => {
    const { text } = await client.get('/sites?fields=country,id&id__in=1,5&format=csv')
    expect(text).toBe('country,id\r\n,1\r\n"",5\r\n')
  })

  test('NDJSON has a row a line', async () => {
    const { json } = await client.get('/sites')
    for (const path of ['/sites?format=ndjson', '/sites/0/0?format=ndjson', '/sites?limit=500&format=ndjson']) {
      const { text } = await client.get(path)
      expect(text.endsWith('\n')).toBe(true)
      expect(
        text
          .slice(0, -1)
          .split('\n')
          .map((line) => JSON.parse(line)),
      ).toEqual(json)
    }
  })

  test('a list of none is [], nothing, or a line of names', async () => {
    for (const query of ['name=none', 'name=none&limit=5']) {
      expect((await client.get(`/sites?${query}`)).text).toBe('[]')
      expect((await client.get(`/sites?${query}&format=ndjson`)).text).toBe('')
      expect((await client.get(`/sites?${query}&format=csv&fields=id,name`)).text).toBe('id,name\r\n')
    }
  })

  test('the headers Accept and X-Fields do the same, and the answer says that they count', async () => {
    const ask = (headers: Record<string, string>) => client.request('GET', '/sites/0/2', { headers })
    const csv = await ask({ Accept: 'text/csv', 'X-Fields': 'id, name' })
    expect(csv.text.split('\r\n')[0]).toBe('id,name')
    expect((await ask({ Accept: 'text/html,application/json;q=0.9,text/csv;q=0.1' })).headers.get('content-type')).toBe(
      'application/json',
    )
    expect((await ask({ Accept: 'application/x-ndjson' })).text.split('\n')).toHaveLength(3)
    for (const [accept, type] of [
      ['TEXT/CSV', 'text/csv; charset=utf-8; header=present'],
      ['*/*, text/csv;q=0.1', 'application/json'],
      ['text/csv;q=0, application/json;q=0.1', 'application/json'],
      ['image/png', 'application/json'],
    ] as const) {
      expect((await ask({ Accept: accept })).headers.get('content-type')).toBe(type)
    }
    for (const { headers } of [csv, await ask({})]) expect(headers.get('vary')).toBe('Accept, X-Fields')
    expect((await ask({ 'X-Fields': 'id,colour' })).json.errors[0].field).toBe('X-Fields')
  })

  test('fields are in the order in which they are asked for', async () => {
    const { text } = await client.get('/sites?fields=country,id&limit=1')
    expect(text).toBe('[{"country":null,"id":1}]')
  })
})

test('a single row has only the fields that are asked for, in that order', async () => {
  const ask = (path: string, headers = {}) => client.request('GET', path, { headers })
  const whole = await ask('/site/2')
  const { text, headers } = await ask('/site/2?fields=country,id')
  expect(text).toBe('{"country":"USA","id":2}')
  const etag = headers.get('etag') ?? ''
  expect(etag).toBe(whole.headers.get('etag')?.replace(/"$/, ';country,id"'))
  expect((await ask('/site/2?fields=country,id', { 'If-None-Match': etag })).status).toBe(304)
  expect((await ask('/site/2', { 'If-None-Match': etag })).status).toBe(200)
  expect(
    (
      await client.request('POST', '/site/2', {
        body: 'contact=',
        headers: { 'If-Match': etag, 'Content-Type': 'application/x-www-form-urlencoded' },
      })
    ).status,
  ).toBe(200)
  expect((await ask('/site/2', { 'X-Fields': 'id' })).text).toBe('{"id":2}')
  for (const query of ['fields=colour', 'country=USA', 'fields=id&fields=id', 'fields=']) {
    expect((await ask(`/site/2?${query}`)).status).toBe(400)
  }
  expect((await ask('/site/2', { 'X-Fields': 'colour' })).json.errors[0].field).toBe('X-Fields')
  expect(whole.headers.get('vary')).toBe('X-Fields')
})

test('a count may be estimated', async () => {
  await run(url, 'analyze site')
  const { headers } = await client.get('/sites?limit=1&count=estimated')
  expect(Number(headers.get('x-total-count'))).toBe(240)
})
