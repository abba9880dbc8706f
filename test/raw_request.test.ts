import { once } from 'node:events'
import type { Socket } from 'node:net'
import { memoryUsage } from 'node:process'
import pino from 'pino'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { serve } from '../src/server.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { openSocket, sendBytes } from './raw_request.ts'

// What comes over a connection, byte by byte, and is no request, or one that says two things at once.

const { sql, url } = await testDatabase()
const client = testClient(sql)
const requestTimeoutMs = 1_000
const lines: { level: number; msg?: string }[] = []
let server: Awaited<ReturnType<typeof serve>>

beforeAll(async () => {
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  server = await serve({ databaseUrl: url, host: '127.0.0.1', port: 0, requestTimeoutMs }, log)
})
afterAll(() => server.stop())
beforeEach(async () => void (await client.post('/site/1', { name: 'before' })))

const close = 'Host: h\r\nConnection: close\r\n'
const isJson = 'Content-Type: application/json\r\n'
const get = (target: string, headers = close) => `GET ${target} HTTP/1.1\r\n${headers}\r\n`
const post = (headers: string, body: string) => `POST /site/1 HTTP/1.1\r\n${close}${isJson}${headers}\r\n${body}`
const name = '{"name":"x"}'

test('what is sent like this is understood', async () => {
  expect(await sendBytes(server.url, get('/site/1'))).toMatchObject({ status: 200 })
  expect(await sendBytes(server.url, post('Content-Length: 12\r\n', name))).toMatchObject({ status: 200 })
  const chunked = post('Transfer-Encoding: chunked\r\n', `c\r\n${name}\r\n0\r\n\r\n`)
  expect(await sendBytes(server.url, chunked)).toMatchObject({ status: 200 })
})

describe.concurrent('refused, with nothing stored:', () => {
  test.each<[what: string, bytes: string, status: number]>([
    ['NUL in the path', get('/site/1\0'), 400],
    ['a byte beyond ASCII in the path', get('/site/1\xff'), 400],
    ['UTF-8 in the query that is not encoded', get('/sites?name=\xc3\xbc'), 400],
    ['NUL in the query', get('/sites?name=\0'), 400],
    ['an address of 100 kB', get(`/sites?name=${'a'.repeat(100_000)}`), 431],
    ['a header of 100 kB', get('/sites', `${close}X-Request-Id: ${'a'.repeat(100_000)}\r\n`), 431],
    ['20,000 headers', get('/sites', close + 'a:\r\n'.repeat(20_000)), 431],
    ['NUL in a header', get('/sites', `${close}X-Request-Id: a\0b\r\n`), 400],
    ['a line feed in a header', get('/sites', `${close}X-Request-Id: a\nX-Evil: b\r\n`), 400],
    ['a carriage return in a header', get('/sites', `${close}X-Request-Id: a\rX-Evil: b\r\n`), 400],
    ['a header that goes on in the next line', get('/sites', `${close}X-Request-Id: a\r\n b\r\n`), 400],
    ['a space before the colon of a header', get('/sites', `${close}Accept : text/csv\r\n`), 400],
    ['no Host', get('/sites', 'Connection: close\r\n'), 400],
    ['a Host that is none', get('/sites', 'Connection: close\r\nHost: a b"<\r\n'), 400],
    ['an address of another kind', get('ftp://h/sites'), 400],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
    ['a method that nobody knows', 'FOO /sites HTTP/1.1\r\n\r\n', 400],
    ['TRACE', `TRACE /site/1 HTTP/1.1\r\n${close}\r\n`, 405],
    ['two lengths', post('Content-Length: 12\r\nContent-Length: 13\r\n', name), 400],
    ['a length below 0', post('Content-Length: -12\r\n', name), 400],
    ['a length with a sign', post('Content-Length: +12\r\n', name), 400],
    ['a length in hexadecimal', post('Content-Length: 0xc\r\n', name), 400],
    ['a length of 20 digits', post('Content-Length: 99999999999999999999\r\n', name), 400],
    [
      'a length and chunks',
      post('Content-Length: 12\r\nTransfer-Encoding: chunked\r\n', `c\r\n${name}\r\n0\r\n\r\n`),
      400,
    ],
    ['another coding', post('Transfer-Encoding: xchunked\r\n', `c\r\n${name}\r\n0\r\n\r\n`), 400],
    ['a chunk without a length', post('Transfer-Encoding: chunked\r\n', `zz\r\n${name}\r\n0\r\n\r\n`), 400],
    ['a chunk of any length', post('Transfer-Encoding: chunked\r\n', `ffffffffffffffffff\r\n${name}`), 400],
    ['a chunk longer than it says', post('Transfer-Encoding: chunked\r\n', `3\r\n${name}\r\n0\r\n\r\n`), 400],
    ['long extensions of a chunk', post('Transfer-Encoding: chunked\r\n', `c;${'a'.repeat(20_000)}\r\n${name}`), 413],
  ])('%s', async (_, bytes, status) => {
    const { status: seen, answer } = await sendBytes(server.url, bytes)
    expect(seen).toBe(status)
    const [head = '', body = ''] = answer.split('\r\n\r\n')
    expect(head).toMatch(/^content-type: application\/problem\+json/im)
    expect(head).toMatch(/^x-request-id: [\w-]{36}$/im)
    expect(head).not.toMatch(/evil/i)
    expect(JSON.parse(body)).toMatchObject({ status })
    expect((await client.get('/site/1')).json.name).toBe('before')
  })
})

