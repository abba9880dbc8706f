import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { delimiter, join } from 'node:path'
import { pipeline } from 'node:stream'
import { json, text } from 'node:stream/consumers'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createDatabase, testDatabase } from './database.ts'
import { run, withDatabase } from './postgres.ts'
import { type Program, startProgram } from './process.ts'

const { sql, url: DATABASE_URL } = await testDatabase()
const own = await testDatabase()
const prefix = `lab_inventory_start_${process.pid}`
const untouched = await createDatabase(`${prefix}_untouched`, 'template0')
const shared = await createDatabase(`${prefix}_shared`, 'template0')
const migrations = readdirSync(new URL('../postgres_scripts/migrations', import.meta.url)).map((file) =>
  file.replace(/\.sql$/, ''),
)

const start = (env: Record<string, string>) =>
  startProgram(process.execPath, ['--import', './src/node_version.js', 'src/main.ts'], { env: { PORT: '0', ...env } })

// A Node that the checkout did not bring: on most machines there is one, and it is older.
const oldNode = (process.env.PATH ?? '')
  .split(delimiter)
  .map((folder) => join(folder, 'node'))
  .find((file) => existsSync(file) && Number(/\d+/.exec(execFileSync(file, ['--version'], { encoding: 'utf8' }))) < 26)
if (!oldNode) console.info('No Node older than 26 is on this machine, so what it would be told is not tested.')

if (process.platform !== 'linux') console.info('What options workers run with is tested on Linux alone, which tells.')

const patiently = { timeout: 10_000 }

const messages = (program: Program) => program.lines.map((line) => JSON.parse(line).msg)

async function listening(program: Program): Promise<{ url: string; pid: number }> {
  return JSON.parse(await program.line(/"msg":"listening"/))
}

