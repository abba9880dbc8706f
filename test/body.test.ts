import pino from 'pino'
import { describe, expect, test } from 'vitest'
import { serve } from '../src/server.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'

const { sql, url } = await testDatabase()
const client = testClient(sql)

const post = (body: string | Uint8Array<ArrayBuffer>, headers: Record<string, string>) =>
  client.request('POST', '/site/1', { body, headers })

describe('media types', () => {
  test.each(['application/json', 'application/json; charset=utf-8', 'Application/JSON;Charset="UTF-8"'])(
    '%s is JSON',
    async (type) => {
      const answer = await post('{"name": "Zürich 🧪"}', { 'Content-Type': type })
      expect(answer.json.name).toBe('Zürich 🧪')
    },
  )

  test.each(['text/plain', 'application/xml', 'multipart/form-data; boundary=x', 'application/json-patch+json', ''])(
    '%s is 415',
    async (type) => {
      const answer = await post('{"name": "x"}', { 'Content-Type': type })
      expect(answer.status).toBe(415)
      expect(answer.json.detail).toContain('application/json')
    },
  )

  test('no body at all is 415, and says what to send', async () => {
    expect((await client.request('POST', '/site/1')).status).toBe(415)
  })

  test('a compressed body is 415', async () => {
    const answer = await post('x', { 'Content-Type': 'application/json', 'Content-Encoding': 'gzip' })
    expect(answer.status).toBe(415)
  })
})

describe('JSON', () => {
  const json = (body: string | Uint8Array<ArrayBuffer>) => post(body, { 'Content-Type': 'application/json' })

  test.each(['', '{', '{"name": }', "{'name': 'x'}", '{"name": "x",}', '{"name": 01}', '{"name": NaN}', '{"a": "\n"}'])(
    '%j is malformed',
    async (body) => {
      expect((await json(body)).status).toBe(400)
    },
  )

  test.each(['[]', '"name"', '1', 'null', '[{"name": "x"}]', 'true'])('%s is not an object', async (body) => {
    const answer = await json(body)
    expect(answer.status).toBe(400)
    expect(answer.json.detail).toContain('must be a JSON object')
  })

  test('bytes that are not UTF-8 are refused, and nothing is stored', async () => {
    await json('{"name": "before"}')
    const answer = await json(new Uint8Array([...Buffer.from('{"name": "Z'), 0xfc, ...Buffer.from('rich"}')]))
    expect(answer.status).toBe(400)
    expect(answer.json.detail).toBe('The body must be UTF-8.')
    expect((await client.get('/site/1')).json.name).toBe('before')
  })

  test('another charset is refused, whatever the bytes are', async () => {
    const answer = await post('{"name": "x"}', { 'Content-Type': 'application/json; charset=iso-8859-1' })
    expect(answer.status).toBe(400)
  })

  test('it nests at most 64 deep, counted outside of text', async () => {
    const nested = (depth: number) => `{"name": ${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`
    expect((await json(nested(64))).json.errors[0].field).toBe('name')
    expect((await json(nested(65))).json.detail).toBe('The JSON must not nest deeper than 64.')
    expect((await json(nested(400_000))).json.detail).toBe('The JSON must not nest deeper than 64.')
    const text = '[{'.repeat(1_000)
    expect((await json(`{"name": "\\"${text}"}`)).json.name).toBe(`"${text}`)
  })

  test('all fields that are wrong are named at once', async () => {
    const answer = await json('{"name": " ", "country": [], "colour": 1}')
    expect(answer.status).toBe(400)
    expect(answer.json.errors).toEqual([
      { field: 'name', message: 'must not be blank' },
      { field: 'country', message: 'must be text, a number or null' },
      { field: 'colour', message: 'is not a field here' },
    ])
  })
})

describe('forms', () => {
  test('what curl -d sends is stored as it is meant', async () => {
    const answer = await client.form(
      '/site/1',
      'name=Site+9&address=1%20Rue+A%2C+Gen%C3%A8ve&postcode_or_zip=01234&contact=',
    )
    expect(answer.json).toMatchObject({
      name: 'Site 9',
      address: '1 Rue A, Genève',
      postcode_or_zip: '01234',
      contact: null,
    })
  })

  test('an empty value means null', async () => {
    await client.post('/site/1', { name: 'Site 1', country: 'USA' })
    expect((await client.form('/site/1', 'country=')).json.country).toBeNull()
    expect((await client.form('/site/1', 'name=')).status).toBe(400)
  })

  test('text that was not encoded comes as it is: 100% = a & b is up to the client, 100% is not', async () => {
    expect((await client.form('/site/1', 'name=100%')).json.name).toBe('100%')
    expect((await client.form('/site/1', 'name=5% agar=yes')).json.name).toBe('5% agar=yes')
    expect((await client.form('/site/1', 'name=Zürich')).json.name).toBe('Zürich')
  })

  test('escapes that are not UTF-8 are refused', async () => {
    for (const name of ['%FC', '%ff%fe', '%ED%A0%80', 'Z%C3']) {
      expect((await client.form('/site/1', `name=${name}`)).status).toBe(400)
    }
  })

  test('NUL is refused', async () => {
    expect((await client.form('/site/1', 'name=a%00b')).json.errors[0].field).toBe('name')
  })

  test('a form of very many fields is refused without delay', async () => {
    const fields = Array.from({ length: 100_000 }, (_, i) => `f${i}=`).join('&')
    expect((await client.form('/site/1', fields)).status).toBe(400)
  })

  test('a field that is given twice is refused', async () => {
    const answer = await client.form('/site/1', 'name=a&name=b')
    expect(answer.status).toBe(400)
    expect(answer.json.detail).toBe('The form gives name twice.')
  })

  test('an unknown field is named', async () => {
    expect((await client.form('/site/1', 'name=a&__proto__=b')).json.errors[0].field).toBe('__proto__')
  })
})