test('no header is overlooked, however many there are', async () => {
  const many = 'a:\r\n'.repeat(3_000)
  const request = `DELETE /site/1 HTTP/1.1\r\n${close}${many}If-Match: "1"\r\n\r\n`
  expect((await sendBytes(server.url, request)).status).toBe(412)
})

test('garbage behind a request closes the connection; it gets no answer in place of another', async () => {
  const { answer } = await sendBytes(server.url, `GET /site/1 HTTP/1.1\r\nHost: h\r\n\r\n${'\0\xff'.repeat(1_000)}`)
  expect(answer).not.toContain('This is not a request')
})

test('after garbage the connection is closed, also if the client keeps its end open', async () => {
  const socket = await openSocket(server.url, { allowHalfOpen: true })
  socket.write('garbage\r\n\r\n')
  socket.resume()
  await once(socket, 'end')
  // Half open; it is gone when the server has destroyed it.
  const wrote = setInterval(() => socket.write('more garbage'), 50)
  await new Promise((resolve) => socket.once('close', resolve))
  clearInterval(wrote)
})

describe.concurrent('what does not arrive is 408, and closed:', () => {
  test.each([
    ['nothing', ''],
    ['half a line', 'GET /si'],
    ['half of the headers', 'GET /sites HTTP/1.1\r\nHost: h\r\nX-A: '],
    ['half of a body', post('Content-Length: 12\r\n', '{"name"')],
    ['a body without its last chunk', post('Transfer-Encoding: chunked\r\n', `c\r\n${name}\r\n`)],
    ['a body of which nothing comes', post('Content-Length: 12\r\n', '')],
  ])('%s', async (_, bytes) => {
    const start = performance.now()
    const { status, answer } = await sendBytes(server.url, bytes)
    expect(performance.now() - start).toBeGreaterThan(requestTimeoutMs * 0.9)
    expect(performance.now() - start).toBeLessThan(requestTimeoutMs + 4_000)
    expect(status).toBe(408)
    expect(answer).toContain('"title":"Request Timeout","status":408')
    expect(answer.match(/HTTP\/1\.1/g)).toHaveLength(1)
    expect((await client.get('/site/1')).json.name).toBe('before')
  })

  test('a byte now and then does not help', async () => {
    const socket = await openSocket(server.url)
    const drop = setInterval(() => socket.write('a'), 100)
    let answer = ''
    socket.setEncoding('latin1').on('data', (part) => {
      answer += part
    })
    socket.write(post('Content-Length: 1000\r\n', ''))
    await once(socket, 'close')
    clearInterval(drop)
    expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  })
})

describe('200 MB', () => {
  const part = Buffer.alloc(64 * 1024, 'a')
  const parts = (200 * 1024 * 1024) / part.length

  test.each([
    ['with a length', `Content-Length: ${parts * part.length}\r\n`, part],
    ['in chunks', 'Transfer-Encoding: chunked\r\n', Buffer.from(`${part.length.toString(16)}\r\n${part}\r\n`)],
  ])('%s are 413 or broken off, and not kept', async (_, headers, piece) => {
    const before = memoryUsage().rss
    const socket = await openSocket(server.url)
    let answer = ''
    socket.setEncoding('latin1').on('data', (text) => {
      answer += text
    })
    const closed = new Promise((resolve) => socket.once('close', resolve))
    socket.write(post(headers, ''))
    let most = 0
    for (let sent = 0; sent < parts && !socket.destroyed; sent++) {
      if (!socket.write(piece)) await Promise.race([once(socket, 'drain').catch(() => {}), closed])
      most = Math.max(most, memoryUsage().rss - before)
    }
    socket.destroy()
    await closed
    expect([undefined, '413']).toContain(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1])
    expect(most / 1024 / 1024).toBeLessThan(100)
    expect((await sendBytes(server.url, get('/site/1'))).answer).toContain('"name":"before"')
  })
})

test('of connections beyond the limit, that goes on which nothing was asked for longest, or else the new one', async () => {
  const { url: at, stop } = await serve(
    { databaseUrl: url, host: '127.0.0.1', port: 0, maxConnections: 3 },
    pino({ level: 'silent' }),
  )
  onTestFinished(stop)
  const [kept, first, busy] = [await openSocket(at), await openSocket(at), await openSocket(at)]
  /** Has the server wait for the body of a request, and resolves when it does. */
  async function occupy(socket: Socket) {
    socket.write(post('Content-Length: 12\r\nExpect: 100-continue\r\n', ''))
    expect(String(await once(socket, 'data'))).toContain('100 Continue')
  }
  kept.write('GET /site/1 HTTP/1.1\r\nHost: h\r\n\r\n')
  await once(kept, 'data')
  await occupy(busy)
  const isClosed = once(first.resume(), 'close')
  expect((await sendBytes(at, get('/site/1'))).status).toBe(200)
  await isClosed
  expect([kept.destroyed, busy.destroyed]).toEqual([false, false])

  await occupy(kept)
  const third = await openSocket(at)
  await occupy(third)
  expect((await sendBytes(at, get('/site/1'))).status).toBe(0)
  for (const socket of [busy, kept, third]) {
    socket.write(name)
    expect(String(await once(socket, 'data'))).toMatch(/^HTTP\/1\.1 200 /)
  }
})

test('nothing of this was a fault of the server', () => {
  expect(lines.filter(({ level }) => level >= 40)).toEqual([])
})
