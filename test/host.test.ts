import { request } from 'node:http'
import { json } from 'node:stream/consumers'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { serve } from '../src/server.ts'
import { testDatabase } from './database.ts'

const { url } = await testDatabase()
let server: Awaited<ReturnType<typeof serve>>

beforeAll(async () => {
  server = await serve({ databaseUrl: url, host: '127.0.0.1', port: 0 }, pino({ level: 'silent' }))
})
afterAll(() => server.stop())

/** Searches with a body in chunks, which Node sends as such when it isn't told how long the body is. */
async function search(host: string) {
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number | undefined; body: unknown }>()
  const headers = { Host: host, 'Content-Type': 'application/json', 'Transfer-Encoding': 'chunked' }
  request(`${server.url}/search`, { method: 'POST', headers }, async (answer) =>
    resolve({ status: answer.statusCode, body: await json(answer) }),
  )
    .once('error', reject)
    .end('{"q": "muffin"}')
  return await promise
}

test('the Host is the client to choose, and nothing is made of it', async () => {
  for (const host of ['localhost', 'inventory.example:1337', '[::1]:5000', 'x'.repeat(1000)]) {
    expect(await search(host)).toMatchObject({ status: 200, body: { results: [] } })
  }
})

// Found by zzuf: the letters are those of a host name, but what ends in a number has to be an address (https://url.spec.whatwg.org).
test('a Host that no URL can have is 400', async () => {
  for (const host of [
    '1r7.0.0.1',
    'q27.0.0.1:5870',
    '256.256.256.256',
    'localhost:99999',
    'a b',
    'a/b',
    'a@b',
    '%',
    '[',
  ]) {
    expect(await search(host)).toMatchObject({ status: 400, body: { status: 400 } })
  }
})
