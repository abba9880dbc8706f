import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createLog, type LoggedError } from '../src/log.ts'
import { testDatabase, throughPgBouncer } from './database.ts'
import { run } from './postgres.ts'
import { type Program, startProgram } from './process.ts'

// Canaries: what is sent, or stored, has this in it, and the log must not.
const word = `Canary-${crypto.randomUUID()}`
const uuid = crypto.randomUUID()
const password = `${word}-password`
const role = `lab_inventory_logs_${process.pid}`

const { url: admin } = await testDatabase()
await run(admin, `create role ${role} login superuser password '${password}'`)
afterAll(() => run(admin, `drop role if exists ${role}`).catch(() => {}))

function databaseUrl() {
  const url = new URL(admin)
  url.username = role
  url.password = password
  return url.href
}

type Line = { level: number; requestId?: string; status?: number; route?: string; msg?: string; err?: LoggedError }

let program: Program
let url: string
beforeAll(async () => {
  program = startProgram(process.execPath, ['src/main.ts'], {
    env: { DATABASE_URL: databaseUrl(), PORT: '0', LOG_LEVEL: 'trace', LOG_SLOW_MS: '1', SERVER_TIMING: 'on' },
  })
  url = JSON.parse(await program.line(/"msg":"listening"/)).url
})

/** Sends it with canaries in all headers that may be secret, and returns the status and the request's lines in the log. */
async function send(method: string, path: string, body?: string, type = 'application/json') {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: {
      Authorization: `Bearer ${word}`,
      Cookie: `session=${word}`,
      Referer: `http://${word}.example/`,
      'User-Agent': word,
      'X-Api-Key': word,
      'X-Request-Id': `${word} is none`,
      ...(body !== undefined && { 'Content-Type': type }),
    },
    ...(body !== undefined && { body }),
  })
  await response.arrayBuffer()
  const id = response.headers.get('x-request-id') as string
  await program.line(new RegExp(`"requestId":"${id}".*"status"`))
  const lines = program.lines.filter((line) => line.includes(id)).map((line) => JSON.parse(line) as Line)
  return { status: response.status, lines }
}

function expectNoCanary() {
  const printed = program.lines.join('\n').toLowerCase()
  const found = [word, uuid].map((each) => each.toLowerCase()).filter((each) => printed.includes(each))
  expect(found.map((each) => printed.slice(printed.indexOf(each) - 300, printed.indexOf(each) + 100))).toEqual([])
}

const json = (fields: object) => JSON.stringify(fields)

const aRole = 'PgBouncer knows no role that is made while it runs'
if (throughPgBouncer) console.info(`Skipped, because ${aRole}: the canaries in the log of a server.`)

describe.skipIf(throughPgBouncer)('a log of everything has nothing that was sent', () => {
  test.each([
    [200, 'POST', '/site/1', json({ name: word, contact: word })],
    [200, 'GET', `/sites?name__contains=${word}`],
    [200, 'GET', `/search?q=${word}`],
    [200, 'POST', '/freezer/1', json({ name: word, site_id: 1 })],
    [200, 'POST', '/container/1', json({ uuid, description: word, freezer_id: 1 })],
    [409, 'POST', '/container/2', json({ uuid, description: word, freezer_id: 1 })],
    [409, 'POST', '/freezer', json({ name: word, site_id: 999 })],
    [400, 'POST', '/site', json({ name: word, [word]: word })],
    [400, 'POST', '/site', `{"name": "${word}`],
    [400, 'GET', `/sites?${word}=1`],
    [400, 'GET', `/sites?limit=2&cursor=${word}`],
    [400, 'GET', `/sites?id=${word}`],
    [400, 'GET', `/site/${word}`],
    [404, 'GET', `/site/1/${word}`],
    [404, 'GET', `/${word}/${uuid}?${word}=${word}`],
    [405, 'DELETE', `/sites`, json({ name: word })],
  ])('%i: %s %s', async (expected, method, path, body?: string) => {
    const { status, lines } = await send(method, path, body)
    expect(status).toBe(expected)
    expect(lines.filter((line) => line.status)).toEqual([
      expect.objectContaining({ status, method, route: expect.any(String), durationMs: expect.any(Number) }),
    ])
    expectNoCanary()
  })

  test('415', async () => {
    expect((await send('POST', '/site', word, 'text/plain')).status).toBe(415)
    expectNoCanary()
  })
})