describe.concurrent('SIGTERM', () => {
  beforeAll(longList)

  test('a request in flight is finished, new ones are refused, and it exits with 0', async ({ expect }) => {
    const { sql, url: DATABASE_URL } = own
    await sql`insert into site (id, name) values (1, 'Site 1')`
    const program = start({ DATABASE_URL })
    const { url } = await listening(program)
    const lock = new pg.Client(DATABASE_URL)
    await lock.connect()
    await lock.query('begin; lock table site in access exclusive mode')
    const answer = fetch(`${url}/site/1`)
    const waiting = () =>
      sql`select from pg_stat_activity where wait_event = 'relation' and datname = current_database()`
    await expect.poll(waiting, patiently).toHaveLength(1)

    program.kill('SIGTERM')
    await expect.poll(() => takesConnections(url), patiently).toBe(false)
    await lock.end()
    const response = await answer
    expect(response.status).toBe(200)
    expect(response.headers.get('connection')).toBe('close')
    expect(await response.json()).toMatchObject({ id: 1, name: 'Site 1' })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
  })

  test('a list that a slow reader goes on reading comes to its end', async ({ expect }) => {
    const program = start({ DATABASE_URL })
    const { url } = await listening(program)
    const response = await slowly(`${url}/computers`)
    program.kill('SIGTERM')
    await expect.poll(() => takesConnections(url), patiently).toBe(false)
    expect(await json(response)).toHaveLength(longListRows)
    expect(await program.ended()).toEqual({ code: 0, signal: null })
  })

  test('a connection that was kept is answered once more, with Connection: close, and then it exits', async ({
    expect,
  }) => {
    const program = start({ DATABASE_URL })
    const { url } = await listening(program)
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const ask = async () => {
      const [response] = (await once(get(`${url}/site/2`, { agent }), 'response')) as [IncomingMessage]
      return { closes: response.headers.connection === 'close', site: await json(response) }
    }
    expect(await ask()).toMatchObject({ closes: false, site: { id: 2 } })
    program.kill('SIGTERM')
    await expect.poll(() => takesConnections(url), patiently).toBe(false)
    expect(await ask()).toMatchObject({ closes: true, site: { id: 2 } })
    expect(await program.ended()).toEqual({ code: 0, signal: null })
  })

  test('a connection on which nothing is asked does not keep it', async () => {
    const program = start({ DATABASE_URL })
    const { url } = await listening(program)
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    await once(socket, 'connect')
    await fetch(`${url}/summary`)
    const startedAt = performance.now()
    program.kill('SIGTERM')
    expect(await text(socket)).toBe('')
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    // Well before the time is over that requests in flight have.
    expect(performance.now() - startedAt).toBeLessThan(3_000)
  })

  test('a list that nobody reads is broken off within 5 s, and does not look complete', async () => {
    const program = start({ DATABASE_URL })
    const response = await slowly(`${(await listening(program)).url}/computers`)
    const startedAt = performance.now()
    program.kill('SIGTERM')
    expect(await program.ended()).toEqual({ code: 0, signal: null })
    expect(performance.now() - startedAt).toBeLessThan(5_000)
    await expect(text(response)).rejects.toThrow('aborted')
  })

  test('a worker that is told to end by itself is replaced, and nobody is refused meanwhile', async () => {
    const program = start({ DATABASE_URL })
    const { url, pid } = await listening(program)
    process.kill(pid, 'SIGTERM')
    for (let i = 0; i < 20; i++) {
      expect((await fetch(`${url}/summary`, { headers: { Connection: 'close' } })).status).toBe(200)
    }
    expect((await listening(program)).pid).not.toBe(pid)
  })

  test.each([1, 2])(
    'who has connected is answered, also when all processes are told at once (workers: %i)',
    async (workers) => {
      const program = start({ DATABASE_URL, WEB_CONCURRENCY: String(workers) })
      const { url } = await listening(program)
      for (let i = 1; i < workers; i++) await listening(program)
      // While it is stopped, the kernel takes connections for it; what the workers say comes to it together with its own signal.
      program.kill('SIGSTOP')
      const sockets = Array.from({ length: 100 }, () => connect(Number(new URL(url).port), '127.0.0.1'))
      await Promise.all(sockets.map((socket) => once(socket, 'connect')))
      for (const socket of sockets) socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      program.killGroup('SIGTERM')
      program.kill('SIGCONT')
      const answers = await Promise.allSettled(sockets.map((socket) => text(socket)))
      const lost = answers.filter((each) => each.status === 'rejected' || !each.value.startsWith('HTTP/1.1 200 OK'))
      expect(lost).toEqual([])
      expect(await program.ended()).toEqual({ code: 0, signal: null })
    },
  )

  test('it ends a server that still waits for its database', async () => {
    const program = start({ DATABASE_URL: withDatabase(DATABASE_URL, `${prefix}_never`) })
    await program.line(/waiting for the database/)
    program.kill('SIGTERM')
    expect(await program.ended()).toEqual({ code: 0, signal: null })
  })
})

describe.concurrent('settings', () => {
  test('without DATABASE_URL it says so in one line, and exits with 1', async () => {
    const program = start({})
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(program.lines).toEqual([expect.stringMatching(/^DATABASE_URL is not set\./)])
  })

  test('several bad variables are a line each, and it exits with 1', async () => {
    const program = start({ DATABASE_URL: 'postgresql://ada:secret@', PORT: 'http', MIGRATE: 'maybe' })
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(program.lines.map((line) => line.split(' ')[0])).toEqual(['DATABASE_URL', 'PORT', 'MIGRATE'])
    expect(program.lines.join()).not.toContain('secret')
  })

  test.skipIf(!oldNode)('an old Node is told what to do, and exits with 1', async () => {
    const program = startProgram(oldNode ?? '', ['--import', './src/node_version.js', 'src/main.ts'])
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(program.lines).toEqual([
      expect.stringMatching(/^lab-inventory needs Node 26 or newer, and this is v\d+/),
      expect.stringMatching(/^Run `npm ci`/),
      expect.stringMatching(/^If npm was told to leave out optional dependencies, install Node 26 yourself/),
    ])
  })

  test('a port that is taken is one line, and it exits with 1', async () => {
    const port = await listen(createServer())
    const program = start({ DATABASE_URL, PORT: String(port) })
    expect(await program.ended()).toEqual({ code: 1, signal: null })
    expect(messages(program)).toEqual([expect.stringMatching(`can't listen on 127.0.0.1:${port}: .*EADDRINUSE`)])
  })
})

