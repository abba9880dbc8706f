import { describe, expect, test } from 'vitest'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { sendStrings } from './round_trip.ts'

// What requests may hold that no well-made client sends. body.test.ts has what they do send.

const { sql, url } = await testDatabase()
const client = testClient(sql)

const asJson = { 'Content-Type': 'application/json' }
const json = (body: string | Uint8Array<ArrayBuffer>, path = '/site/1') =>
  client.request('POST', path, { body, headers: asJson })

const whole = { name: 'Site 1', contact: 'Ada', address: '1 Rue A\r\nGenève', country: 'CH' }

/** Whether the request is refused with 400 and leaves the row as it was. */
async function refused(request: () => Promise<{ status: number; json: { detail: string } }>) {
  const before = (await client.post('/site/1', whole)).text
  const answer = await request()
  expect(answer.status).toBe(400)
  expect((await client.get('/site/1')).text).toBe(before)
  return answer.json
}

describe('names that JSON has twice', () => {
  test.each([
    ['{"name": "a", "name": "b"}', 'name'],
    ['{"name": "a", "name": "a"}', 'name'],
    ['{"name": "a", "contact": null, "contact": null, "country": "b"}', 'contact'],
    ['{"name": "a", "n\\u0061me": "b"}', 'name'],
    ['{"name": "a: b", "country": "c", "name" : 1}', 'name'],
    ['{"name":1,"name":2}', 'name'],
    ['{"": 1, "": 2}', ''],
    ['{"name": {"deep": 1, "deep": 2}}', 'deep'],
    ['{"name": [{"deep": 1}, {"deep": 1, "deep": 2}]}', 'deep'],
    ['{"a": {"name": 1}, "name": "x", "name": "y"}', 'name'],
    ['{"__proto__": 1, "__proto__": 2}', '__proto__'],
  ])('%s is refused, and the answer names it', async (body, field) => {
    const answer = await refused(() => json(body))
    expect(answer).toMatchObject({
      detail: `The JSON gives ${field} twice.`,
      errors: [{ field, message: 'is given twice' }],
    })
  })

  test('a name is not given twice by its text, or by that of other objects', async () => {
    const answer = await json('{"name": "\\"name\\": 1, \\"name\\": {", "contact": "name", "country": "{:}\\\\"}')
    expect(answer.json).toMatchObject({ name: '"name": 1, "name": {', contact: 'name', country: '{:}\\' })
    const nested = await json('{"name": {"a": {"a": 1}, "b": [{"a": 1}, {"a": 2}]}}')
    expect(nested.json.detail).toBe('name: must be text or a number')
  })

  test('80,000 names are looked through without delay', async () => {
    const names = Array.from({ length: 80_000 }, (_, i) => `"f${i}":{}`).join()
    const start = performance.now()
    expect((await json(`{${names},"f0":1}`)).json.detail).toBe('The JSON gives f0 twice.')
    expect(performance.now() - start).toBeLessThan(15_000)
  })

  test('in a search, too', async () => {
    expect((await json('{"q": "a", "q": "b"}', '/search')).json.detail).toBe('The JSON gives q twice.')
  })
})