describe.skipIf(throughPgBouncer)('what goes wrong in the database is logged without the values', () => {
  const upsert = () => send('POST', '/site/2', json({ name: word, address: uuid }))

  /** The error in the log of a request that is answered with 500. */
  async function errorOf({ status, lines }: Awaited<ReturnType<typeof send>>): Promise<LoggedError> {
    expect(status).toBe(500)
    const error = lines.find(({ level }) => level === 50)?.err as LoggedError
    expectNoCanary()
    const told = { statement: 'upsertSite', sql: expect.stringMatching(/insert into site[\s\S]*\$1/) }
    expect(error).toMatchObject({ type: 'PostgresError', code: expect.any(String), ...told })
    expect(error.stack.join()).toMatch(/node_modules\/postgres\/.*:\d+:\d+/)
    return error
  }

  test('a row that a constraint refuses: Postgres tells all of it in the detail', async () => {
    await run(admin, `alter table site add constraint site_test_check check (name not like 'Canary%') not valid`)
    const error = await errorOf(await upsert())
    expect(error).toMatchObject({ code: '23514', constraint: 'site_test_check', table: 'site' })
    expect(error.message).toContain('violates check constraint')
    await run(admin, `alter table site drop constraint site_test_check`)
  })

  test("a trigger of an admin's that quotes what it refuses", async () => {
    await run(
      admin,
      `create function refuse() returns trigger language plpgsql as $$ begin raise '% is no name', new.name; end $$;
      create trigger refuse before insert on site execute function refuse()`.replace(
        'site execute',
        'site for each row execute',
      ),
    )
    expect(await errorOf(await upsert())).toMatchObject({ code: 'P0001', routine: 'exec_stmt_raise' })
    await run(admin, 'drop function refuse cascade')
  })

  test('a value that Postgres can not take for what it should be', async () => {
    await run(
      admin,
      `create function measure() returns trigger language plpgsql as $$ begin new.contact = new.name::int; return new; end $$;
      create trigger measure before insert on site for each row execute function measure()`,
    )
    const { status } = await upsert()
    expect([400, 500]).toContain(status)
    expectNoCanary()
    await run(admin, 'drop function measure cascade')
  })

  test('a table that is gone', async () => {
    await run(admin, 'alter table site rename to place')
    expect((await errorOf(await upsert())).message).toBe('relation "site" does not exist')
    await run(admin, 'alter table place rename to site')
  })

  test('a database that lets nobody in any more', async () => {
    await run(admin, `alter role ${role} nologin`)
    await run(admin, `select pg_terminate_backend(pid) from pg_stat_activity where usename = '${role}'`)
    const says = async () => {
      expect((await send('POST', '/site/2', json({ name: word }))).status).toBe(503)
      return program.lines.some((line) => /waiting for the database: .* not permitted to log in/.test(line))
    }
    await expect.poll(says, { timeout: 10_000 }).toBe(true)
    expect((await send('GET', '/readyz')).status).toBe(503)
    expectNoCanary()
    await run(admin, `alter role ${role} login`)
    await program.line(/the database can be used/)
  })
})

test('a password that is wrong is not told', async () => {
  const wrong = new URL(databaseUrl())
  wrong.pathname = '/lab_inventory_nowhere'
  const other = startProgram(process.execPath, ['src/main.ts'], {
    env: { DATABASE_URL: wrong.href, PORT: '0', LOG_LEVEL: 'trace' },
  })
  await other.line(/waiting for the database/)
  other.kill('SIGTERM')
  await other.ended()
  expect(other.lines.join('\n')).not.toContain(word)
})

describe('an error', () => {
  /** As a log line has it. */
  function logged(error: unknown): LoggedError {
    let line = ''
    createLog('info', {
      write: (text) => {
        line = text
      },
    }).error(error as Error)
    expect(line).not.toContain(word)
    return JSON.parse(line).err
  }

  test.each([
    ['of JSON', () => JSON.parse(`{"a": ${word}`)],
    ['of a number', () => BigInt(word)],
    ['of a URL', () => new URL(word)],
    ['of an argument that Node does not know', () => Buffer.from('', word as never)],
    ['of an argument of another type', () => Buffer.from(Symbol(word) as never)],
  ])('%s keeps its kind and place, and not the value', (_, fail) => {
    let error: unknown
    try {
      fail()
    } catch (thrown) {
      error = thrown
    }
    const { type, stack } = logged(error)
    expect(type).toMatch(/Error$/)
    expect(stack[0]).toMatch(/^at /)
  })

  test('in the message of which there is what looks like a frame', () => {
    const error = new SyntaxError(`x\n    at ${word} (file:1:2)\n    at ${word} (file:3:4)`)
    expect(logged(error).stack.join()).toContain('logs.test.ts')
  })

  test('with more on it than a message, or a cause, or that is none', () => {
    const cause = Object.assign(new RangeError(word), { code: 'E_CAUSE', parameters: [word] })
    const error = Object.assign(new Error('it broke', { cause }), {
      input: word,
      args: [word],
      detail: word,
      hint: word,
    })
    expect(logged(error)).toMatchObject({ type: 'Error', message: 'it broke', cause: { code: 'E_CAUSE' } })
    expect(logged(new AggregateError([new URIError(word)], 'several')).errors).toHaveLength(1)
    logged({ err: word } as never)
  })
})