describe.concurrent('the database', () => {
  test('it waits for one that can not be reached, says so once, and goes on when it can', async () => {
    const { hostname, port } = new URL(DATABASE_URL)
    const forwarder = createServer((socket) => void pipeline(socket, connect(Number(port), hostname), socket, () => {}))
    const free = await listen(forwarder)
    forwarder.close()
    await once(forwarder, 'close')
    const there = new URL(DATABASE_URL)
    there.host = `127.0.0.1:${free}`

    const program = start({ DATABASE_URL: there.href })
    expect(await program.line(/waiting for the database/)).toContain('ECONNREFUSED')
    await listen(forwarder, free)
    const { url } = await listening(program)
    expect((await fetch(`${url}/summary`)).status).toBe(200)
    expect(messages(program).filter((message) => /waiting/.test(message))).toHaveLength(1)
  })

  test('it waits for a certificate that can not be read', async () => {
    const program = start({ DATABASE_URL: `${DATABASE_URL}?sslrootcert=/nowhere.pem` })
    expect(await program.line(/waiting for the database/)).toContain('ENOENT')
  })

  test('it waits for one that is created later, and applies the migrations to it', async () => {
    const name = `${prefix}_later`
    const program = start({ DATABASE_URL: withDatabase(DATABASE_URL, name) })
    await program.line(/waiting for the database: database .* does not exist/)
    await run(inject('serverUrl'), `create database ${name} template template0`)
    const { url } = await listening(program)
    await expect.poll(() => messages(program), patiently).toContain('the database can be used')
    expect(messages(program).filter((message) => /^applied/.test(message))).toEqual(
      migrations.map((each) => `applied migration ${each}`),
    )
    expect(await (await fetch(`${url}/sites`)).json()).toEqual([])
  })
  afterAll(() => run(inject('serverUrl'), `drop database if exists ${prefix}_later with (force)`))

  test('with MIGRATE=off it is left as it is', async () => {
    const program = start({ DATABASE_URL: untouched, MIGRATE: 'off' })
    await listening(program)
    expect(await run(untouched, `select relname from pg_class where relnamespace = 'public'::regnamespace`)).toEqual([])
  })

  test('while it waits for its database it answers 503 with Retry-After, and is alive', async () => {
    const program = start({ DATABASE_URL: withDatabase(DATABASE_URL, `${prefix}_nowhere`) })
    const { url } = await listening(program)
    const answer = await fetch(`${url}/site/1`)
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([503, '1'])
    expect((await fetch(`${url}/healthz`)).status).toBe(200)
    expect((await fetch(`${url}/readyz`)).status).toBe(503)
  })

  test('when it loses its connection while it migrates, it says so, tries again, and comes up', async ({ expect }) => {
    const lock = new pg.Client(untouched)
    await lock.connect()
    await lock.query('select pg_advisory_lock(7241865325823964)')
    const program = start({ DATABASE_URL: untouched })
    const end = () =>
      lock.query(`
        select pg_terminate_backend(pid)
        from pg_stat_activity
        where wait_event = 'advisory'
          and datname = current_database()`)
    await expect.poll(async () => (await end()).rowCount, patiently).toBe(1)
    const said = () => messages(program)
    await expect.poll(said, patiently).toContain("the migrations can't be applied at the moment")
    await lock.end()
    await expect.poll(said, { timeout: 15_000, message: said().join() }).toContain('the database can be used')
    expect(said()).toContain('applied migration 0001_create_tables')
    expect((await fetch(`${(await listening(program)).url}/summary`)).status).toBe(200)
  })

  test('three servers that start at once on an empty one all come up, and each migration is recorded once', async () => {
    const programs = [1, 2, 3].map(() => start({ DATABASE_URL: shared }))
    for (const { url } of await Promise.all(programs.map(listening))) {
      expect((await fetch(`${url}/summary`)).status).toBe(200)
    }
    const recorded = await run(shared, 'select name from pgmigrations order by id')
    expect(recorded.map(({ name }) => name)).toEqual(migrations)
    const applied = programs.flatMap(messages).filter((message) => /^applied/.test(message))
    expect(applied).toHaveLength(migrations.length)
  })
})

