import { readFile } from 'node:fs/promises'
import pino from 'pino'
import * as v from 'valibot'
import { beforeEach, describe, expect, test } from 'vitest'
import { bodies, compared, type Part } from '../src/api/description_schemas.ts'
import { Characters, Id, Integer, MacText, Name, Page, Text, Uuid } from '../src/api/schema.ts'
import { SearchBody } from '../src/api/search.ts'
import { createApp } from '../src/app.ts'
import { connect } from '../src/database/connect.ts'
import { toProblem } from '../src/errors.ts'
import { runScript } from '../src/scripts.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'

const { sql, url } = await testDatabase()
const client = testClient(sql)
const document = (await client.get('/openapi.json')).json

type Operation = {
  path: string
  method: string
  operationId: string
  parameters: Part[]
  requestBody?: { content: Record<string, { example: Record<string, unknown> }> }
  responses: Record<string, Part>
}

/** What a $ref stands for. */
const resolved = (part: Part): Part =>
  typeof part.$ref === 'string'
    ? part.$ref
        .slice(2)
        .split('/')
        .reduce((within, name) => within[name], document)
    : part

const operations: Operation[] = Object.entries(document.paths as Record<string, Record<string, Operation>>).flatMap(
  ([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      ...operation,
      path,
      method: method.toUpperCase(),
      parameters: operation.parameters.map(resolved),
      responses: Object.fromEntries(
        Object.entries(operation.responses).map(([status, part]) => [status, resolved(part as Part)]),
      ),
    })),
)

const container = { uuid: '0f8fad5b-d9cb-469f-a165-70867728950e', description: 'Plasmid prep', freezer_id: 1 }

beforeEach(async () => {
  await sql`truncate site, freezer, computer, container restart identity`
  await runScript(url, 'mock_data')
  await client.post('/container', container)
})

test('every route is in the description, and the other way round', () => {
  const routes = createApp({ sql, log: pino({ level: 'silent' }) })
    .routes.filter(({ method }) => method !== 'ALL')
    .map(({ method, path }) => `${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`)
  const described = operations.map(({ method, path }) => `${method} ${path}`)
  expect(described.toSorted()).toEqual([...new Set(routes)].toSorted())
})

/** The address of an operation, with the examples of its parameters; DELETE names its row in the answer. */
function addressOf({ path, method, parameters }: Operation, answer: unknown) {
  const given = parameters.filter(({ example }) => example !== undefined)
  const query = given.filter((parameter) => parameter.in === 'query')
  const id = method === 'DELETE' ? /\d+/.exec((answer as { message: string }).message)?.[0] : undefined
  const address = given
    .filter((parameter) => parameter.in === 'path')
    .reduce((address, { name, example }) => address.replace(`{${name}}`, id ?? String(example)), path)
  return query.length === 0 ? address : `${address}?${query.map(({ name, example }) => `${name}=${example}`)}`
}

const examples = operations.flatMap((operation) =>
  Object.entries(operation.responses)
    .filter(([status]) => status.startsWith('2'))
    .flatMap(([status, { content = {} }]) =>
      Object.entries(content as Record<string, { example?: unknown }>).flatMap(([type, { example }]) =>
        Object.keys(operation.requestBody?.content ?? { none: {} }).map((sent) => ({
          operation,
          status,
          type,
          example,
          sent,
        })),
      ),
    ),
)

test.for(examples)('$operation.method $operation.path answers its $type, asked with $sent', async (shown) => {
  const { operation, status, type, example, sent } = shown
  const fields = operation.requestBody?.content[sent]?.example ?? {}
  const form = Object.entries(fields).map(([name, value]): [string, string] => [name, String(value)])
  const answer = await client.request(operation.method, addressOf(operation, example), {
    headers: { Accept: type, ...(operation.requestBody ? { 'Content-Type': sent } : {}) },
    ...(operation.requestBody && {
      body: sent === 'application/json' ? JSON.stringify(fields) : String(new URLSearchParams(form)),
    }),
  })
  expect(answer.status).toBe(Number(status))
  for (const [name, header] of Object.entries(operation.responses[status]?.headers as Record<string, Part>)) {
    if (resolved(header).required) expect(answer.headers.get(name)).toBeTruthy()
  }
  if (example === undefined) return expect(operation.path).toMatch(/^\/(docs|openapi\.json|status|metrics)/)
  expect(answer.headers.get('content-type')).toMatch(type)
  const text = new TextDecoder('utf-8', { ignoreBOM: true }).decode(answer.bytes)
  expect(type.endsWith('/json') ? JSON.parse(text) : text).toEqual(example)
})