describe('JSON', () => {
  test.each([5_000, 100_000, 500_000])('that nests %i deep is refused without delay', async (depth) => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      if (depth * open.length > 1e6) continue
      const start = performance.now()
      const answer = await refused(() => json(`{"name": ${open.repeat(depth)}1${close.repeat(depth)}}`))
      expect(answer.detail).toMatch(/must not nest deeper than 64|must be a JSON object/)
      expect(performance.now() - start).toBeLessThan(15_000)
      expect((await refused(() => json(open.repeat(depth)))).detail).toMatch(/64|must be/)
    }
  })

  test.each(['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'then', 'toJSON', 'length'])(
    '%s is a field that is not there, and reaches nothing',
    async (field) => {
      for (const value of ['{"name": "x", "admin": true}', '"x"', 'null', '[]', '{"prototype": {"admin": true}}']) {
        const answer = await refused(() => json(`{"name": "a", "${field}": ${value}}`))
        expect(answer).toMatchObject({ errors: [{ field, message: 'is not a field here' }] })
      }
      expect(await refused(() => client.form('/site/1', `name=a&${field}=b`))).toMatchObject({ errors: [{ field }] })
      // It is no value for a field that is missing either.
      expect((await json(`{"${field}": {"name": "x"}}`, '/site')).status).toBe(400)
      expect('admin' in {}).toBe(false)
      for (const path of [`/sites?${field}=x`, `/summary?${field}=x`, `/site/1?${field}=x`, `/search?q=x&${field}=x`]) {
        expect((await client.get(path)).json.errors, path).toMatchObject([{ field }])
      }
      for (const path of [`/sites?sort=${field}`, `/sites?fields=${field}`, `/sites?name__${field}=x`]) {
        expect((await client.get(path)).status, path).toBe(400)
      }
      expect((await client.get(`/docs/${field}`)).status).toBe(404)
      expect((await client.post('/search', { q: 'x', types: [field] })).status).toBe(400)
      expect((await client.get(`/sites?format=${field}`)).status).toBe(400)
    },
  )

  // Each in place of a letter of a name; what RFC 3629 does not allow.
  test.each([
    ['a byte that goes on with nothing', [0x80]],
    ['a byte that begins nothing', [0xff]],
    ['half a character', [0xc3]],
    ['half of four bytes', [0xf0, 0x9f]],
    ['a slash in two bytes', [0xc0, 0xaf]],
    ['NUL in two bytes', [0xc0, 0x80]],
    ['a quotation mark in three bytes', [0xe0, 0x80, 0xa2]],
    ['half a surrogate pair', [0xed, 0xa0, 0x80]],
    ['a surrogate pair', [0xed, 0xa0, 0xbd, 0xed, 0xb7, 0xaa]],
    ['more than there is', [0xf4, 0x90, 0x80, 0x80]],
    ['five bytes', [0xf8, 0x88, 0x80, 0x80, 0x80]],
  ])('UTF-8 with %s is refused, in forms too', async (_, bytes) => {
    const [before, after] = [Buffer.from('{"name": "Z'), Buffer.from('rich"}')]
    expect((await refused(() => json(new Uint8Array([...before, ...bytes, ...after])))).detail).toMatch(/UTF-8/)
    const escaped = bytes.map((byte) => `%${byte.toString(16)}`).join('')
    expect((await refused(() => client.form('/site/1', `name=Z${escaped}`))).detail).toMatch(/UTF-8/)
    expect((await client.get(`/sites?name=Z${escaped}`)).status).toBe(400)
    expect((await client.get(`/search?q=Z${escaped}`)).status).toBe(400)
    expect([400, 404]).toContain((await client.get(`/site/1${escaped}`)).status)
    expect([400, 404]).toContain((await client.get(`/site${escaped}1`)).status)
  })

  test.each(['\\u0000', '\\ud800', '\\udc00', '\\ud83e', '\\udfff\\ud800', 'a\\u0000', '\\u0000\\r\\n'])(
    '%s in a string is refused in every field',
    async (half) => {
      for (const field of ['name', 'contact', 'address', 'state_or_region', 'country', 'postcode_or_zip']) {
        const answer = await refused(() => json(`{"${field}": "x${half}y"}`))
        expect(answer).toMatchObject({ errors: [{ field }] })
      }
      await refused(() => json(`{"name": "x", "a${half}": 1}`))
      await refused(() => json(`{"q": "x${half}"}`, '/search'))
      for (const [path, field] of [
        ['/container/1', 'description'],
        ['/container/1', 'uuid'],
        ['/computer/1', 'mac'],
        ['/computer/1', 'name'],
        ['/freezer/1', 'name'],
        ['/freezer/1', 'site_id'],
      ] as const) {
        expect((await json(`{"${field}": "1${half}"}`, path)).status, field).toBe(400)
      }
    },
  )

  test('raw controls in a string are malformed, and bytes before it are not overlooked', async () => {
    for (const control of ['\0', '\r\n', '\x01', '\x1f']) await refused(() => json(`{"name": "a${control}b"}`))
    for (const first of ['\ufeff\ufeff', '\0', '\u00a0', '//\n', '/* */'])
      await refused(() => json(`${first}{"name": "b"}`))
    for (const last of ['\0', '{}', ',', '\u2028', ';']) await refused(() => json(`{"name": "b"}${last}`))
  })
})

const asId = ['0x10', '1e3', '1E3', '+1', '-1', '1.0', '1.', '01', ' 1', '1 ', '1_000', '١', '１', '1n', 'Infinity', '']
const ids = [...asId, '12345678901234567890', '99999999999999999999', '2147483648', '-2147483649', '1\u0000', "1'--"]

describe('whole numbers', () => {
  test.each(ids)('%j is none: not in a path, a filter, a reference or a page', async (text) => {
    const encoded = encodeURIComponent(text)
    const answers = [
      ...['site', 'freezer', 'computer', 'container'].map((one) => client.get(`/${one}/${encoded}`)),
      client.get(`/sites/0/${encoded}`),
      client.get(`/sites/${encoded}/1`),
      client.get(`/site/${encoded}/freezers`),
      client.get(`/sites?limit=${encoded}`),
      client.post('/site/1', { name: 'x', id: text }),
      client.post('/freezer/1', { name: 'x', site_id: text }),
      client.post('/search', { q: 'x', limit: text }),
      client.post('/search', { q: 'x', offset: text }),
      client.form('/freezer/1', `name=x&site_id=${encoded}`),
    ]
    for (const { status } of await Promise.all(answers)) expect([400, 404, 405]).toContain(status)
    // Of these, the filters take those below 0, which the ids of no rows are.
    if (!/^-1$|^01$/.test(text)) expect((await client.get(`/sites?id=${encoded}`)).status).toBe(400)
  })

  test.each(['1e3', '1.0', '1E0', '-1', '12345678901234567890', '1e400', '0.1e1', '-0'])(
    'as a number of JSON, %s is no id, and is kept as it is written in a text',
    async (number) => {
      await client.post('/site/1', whole)
      for (const body of [`{"name": "x", "id": ${number}}`, `{"site_id": ${number}}`]) await refused(() => json(body))
      expect((await json(`{"postcode_or_zip": ${number}}`)).json.postcode_or_zip).toBe(number)
    },
  )
})

