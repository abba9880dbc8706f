import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createLog } from '../src/log.ts'
import { serve } from '../src/server.ts'
import { testDatabase } from './database.ts'
import { openSocket, sendBytes } from './raw_request.ts'

// What comes of requests that are no whole requests, over a socket.

const { url } = await testDatabase()
const lines: { requestId?: string; status?: number; level?: number }[] = []
let server: Awaited<ReturnType<typeof serve>>

beforeAll(async () => {
  const log = createLog('info', { write: (line: string) => lines.push(JSON.parse(line)) })
  server = await serve({ databaseUrl: url, host: '127.0.0.1', port: 0 }, log)
})
afterAll(() => server.stop())

test.each([
  ['closes', false],
  ['resets', true],
])(
  'a client that %s the connection halfway through its body is logged with 400, and not as an error',
  async (_, reset) => {
    const requestId = `half-${reset}`
    const socket = await openSocket(server.url)
    const head = `POST /site HTTP/1.1\r\nHost: x\r\nX-Request-Id: ${requestId}\r\nContent-Type: application/json`
    socket.write(`${head}\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n`)
    // So the server is waiting for the body.
    await once(socket, 'readable')
    await new Promise((resolve) => socket.write('{"name": ', resolve))
    if (reset) socket.resetAndDestroy()
    else socket.destroy()
    const logged = () => lines.filter((line) => line.requestId === requestId)
    await expect.poll(logged).toHaveLength(1)
    expect(logged()).toMatchObject([{ level: 30, status: 400 }])
  },
)

test('a request of HTTP/1.0 without Host is answered', async () => {
  const { answer } = await sendBytes(server.url, 'GET /summary HTTP/1.0\r\n\r\n')
  expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  expect(answer).toContain('{"sites":0,"freezers":0,"computers":0,"containers":0}')
})

test.each([
  ['garbage', 'MAKE COFFEE\r\n\r\n'],
  ['a header too long to take', `GET /sites HTTP/1.1\r\nHost: x\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`],
  ['a request without Host', 'GET /sites HTTP/1.1\r\nConnection: close\r\n\r\n'],
  ['a Host that is none', 'GET /sites HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'],
])('%s is logged once, with the request id of the answer', async (_, request) => {
  const { status, answer } = await sendBytes(server.url, request)
  const requestId = /^x-request-id: ([\w-]{36})\r$/im.exec(answer)?.[1]
  expect(status).toBeGreaterThanOrEqual(400)
  expect(lines.filter((line) => line.requestId === requestId)).toMatchObject([{ level: 30, status }])
})