type Answer = { content?: Record<string, { examples: Record<string, { summary: string; value: unknown }> }> }

const problems = Object.values(document.components.responses as Record<string, Answer>).flatMap(({ content = {} }) =>
  Object.values(content['application/problem+json']?.examples ?? {}),
)

test.for(problems)('the problem of $summary is what it is answered with', async ({ summary, value }) => {
  const [, method, path, header, sent, body] =
    /^(GET|POST|DELETE) (\S+?)(?: (If-Match|Sec-Fetch-Site): (\S+))?(?: (\{.*\}))?$/.exec(summary) ?? []
  if (!method || !path) return expect(JSON.parse(JSON.stringify(await problemOf(summary)))).toEqual(value)
  const answer = await client.request(method, path, {
    headers: { ...(body && { 'Content-Type': 'application/json' }), ...(header && sent && { [header]: sent }) },
    ...(body && { body }),
  })
  expect(answer.json).toEqual(value)
  expect(answer.status).toBe(answer.json.status)
})

async function problemOf(summary: string) {
  if (summary === 'A bug') return toProblem(new Error('a bug'))
  if (summary.startsWith('POST /site, ')) return (await client.form('/site', `name=${'a'.repeat(2 ** 20)}`)).json
  expect(summary).toBe('No connection to the database')
  const nowhere = connect('postgresql://nobody@127.0.0.1:1/nothing', { max: 1 })
  const answer = await testClient(nowhere).get('/site/1')
  await nowhere.end()
  expect(answer.headers.get('retry-after')).toBe('1')
  return answer.json
}

describe('the description of a value says what its check does', () => {
  const { Offset, SearchText, ...others } = {
    Offset: Page.entries.offset,
    SearchText: SearchBody.entries.q,
    SearchTypes: SearchBody.entries.types.wrapped,
    SearchLimit: SearchBody.entries.limit.wrapped,
  }
  const checks = { Id, Offset, Name, Text, SearchText, ...others }
  const texts = [
    '',
    ' ',
    'a',
    '\u00a0\ufeff',
    'a\0b',
    '\ud83e',
    '🧪',
    '🧪'.repeat(200),
    'b'.repeat(201),
    '🧪'.repeat(10_000),
    'c'.repeat(10_001),
  ]
  const numbers = [
    '0',
    '1',
    '01',
    '-1',
    '1.5',
    '99',
    '499',
    '500',
    '501',
    '999',
    '2147483647',
    '2147483648',
    '3000000000',
    '9999999999',
    '1e3',
  ]
  const types = ['site', 'site,freezer', 'site,', 'Site', 'sites', ',']
  const macs = [
    '08:00:2b:01:02:03',
    '8:0:2B:1:2:3',
    '08-00-2b-01-02-03',
    '08002b:010203',
    '0800.2b01.0203',
    '0800.2b01-0203',
    '08002b010203',
    '08002b01020g',
  ]
  const uuids = [
    '0F8FAD5BD9CB469FA16570867728950E',
    '{0f8fad5b-d9cb-469f-a165-70867728950e}',
    '{0f8fad5b-d9cb-469f-a165-70867728950e',
    '0f8f',
  ]
  const values = [...texts, ...numbers, ...types, ...macs, ...uuids, null]

  test.each(Object.entries({ ...checks, Uuid, Mac: v.nullable(MacText) }))('%s', (name, check) => {
    const schema = document.components.schemas[name]
    for (const value of values) expect([value, fits(schema, value)]).toEqual([value, v.is(check, value)])
  })

  test.each(Object.entries({ text: Characters, uuid: Uuid, macaddr: MacText }))('a filter of %s', (type, check) => {
    for (const value of values) {
      expect([value, fits(compared[type as 'text'], value)]).toEqual([value, v.is(check, value)])
    }
  })

  test('a filter of int', () => {
    const { minimum, maximum } = compared.int as { minimum: number; maximum: number }
    for (const value of [minimum, maximum]) expect(v.is(Integer, String(value))).toBe(true)
    for (const value of [minimum - 1, maximum + 1]) expect(v.is(Integer, String(value))).toBe(false)
  })

  /** As a validator of JSON Schema has it, as far as the description goes. */
  function fits(schema: Part, value: string | null): boolean {
    const { type, anyOf, pattern, maxLength } = schema
    if (anyOf) return (anyOf as Part[]).some((each) => fits(each, value))
    if (![type].flat().includes(value === null ? 'null' : 'string')) return false
    if (value === null) return true
    if (typeof maxLength === 'number' && [...value].length > maxLength) return false
    return typeof pattern !== 'string' || new RegExp(pattern, 'u').test(value)
  }
})