describe('the ends of lines', () => {
  const text = 'a\r\nSet-Cookie: b=c\r\n\r\n<html>\r\rb\n\n'

  test('are stored as they are, and are in no header', async () => {
    const site = {
      name: text,
      contact: text,
      address: text,
      state_or_region: text,
      country: text,
      postcode_or_zip: text,
    }
    for (const answer of [
      await client.post('/site/2', site),
      await client.form('/site/2', `${new URLSearchParams(site)}`),
      await client.get('/site/2'),
    ]) {
      expect(answer.json).toEqual({ id: 2, ...site })
      expect([...answer.headers.values()].join()).not.toContain('Set-Cookie')
    }
    await client.post('/freezer/2', { name: text, site_id: 2 })
    await client.post('/computer/2', { name: text, site_id: 2 })
    await client.post('/container/2', { description: text, freezer_id: 2 })
    expect((await client.get('/container/2')).json.description).toBe(text)
    expect((await client.get('/container/2/location')).json).toMatchObject({ freezer_name: text, site_name: text })
    expect((await client.get('/site/2/instruments')).json).toMatchObject([{ name: text }, { name: text }])
    expect(
      (await client.get('/search?q=Set-Cookie')).json.results.map(({ label }: { label: string }) => label),
    ).toEqual([text, text, text, text])
    const page = await client.get(`/sites?limit=1&name=${encodeURIComponent(text)}`)
    expect(page.json).toEqual([{ id: 2, ...site }])
    const link = page.headers.get('link') ?? ''
    expect(link).toMatch(/^<[^<>"\s]*>; rel="first"$/)
    expect(link).toContain('%0D%0ASet-Cookie')
  })

  test('in the header of a file there is nothing of the request but its path', async () => {
    for (const path of [
      '/sites?format=csv',
      '/sites/?format=csv',
      '/%73ites?format=csv',
      '/site/2/freezers?format=csv',
    ]) {
      const disposition = (await client.get(path)).headers.get('content-disposition')
      expect(disposition).toMatch(/^attachment; filename="[a-z\d-]+\.csv"$/)
    }
    for (const path of ['/sites"?format=csv', '/sites%22?format=csv', '/sites%0d%0aX:y?format=csv']) {
      expect((await client.get(path)).status).toBe(404)
    }
  })
})

describe('paths', () => {
  test.each<[path: string, status: number]>([
    ['/site%2F1', 404],
    ['/site/1%2Foverview', 400],
    ['/site/1%2f', 400],
    ['/site%5C1', 404],
    ['/site/%00', 400],
    ['/site/1%00', 400],
    ['/site%00/1', 404],
    ['/site/%0d%0a1', 400],
    ['/site/%252F1', 400],
    ['/site/..%2Fsites', 400],
    ['/docs/..%2F..%2Fpackage.json', 404],
    ['/docs/%2e%2e%2fpackage.json', 404],
    ['/site/%', 400],
    ['/site/%zz', 400],
    ['/site/%C0%B1', 400],
    ['/%', 404],
  ])('%s is %i', async (path, status) => {
    expect((await client.get(path)).status).toBe(status)
  })

  test.each<[what: string, path: string, status: number]>([
    ['folders', `/${'a/'.repeat(50_000)}`, 404],
    ['an id', `/site/${'1'.repeat(100_000)}`, 400],
    ['a value', `/sites?name=${'a'.repeat(100_000)}`, 400],
    ['parameters', `/sites?${'a=b&'.repeat(25_000)}`, 400],
    ['values', `/sites?id__in=${'1,'.repeat(50_000)}x`, 400],
    ['an order', `/sites?sort=${'name,'.repeat(20_000)}id`, 400],
  ])('with 100 kB of %s, one is refused', async (_, path, status) => {
    expect((await client.get(path)).status).toBe(status)
  })
})

test('random strings of any characters come back as they were sent, or are refused', async () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e9)
  const count = 20_000
  const { stored, refused } = await sendStrings(url, count, seed)
  console.info(
    `Of ${stored + refused} random strings ${stored} were stored; with SEED=${seed} they are the same again.`,
  )
  expect(stored + refused).toBeGreaterThanOrEqual(count)
  expect(refused).toBeGreaterThan(0)
  expect(stored).toBeGreaterThan(count / 2)
}, 60_000)