describe('size', () => {
  const ofSize = (bytes: number) => `{"name": "x"${' '.repeat(bytes - 13)}}`

  test('1 MiB is taken, a byte more is 413', async () => {
    const headers = { 'Content-Type': 'application/json' }
    expect((await post(ofSize(1024 * 1024), headers)).status).toBe(200)
    const answer = await post(ofSize(1024 * 1024 + 1), headers)
    expect(answer.status).toBe(413)
    expect(answer.json.detail).toBe('The body must have at most 1048576 bytes.')
  })
})

test('over a socket, too, with and without a length', async ({ onTestFinished }) => {
  const server = await serve({ databaseUrl: url, host: '127.0.0.1', port: 0 }, pino({ level: 'silent' }))
  onTestFinished(server.stop)
  const send = async (bytes: number, chunked: boolean) => {
    const text = `{"name": "x"${' '.repeat(bytes - 13)}}`
    const body = chunked ? new Blob([text]).stream() : text
    const init = { method: 'POST', body, headers: { 'Content-Type': 'application/json' }, duplex: 'half' as const }
    return (await fetch(`${server.url}/site/1`, init)).status
  }
  for (const chunked of [false, true]) {
    expect(await send(1024 * 1024, chunked)).toBe(200)
    expect(await send(1024 * 1024 + 1, chunked)).toBe(413)
  }
})

describe('identifiers', () => {
  test.each([
    '08:00:2b:01:02:03',
    '08-00-2b-01-02-03',
    '08-00-2B-01-02-03',
    '08002b:010203',
    '08002b-010203',
    '0800.2b01.0203',
    '0800-2b01-0203',
    '08002b010203',
    '8:0:2b:1:2:3',
  ])('the MAC address %s is answered as 08:00:2b:01:02:03, and is taken once', async (mac) => {
    await sql`truncate site, computer, freezer, container`
    await client.post('/site/1', { name: 'Site 1' })
    const stored = await client.post('/computer/1', { name: 'Computer 1', site_id: 1, mac })
    expect(stored.json.mac).toBe('08:00:2b:01:02:03')
    const second = await client.post('/computer', { name: 'Computer 2', site_id: 1, mac: '08002b010203' })
    expect(second.status).toBe(409)
    expect(second.json.errors).toEqual([{ field: 'mac', message: 'another computer has this MAC address' }])
    expect((await client.post('/computer/1', { mac })).status).toBe(200)
  })

  test.each([
    '08:00:2b:01:02',
    '08:00:2b:01:02:03:04',
    '08:00-2b:01:02:03',
    '0800.2b01-0203',
    '08:00:2g:01:02:03',
    ' 08:00:2b:01:02:03',
    '08002b010203\n',
    '',
    '0x8:00:2b:01:02:03',
  ])('%j is no MAC address', async (mac) => {
    const answer = await client.post('/computer/1', { mac })
    expect(answer.status).toBe(400)
    expect(answer.json.errors[0].field).toBe('mac')
  })

  const uuid = '0f8fad5b-d9cb-469f-a165-70867728950e'

  test.each([
    uuid,
    uuid.toUpperCase(),
    uuid.replaceAll('-', ''),
    `{${uuid}}`,
    '0f8f-ad5b-d9cb-469f-a165-7086-7728-950e',
    '0f8fad5b-d9cb469f-a16570867728950e',
  ])('the UUID %s is answered lowercase with hyphens, and is taken once', async (notation) => {
    await sql`truncate site, computer, freezer, container`
    await client.post('/site/1', { name: 'Site 1' })
    await client.post('/freezer/1', { name: '-20C', site_id: 1 })
    const stored = await client.post('/container/1', { freezer_id: 1, uuid: notation })
    expect(stored.json.uuid).toBe(uuid)
    const second = await client.post('/container', { freezer_id: 1, uuid })
    expect(second.status).toBe(409)
    expect(second.json.errors).toEqual([{ field: 'uuid', message: 'another container has this UUID' }])
  })

  test.each([
    uuid.slice(1),
    `${uuid}0`,
    `{${uuid}`,
    `${uuid}}`,
    uuid.replace('f', 'g'),
    ` ${uuid}`,
    '',
    uuid.replace('-', '--'),
  ])('%j is no UUID', async (notation) => {
    const answer = await client.post('/container/1', { uuid: notation })
    expect(answer.status).toBe(400)
    expect(answer.json.errors[0].field).toBe('uuid')
  })

  test('a container without a UUID gets one of its own, and keeps it', async () => {
    await sql`truncate site, computer, freezer, container`
    await client.post('/site/1', { name: 'Site 1' })
    await client.post('/freezer/1', { name: '-20C', site_id: 1 })
    const created = [
      await client.post('/container/1', { freezer_id: 1 }),
      await client.post('/container', { freezer_id: 1 }),
    ]
    for (const { json } of created)
      expect(json.uuid).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
    expect(created[0]?.json.uuid).not.toBe(created[1]?.json.uuid)
    expect((await client.post('/container/1', { description: 'x' })).json.uuid).toBe(created[0]?.json.uuid)
  })
})
