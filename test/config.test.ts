import { availableParallelism } from 'node:os'
import { expect, test } from 'vitest'
import { type Config, describeSettings, readConfig, warnOfConnections } from '../src/config.ts'
import { startProgram } from './process.ts'

const DATABASE_URL = 'postgresql://ada:secret@db.example:5432/inventory'

function errorsOf(env: Record<string, string | undefined>): string[] {
  const result = readConfig(env)
  return 'errors' in result ? result.errors : []
}

test('only DATABASE_URL is needed; the others have defaults', () => {
  const config = {
    databaseUrl: DATABASE_URL,
    host: '127.0.0.1',
    port: 5000,
    workers: 1,
    pool: 10,
    listPool: 2,
    prepare: true,
    queryTimeoutMs: 10_000,
    queryQueue: 1_000,
    requestTimeoutMs: 12_000,
    keepAliveTimeoutMs: 65_000,
    maxConnections: 4_000,
    migrate: true,
    logLevel: 'info',
    logSlowMs: 1_000,
    serverTiming: false,
  }
  expect(readConfig({ DATABASE_URL })).toEqual({ config })
})

test('every setting is read from its variable', () => {
  const env = {
    DATABASE_URL,
    HOST: '::',
    PORT: '0',
    WEB_CONCURRENCY: '16',
    DATABASE_POOL: '4',
    DATABASE_PREPARE: 'off',
    QUERY_TIMEOUT: '2500',
    QUERY_QUEUE: '50',
    REQUEST_TIMEOUT: '5000',
    KEEP_ALIVE_TIMEOUT: '20000',
    MAX_CONNECTIONS: '200',
    MIGRATE: 'off',
    LOG_LEVEL: 'silent',
    LOG_SLOW_MS: '50',
    SERVER_TIMING: 'on',
  }
  const config = {
    databaseUrl: DATABASE_URL,
    host: '::',
    port: 0,
    workers: 16,
    pool: 4,
    listPool: 1,
    prepare: false,
    queryTimeoutMs: 2_500,
    queryQueue: 50,
    requestTimeoutMs: 5_000,
    keepAliveTimeoutMs: 20_000,
    maxConnections: 200,
    migrate: false,
    logLevel: 'silent',
    logSlowMs: 50,
    serverTiming: true,
  }
  expect(readConfig(env)).toEqual({ config })
})

test('auto takes the cores, and connections that are not too many in all', () => {
  const config = (env: Record<string, string>) => readConfig({ DATABASE_URL, ...env })
  expect(config({ WEB_CONCURRENCY: 'auto' })).toMatchObject({ config: { workers: availableParallelism() } })
  for (const [workers, pool, listPool] of [
    [1, 10, 2],
    [6, 9, 2],
    [8, 6, 2],
    [20, 2, 1],
    [40, 1, 1],
  ]) {
    expect(config({ WEB_CONCURRENCY: String(workers) })).toMatchObject({ config: { workers, pool, listPool } })
  }
})

test.each([
  [{}, undefined],
  [{ WEB_CONCURRENCY: '16' }, undefined],
  [{ WEB_CONCURRENCY: '20' }, '20 workers may open 100 connections'],
  [{ WEB_CONCURRENCY: '64', DATABASE_POOL: 'auto' }, '64 workers may open 256 connections'],
  [{ WEB_CONCURRENCY: '64', DATABASE_POOL: '' }, '64 workers may open 256 connections'],
  [{ WEB_CONCURRENCY: '64', DATABASE_POOL: '2' }, undefined],
  [{ WEB_CONCURRENCY: '64', DATABASE_PREPARE: 'off' }, undefined],
])('with %j the warning of too many connections is %s', (env: Record<string, string>, warning) => {
  const { config } = readConfig({ DATABASE_URL, ...env }) as { config: Config }
  const said = warnOfConnections(config, env.DATABASE_POOL)
  expect(said).toEqual(warning && expect.stringMatching(`^${warning}`))
})

test('with up to 26 workers auto is 80 connections at most, without those that probe', () => {
  for (let workers = 1; workers <= 27; workers++) {
    const { config } = readConfig({ DATABASE_URL, WEB_CONCURRENCY: String(workers) }) as { config: Config }
    const { pool, listPool } = config
    expect([workers, workers * (pool + 2 * listPool) <= 80]).toEqual([workers, workers <= 26])
  }
})

test('a start says that there may be too many connections', async () => {
  // Nothing listens there: it is said before the database is asked.
  const env = { DATABASE_URL: 'postgresql://ada@127.0.0.1:1/lab', PORT: '0', WEB_CONCURRENCY: '20' }
  const program = startProgram(process.execPath, ['src/main.ts'], { env })
  expect(JSON.parse(await program.line(/may open/))).toMatchObject({ level: 40 })
  program.killGroup('SIGKILL')
  await program.ended()
})