describe.concurrent('workers', () => {
  test('each answers; one that is killed is replaced', async () => {
    const program = start({ DATABASE_URL, WEB_CONCURRENCY: '2' })
    const [one, two] = [await listening(program), await listening(program)]
    expect(two.url).toBe(one.url)
    expect(new Set([one.pid, two.pid, program.pid]).size).toBe(3)

    process.kill(one.pid, 'SIGKILL')
    await program.line(new RegExp(`"pid":${one.pid},.*a worker ended`))
    const three = await listening(program)
    expect(three.url).toBe(one.url)
    const answered = new Set<number>()
    for (let i = 0; i < 10; i++) {
      expect((await fetch(`${one.url}/summary`, { headers: { Connection: 'close' } })).status).toBe(200)
      answered.add(JSON.parse(await program.line(/"route":"\/summary"/)).pid)
    }
    expect(answered).toEqual(new Set([two.pid, three.pid]))
  })

  test('while there is none, who connects waits for the next', async () => {
    const program = start({ DATABASE_URL })
    const { url, pid } = await listening(program)
    process.kill(pid, 'SIGKILL')
    await program.line(/a worker ended/)
    expect((await fetch(`${url}/summary`)).status).toBe(200)
  })

  test('none is left when the primary is killed', async () => {
    const program = start({ DATABASE_URL, WEB_CONCURRENCY: '2' })
    const { url } = await listening(program)
    await listening(program)
    program.kill('SIGKILL')
    expect(await program.ended()).toEqual({ code: null, signal: 'SIGKILL' })
    expect(await takesConnections(url)).toBe(false)
  })
})

describe.concurrent('what is not HTTP', () => {
  let url: string
  beforeAll(async () => {
    url = (await listening(start({ DATABASE_URL }))).url
  })

  test.each([
    ['garbage', 'MAKE COFFEE\r\n\r\n'],
    ['a request without Host', 'GET /sites HTTP/1.1\r\n\r\n'],
    ['a bad Content-Length', 'POST /site HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n'],
    ['a Host that is none', 'GET /sites HTTP/1.1\r\nHost: a b\r\nConnection: close\r\n\r\n'],
  ])('%s is answered with a problem, and the connection closed', async (_, request) => {
    const [head = '', body = ''] = (await send(url, request)).split('\r\n\r\n')
    expect(head).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/)
    expect(head).toMatch(/^content-type: application\/problem\+json\r?$/im)
    expect(head).toMatch(/^x-request-id: [\w-]{36}\r?$/im)
    expect(head).toMatch(/^connection: close\r?$/im)
    expect(JSON.parse(body)).toMatchObject({ type: 'about:blank', title: 'Bad Request', status: 400 })
  })

  test('garbage behind a request is not answered as if it were that request', async () => {
    expect(await send(url, 'GET /sites HTTP/1.1\r\nHost: x\r\n\r\nMAKE COFFEE\r\n\r\n')).not.toContain('400')
  })

  test('an Expect that means nothing here is passed over', async () => {
    const head = 'GET /sites HTTP/1.1\r\nHost: x\r\nExpect: coffee\r\nConnection: close\r\n\r\n'
    expect(await send(url, head)).toMatch(/^HTTP\/1\.1 200 OK\r\n/)
  })
})

async function listen(server: Server, port = 0): Promise<number> {
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

async function takesConnections(url: string): Promise<boolean> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

/** All that comes back for these bytes, until the server closes the connection. */
async function send(url: string, bytes: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(bytes)
  return await text(socket)
}

const longListRows = 1_300

/** Computers enough that their list does not fit into what a connection holds while nobody reads. */
async function longList() {
  await sql`insert into site (id, name) values (2, 'Site 2') on conflict do nothing`
  await sql`
    insert into computer (id, name, site_id)
    select id, repeat('x', 10000), 2
    from generate_series(1, ${longListRows}::int) as id
    on conflict do nothing`
}

/** A response whose head has come, and whose body waits to be read. */
async function slowly(url: string): Promise<IncomingMessage> {
  // That it breaks off is an error of the response, and one of the request once more.
  const request = get(url).on('error', () => {})
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return response
}
