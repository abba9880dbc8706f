import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runScript } from '../src/scripts.ts'
import { serve } from '../src/server.ts'
import { testDatabase } from './database.ts'

const { sql, url } = await testDatabase()
const log = pino({ level: 'silent' })
let server: Awaited<ReturnType<typeof serve>>

beforeAll(async () => {
  await runScript(url, 'mock_data')
  await sql`insert into computer (name, site_id) select 'Computer ' || n, 1 from generate_series(1, 3000) n`
  server = await serve({ databaseUrl: url, host: '127.0.0.1', port: 0 }, log)
})
afterAll(() => server.stop())

const expected = {
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'private, no-cache',
}

test.each([
  ['GET', '/site/1', 200],
  ['HEAD', '/site/1', 200],
  ['GET', '/computers', 200], // streamed
  ['GET', '/sites?format=csv', 200],
  ['GET', '/site/0', 400],
  ['GET', '/nowhere', 404],
  ['PUT', '/site/1', 405],
  ['OPTIONS', '/site/1', 204],
  ['DELETE', '/site/1', 409],
  ['POST', '/site/1', 415],
])('%s %s, which is %d, says it all to the browser', async (method, path, status) => {
  const answer = await fetch(server.url + path, { method })
  await answer.text()
  expect(answer.status).toBe(status)
  expect(Object.fromEntries(answer.headers)).toMatchObject(expected)
})

test('so does a 304', async () => {
  const etag = (await fetch(`${server.url}/site/1`)).headers.get('etag') ?? ''
  const answer = await fetch(`${server.url}/site/1`, { headers: { 'If-None-Match': etag } })
  expect(answer.status).toBe(304)
  expect(Object.fromEntries(answer.headers)).toMatchObject(expected)
})

test('so does a 503', async () => {
  const alone = await serve({ databaseUrl: 'postgresql://nobody@127.0.0.1:1/nothing', host: '127.0.0.1', port: 0 }, log)
  const answer = await fetch(`${alone.url}/site/1`)
  expect(answer.status).toBe(503)
  expect(Object.fromEntries(answer.headers)).toMatchObject(expected)
  await alone.stop()
})

/** What the server answers to bytes that need not be a request, as head and body. */
async function answerTo(bytes: string) {
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  await once(socket, 'connect')
  socket.end(bytes)
  const [head = '', body = ''] = (await text(socket)).split('\r\n\r\n')
  const [line = '', ...fields] = head.split('\r\n')
  return { line, headers: Object.fromEntries(fields.map((field) => field.toLowerCase().split(': '))), body }
}

test.each([
  ['what is no HTTP', 'nonsense\r\n\r\n'],
  ['a header that is too large', `GET /sites HTTP/1.1\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
  ['a host that is none', 'GET /sites HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'],
])('so does the answer to %s, which never gets to the app', async (_what, bytes) => {
  const { line, headers, body } = await answerTo(bytes)
  expect(line).toMatch(/^HTTP\/1.1 4\d\d /)
  expect(headers).toMatchObject(expected)
  expect(JSON.parse(body).status).toBeGreaterThanOrEqual(400)
})

test('no header is sent twice, and none says what the server is made of', async () => {
  for (const path of ['/site/1', '/docs', '/docs/start.js', '/nowhere']) {
    const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
    socket.end(`GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`)
    const [head = ''] = (await text(socket)).split('\r\n\r\n')
    const names = [...head.matchAll(/^([\w-]+):/gm)].map(([, name = '']) => name.toLowerCase())
    expect(names).toEqual([...new Set(names)])
    expect(names).not.toContain('x-powered-by')
    expect(names).not.toContain('server')
  }
})

test('the page at /docs may load its own files, and nothing else; caches may keep them, and ask each time', async () => {
  const page = await fetch(`${server.url}/docs`)
  expect(page.headers.get('content-security-policy')).toMatch(
    /^default-src 'none'; script-src 'self'; .*frame-ancestors 'none'$/,
  )
  expect(page.headers.get('content-security-policy')).not.toMatch(/unsafe-eval|script-src[^;]*unsafe|\*|http/)
  const others = ['x-content-type-options', 'referrer-policy', 'cross-origin-resource-policy'] as const
  for (const path of ['/docs', '/docs/swagger-ui-bundle.js', '/docs/swagger-ui.css', '/openapi.json']) {
    const { headers } = await fetch(server.url + path)
    for (const name of others) expect(headers.get(name)).toBe(expected[name])
    expect(headers.get('cache-control')).toBe('no-cache')
  }
})
