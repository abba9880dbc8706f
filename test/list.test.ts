import { once } from 'node:events'
import { connect as connectSocket } from 'node:net'
import pino from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Pool } from '../src/database/connect.ts'
import { serve } from '../src/server.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { run } from './postgres.ts'

const { sql, url } = await testDatabase()
const client = testClient(sql)
const rows = 20_000

beforeAll(async () => {
  await sql`insert into site (id, name) select id, 'Site ' || id from generate_series(1, 300) as id`
  await sql`insert into freezer (name, site_id) select 'Freezer', 1 + id * 7 % 299 from generate_series(1, 900) as id`
  await sql`insert into computer (name, site_id) select 'Computer', 1 + id * 5 % 299 from generate_series(1, 700) as id`
  await sql`
    insert into container (id, description, freezer_id)
    select id * 3, repeat('ü', id % 40), 1 + id % 2
    from generate_series(1, ${rows}) as id`
})

describe('a list of many pages', () => {
  test.each([
    ['/containers', 'container where true order by id'],
    ['/freezer/1/containers', 'container where freezer_id = 1 order by id'],
    ['/sites', 'site where true order by id'],
    ['/computers', 'computer where true order by id'],
    ['/freezers', 'freezer where true order by id'],
    ['/site/8/freezers', 'freezer where site_id = 8 order by id'],
  ])('%s has every row once, in order, as SQL has it', async (path, from) => {
    const expected = await run(url, `select * from ${from}`)
    expect((await client.get(path)).json).toEqual(expected)
    for (const [offset, limit] of [
      [0, 1],
      [3, 4],
      [190, 20],
      [1, 4_321],
      [expected.length - 1, 10],
      [expected.length, 10],
      [500, 0],
    ] as const) {
      const page = await client.get(`${path}/${offset}/${limit}`)
      expect(page.json).toEqual(expected.slice(offset, limit ? offset + limit : undefined))
    }
  })

  test.each(['/instruments', '/site/2/instruments'])(
    '%s has every computer and freezer once: by site, computers first, then by id',
    async (path) => {
      const expected = await run(
        url,
        `select site_id, site.name as site_name, computer_id, freezer_id, instrument.name
        from (
          select site_id, id as computer_id, null::int as freezer_id, name, 0 as kind, id from computer
          union all
          select site_id, null, id, name, 1, id from freezer
        ) as instrument
        join site on site.id = site_id
        where site_id = 2 or '${path}' = '/instruments'
        order by site_id, kind, instrument.id`,
      )
      expect(expected.length).toBeGreaterThan(3)
      expect((await client.get(path)).json).toEqual(expected)
      for (let offset = 0; offset < expected.length + 2; offset += 1 + (offset >> 3)) {
        for (const limit of [1, 2, 7, 250]) {
          const page = await client.get(`${path}/${offset}/${limit}`)
          expect(page.json).toEqual(expected.slice(offset, offset + limit))
        }
      }
    },
  )

  test.each(['/sites', '/freezers', '/computers', '/containers', '/freezer/1/containers', '/instruments'])(
    'every page of %s but the first is read on the pool for long lists',
    async (path) => {
      const [short, long] = [counted(sql), counted(sql)]
      await testClient(short.counting, long.counting).get(path)
      expect(short.statements).toEqual([25])
      expect(long.statements.length).toBeGreaterThan(1)
    },
  )

  test.each(['/sites?sort=-name&limit=5', '/containers?description__contains=x', '/containers/19000/10'])(
    '%s, which may take long, leaves the pool for short queries alone',
    async (path) => {
      const [short, long] = [counted(sql), counted(sql)]
      expect((await testClient(short.counting, long.counting).get(path)).status).toBe(200)
      expect(short.statements).toEqual([])
      expect(long.statements.length).toBeGreaterThan(0)
    },
  )

  test('rows of the greatest length come in pages that fit into memory', async () => {
    const { sql, url } = await testDatabase()
    const long = '🧪'.repeat(10_000)
    // By itself this may take longer than the server lets a statement take.
    await run(
      url,
      `insert into site (name, address, country)
       select long, long, long from generate_series(1, 500), repeat('🧪', 10000) as long`,
    )
    const { counting, statements } = counted(sql)
    const answer = await testClient(counting).get('/sites')
    expect(answer.json.length).toBe(500)
    expect(answer.json[499].country).toBe(long)
    // Until it is known how long they are, a few at a time; then hardly more than one fits.
    expect(statements[0]).toBe(25)
    expect(Math.max(...statements.slice(1))).toBeLessThan(5)
  })
})

/** The database, and the limits that it has been asked with. */
function counted(sql: Pool) {
  const statements: number[] = []
  const counting = new Proxy(sql, {
    apply(target, self, args) {
      statements.push(Number(args.at(-1)))
      return Reflect.apply(target, self, args)
    },
  })
  return { counting, statements }
}

describe('over a socket', () => {
  let server: Awaited<ReturnType<typeof serve>>
  const lines: string[] = []

  beforeAll(async () => {
    const log = pino({ level: 'info' }, { write: (line: string) => lines.push(line) })
    server = await serve({ databaseUrl: url, host: '127.0.0.1', port: 0 }, log)
  })
  afterAll(() => server.stop())

  /** Sends a request and reads nothing until told to; the kernel's buffers take a few MB, the rest stays in the server. */
  async function ask(path: string) {
    const { hostname, port } = new URL(server.url)
    const socket = connectSocket({ host: hostname, port: Number(port) })
    await once(socket, 'connect')
    socket.pause()
    socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
    return socket
  }

  test('a list that fails midway breaks the connection, and never looks complete', async () => {
    await sql`
      insert into container (id, description, freezer_id)
      select 10000000 + id, repeat('x', 9000), 3
      from generate_series(1, 3000) as id`
    const socket = await ask('/freezer/3/containers')
    let received = ''
    await once(socket, 'readable')
    // Whatever the server has not read by now, it will not find.
    await sql`alter table container rename to box`
    try {
      socket.setEncoding('latin1')
      socket.on('data', (text: string) => {
        received += text
      })
      socket.on('error', () => {})
      // Not once(), which rejects: the connection is reset.
      await new Promise((resolve) => socket.once('close', resolve))
      expect(received).toContain('200 OK')
      expect(received.endsWith('0\r\n\r\n')).toBe(false)
      expect(received).not.toContain('does not exist')
      expect(lines.some((line) => line.includes('a list broke off'))).toBe(true)
    } finally {
      await sql`alter table box rename to container`
    }
  })

  test('a client that reads slowly is waited for, without a connection to the database', async () => {
    const socket = await ask('/freezer/3/containers')
    await once(socket, 'readable')
    await expect.poll(() => busySessions()).toBe(0)
    const response = await fetch(`${server.url}/freezer/3/containers`)
    expect(((await response.json()) as unknown[]).length).toBe(3000)
    socket.destroy()
  })

  test('a HEAD of a list reads no further than its first page', async () => {
    const response = await fetch(`${server.url}/containers`, { method: 'HEAD' })
    expect(response.status).toBe(200)
    await expect.poll(() => busySessions()).toBe(0)
  })

  async function busySessions() {
    const [row] = await sql<[{ count: number }]>`
      select count(*)::int as count
      from pg_stat_activity
      where datname = current_database()
        and state <> 'idle'
        and pid <> pg_backend_pid()`
    return row.count
  }
})