test('every field of a body is described, by a schema that has a description', () => {
  for (const [name, { entries }] of Object.entries(bodies)) {
    const { properties, additionalProperties, required } = document.components.schemas[name]
    expect(additionalProperties).toBe(false)
    expect(Object.keys(properties)).toEqual(Object.keys(entries))
    expect(required).toEqual(
      Object.entries(entries)
        .filter(([, entry]) => !('wrapped' in entry))
        .map(([field]) => field),
    )
    for (const property of Object.values(properties as Record<string, Part>)) {
      const [part] = (property.anyOf as Part[] | undefined) ?? [property]
      expect(resolved(part as Part).description).toBeTypeOf('string')
    }
  }
})

const offered = operations.filter(({ responses }) => (responses['200']?.content as Part | undefined)?.['text/csv'])

const masked = operations.filter(({ parameters }) => parameters.some(({ name }) => name === 'fields'))

test.for(masked)('every parameter of $path is one that it takes', async ({ path, parameters }) => {
  const address = path.replace('{id}', '1').replace('{offset}/{limit}', '0/2')
  for (const { name, in: place, schema } of parameters) {
    if (place !== 'query' || name === 'cursor') continue
    expect([name, (await client.get(`${address}?${name}=${sampleOf(schema as Part)}`)).status]).toEqual([name, 200])
  }
})

function sampleOf({ enum: some, type, items, pattern }: Part): string {
  if (items) return sampleOf(items as Part)
  if (some) return (some as [string])[0]
  if (type === 'boolean') return 'true'
  if (type === 'integer') return '1'
  return ['08:00:2b:01:02:03', container.uuid, 'a'].find((text) => new RegExp(pattern as string, 'u').test(text)) ?? ''
}

test.for(offered)('every parameter that $path takes is described', async ({ path, parameters }) => {
  const refused = await client.get(`${path.replace('{id}', '1').replace('{offset}/{limit}', '0/2')}?colour=red`)
  const [, controls = '', fields = ''] =
    /there are (.*) and the fields (.*)$/.exec(refused.json.errors[0].message) ?? []
  const known = parameters.filter((parameter) => parameter.in === 'query').map(({ name }) => name)
  const byOffset = path.endsWith('{limit}') ? ['limit', 'cursor'] : []
  expect(known).toEqual(expect.arrayContaining(fields.split(', ')))
  expect(known).toEqual(expect.arrayContaining(controls.split(', ').filter((name) => !byOffset.includes(name))))
})

describe('/docs', () => {
  test('the page and all that it names come from this server', async () => {
    const page = await client.get('/docs')
    expect(page.headers.get('content-type')).toBe('text/html; charset=utf-8')
    expect(page.headers.get('content-security-policy')).toMatch(/^default-src 'none'; script-src 'self';/)
    expect(page.text).not.toMatch(/https?:|"\/\//)
    const named = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, path = '']) => path)
    expect(named).toContain('/docs/swagger-ui-bundle.js')
    for (const path of named) expect([path, (await client.get(path)).status]).toEqual([path, 200])
    expect((await client.get('/docs/start.js')).text).toMatch(/validatorUrl: null/)
  })

  test('the style sheet asks for nothing from outside', async () => {
    const css = await client.get('/docs/swagger-ui.css')
    expect(css.headers.get('content-type')).toBe('text/css; charset=utf-8')
    expect(css.text).not.toMatch(/@import|url\(["']?(?!["']?data:)/)
  })

  test('a client that has a file is not sent it again', async () => {
    for (const path of ['/docs', '/docs/swagger-ui-bundle.js', '/openapi.json']) {
      const etag = (await client.get(path)).headers.get('etag') ?? ''
      const again = await client.request('GET', path, { headers: { 'If-None-Match': `"x", W/${etag}` } })
      expect([again.status, again.bytes.length]).toEqual([304, 0])
    }
  })

  test('other files of the package, or of this server, are not there', async () => {
    for (const file of ['package.json', 'swagger-ui.js', '..%2fpackage.json', '__proto__', 'index.html']) {
      expect([file, (await client.get(`/docs/${file}`)).status]).toEqual([file, 404])
    }
  })
})

test('the description has the version and the licence of the package', async () => {
  const { version, license } = JSON.parse(await readFile('package.json', 'utf8'))
  expect(document.info).toMatchObject({ version, license: { identifier: license } })
  expect(document.openapi).toBe('3.1.1')
})