test('an empty variable is one that is not set', () => {
  const empty = { HOST: '', PORT: '', WEB_CONCURRENCY: '', DATABASE_POOL: '', MIGRATE: '', LOG_LEVEL: '' }
  expect(readConfig({ DATABASE_URL, ...empty })).toEqual(readConfig({ DATABASE_URL }))
  expect(errorsOf({ DATABASE_URL: '' })).toEqual([expect.stringMatching(/^DATABASE_URL is not set\./)])
})

test('every bad variable is reported at once, by its name', () => {
  const env = {
    DATABASE_URL: 'db',
    PORT: '65536',
    WEB_CONCURRENCY: '0',
    DATABASE_POOL: '-1',
    DATABASE_PREPARE: 'no',
    QUERY_TIMEOUT: '10s',
    QUERY_QUEUE: '-1',
    REQUEST_TIMEOUT: '14s',
    KEEP_ALIVE_TIMEOUT: '-1',
    MAX_CONNECTIONS: 'all',
    MIGRATE: 'yes',
    LOG_LEVEL: 'loud',
    LOG_SLOW_MS: 'never',
    SERVER_TIMING: 'yes',
  }
  expect(errorsOf(env).map((error) => error.split(' ')[0])).toEqual(Object.keys(env))
})

test.each([
  ['PORT', ['-1', '5000.5', '1e3', '0x10', ' 80', '65536', 'http', '99999999999999999999']],
  ['WEB_CONCURRENCY', ['0', '-2', '257', 'all']],
  ['DATABASE_POOL', ['0', '1001', 'all']],
  ['DATABASE_PREPARE', ['ON', 'false']],
  ['QUERY_TIMEOUT', ['0', '99', '600001', '2s', '-1']],
  ['QUERY_QUEUE', ['-1', '100001', 'none']],
  ['MIGRATE', ['ON', 'true', '1', 'constructor']],
  ['LOG_LEVEL', ['INFO', 'warning', '30']],
  ['LOG_SLOW_MS', ['0', '-1', '0.5', '1s', '3600001']],
  ['SERVER_TIMING', ['ON', 'true', '1']],
])('a bad %s is refused', (name, values) => {
  for (const value of values) {
    expect(errorsOf({ DATABASE_URL, [name]: value })).toEqual([expect.stringContaining(`${name} must be`)])
  }
})

test.each([
  'postgresql://ada:secret@db.example:5432',
  'postgresql://ada:secret@db.example:5432/',
  'mysql://ada:secret@db.example/inventory',
  'ada:secret@db.example/inventory',
  'postgresql://ada:secret@db.example:port/inventory',
  'postgresql://ada:secret@db.example:99999/inventory',
  'postgresql://ada:sec/ret@db.example:5432/inventory',
  'postgresql://ada:secret%@db.example:5432/inventory',
  'postgresql://ada:secret@a.example:5432,b.example:port/inventory',
])('the DATABASE_URL %s is refused, and not repeated', (url) => {
  const [error, ...others] = errorsOf({ DATABASE_URL: url })
  expect(error).toMatch(/^DATABASE_URL must be /)
  expect(error).not.toMatch(/secret|sec\/ret|ada|example/)
  expect(others).toEqual([])
})

test.each([
  'postgres://localhost/inventory',
  'postgresql://ada@[::1]:5432/inventory',
  'postgresql://ada:secret@a.example:5432,b.example/inventory',
  'postgresql://ada:p%25%2Fw@db.example/inventory?sslmode=verify-full',
])('the DATABASE_URL %s is taken', (url) => {
  expect(readConfig({ DATABASE_URL: url })).toMatchObject({ config: { databaseUrl: url } })
})

test('a config can not be changed', () => {
  const result = readConfig({ DATABASE_URL })
  expect('config' in result && Object.isFrozen(result.config)).toBe(true)
})

test('--help names every variable, what it is for and its default, and needs none of them', async () => {
  const program = startProgram(process.execPath, ['src/main.ts', '--help'])
  expect(await program.ended()).toEqual({ code: 0, signal: null })
  const printed = program.lines.join('\n')
  expect(printed).toContain(describeSettings())
  for (const name of ['DATABASE_URL', 'HOST', 'PORT', 'WEB_CONCURRENCY', 'MIGRATE', 'LOG_LEVEL']) {
    expect(printed).toMatch(new RegExp(`^${name} +\\S.* (Default: \\S+|Needed)\\.$`, 'm'))
  }
})
