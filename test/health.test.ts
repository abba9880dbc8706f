import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { json } from 'node:stream/consumers'
import pino from 'pino'
import { afterAll, describe, expect, test } from 'vitest'
import packageJson from '../package.json' with { type: 'json' }
import { createApp } from '../src/app.ts'
import { migrate, migrationNames } from '../src/migrate.ts'
import { serve } from '../src/server.ts'
import { createDatabase, testDatabase } from './database.ts'
import { run } from './postgres.ts'

const { sql, url: databaseUrl } = await testDatabase()
const log = pino({ level: 'silent' })
const stops: (() => Promise<unknown>)[] = []

afterAll(() => Promise.all(stops.map((stop) => stop())))

async function start(databaseUrl: string): Promise<string> {
  const { url, stop } = await serve({ databaseUrl, host: '127.0.0.1', port: 0 }, log)
  stops.push(stop)
  return url
}

/** A Postgres that takes connections and never says a word. */
async function silentDatabase(): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => sockets.add(socket.on('error', () => {})))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  stops.push(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `postgresql://ada:secret@127.0.0.1:${(server.address() as AddressInfo).port}/inventory`
}

async function timed(url: string) {
  const start = performance.now()
  const response = await fetch(url)
  return { response, body: JSON.parse(await response.text()), ms: performance.now() - start }
}

describe('a database that can be used', async () => {
  const url = await start(databaseUrl)

  test.each([
    ['/healthz', 'ok'],
    ['/readyz', 'ready'],
  ])('%s says %s, and that nobody is to keep that', async (path, status) => {
    const { response, body } = await timed(`${url}${path}`)
    expect([response.status, body]).toEqual([200, { status }])
    expect(response.headers.get('cache-control')).toBe('no-store')
  })

  test('/status has the versions, and the migration that was applied last', async () => {
    const [row] = await run(databaseUrl, 'show server_version')
    const { response, body } = await timed(`${url}/status`)
    expect(response.status).toBe(200)
    expect(body).toEqual({
      name: 'lab-inventory',
      version: packageJson.version,
      node: process.versions.node,
      uptime_seconds: expect.any(Number),
      workers: 1,
      postgres: String(row?.server_version).split(' ')[0],
      last_migration: (await migrationNames()).at(-1),
    })
  })
})

describe('a database that hangs', async () => {
  const url = await start(await silentDatabase())

  test('/healthz does not wait for it', async () => {
    const reads = Array.from({ length: 20 }, () => fetch(`${url}/site/1`))
    for (let i = 0; i < 20; i++) {
      const { response, ms } = await timed(`${url}/healthz`)
      expect(response.status).toBe(200)
      // Who waits for a connection waits for 2 s.
      expect(ms).toBeLessThan(1_500)
    }
    for (const read of reads) expect((await read).status).toBe(503)
  })

  test('/readyz is 503 within 3 s, and says that it is the database', async () => {
    const { response, body, ms } = await timed(`${url}/readyz`)
    expect(response.status).toBe(503)
    expect(response.headers.get('content-type')).toBe('application/problem+json')
    expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    expect(body.errors).toEqual([{ field: 'database', message: expect.stringMatching(/can not be used/) }])
    expect(ms).toBeLessThan(3_000)
  })

  test('/status tells what there is to tell, within 3 s', async () => {
    const { response, body, ms } = await timed(`${url}/status`)
    expect(response.status).toBe(200)
    expect(body).toMatchObject({ version: packageJson.version, postgres: null, last_migration: null })
    expect(ms).toBeLessThan(3_000)
  })
})

test('/readyz is 503 while a migration is missing, names it, and is 200 when it has been applied', async () => {
  const database = await createDatabase(`health_${crypto.randomUUID().slice(0, 8)}`, 'template0')
  const url = await start(database)
  const names = await migrationNames()
  const before = await timed(`${url}/readyz`)
  expect(before.response.status).toBe(503)
  expect(before.body.errors).toEqual([{ field: 'migrations', message: expect.stringContaining(names.join(', ')) }])

  await migrate(database)
  expect((await timed(`${url}/readyz`)).response.status).toBe(200)

  const last = names.at(-1) as string
  await run(database, `delete from pgmigrations where name = '${last}'`)
  const { response, body } = await timed(`${url}/readyz`)
  expect(response.status).toBe(503)
  expect(body.errors).toEqual([{ field: 'migrations', message: expect.stringContaining(`: ${last};`) }])
})

test('a server that is about to end is alive and not ready, and does not ask the database for that', async () => {
  const operations = {
    probe: () => Promise.reject(new Error('asked')),
    isDraining: () => true,
    figures: async () => ({ report: [], workers: 1, uptimeSeconds: 1 }),
  }
  const app = createApp({ sql, log, operations })
  expect((await app.request('/healthz')).status).toBe(200)
  const response = await app.request('/readyz')
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({ errors: [{ field: 'server' }] })
})

test('on a connection that is there when the server is told to stop, it says so, and closes it', async () => {
  const { url, stop } = await serve({ databaseUrl, host: '127.0.0.1', port: 0 }, log)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const ask = async (path: string) => {
    const [response] = (await once(get(`${url}${path}`, { agent }), 'response')) as [IncomingMessage]
    return { status: response.statusCode, connection: response.headers.connection, body: await json(response) }
  }
  expect(await ask('/readyz')).toMatchObject({ status: 200, connection: 'keep-alive' })
  const stopped = stop()
  expect(await ask('/readyz')).toMatchObject({
    status: 503,
    connection: 'close',
    body: { errors: [{ field: 'server' }] },
  })
  await stopped
})
