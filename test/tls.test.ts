import { execFile } from 'node:child_process'
import { chownSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openClient } from '../src/client.ts'
import { describe as reasonOf } from '../src/database/circuit.ts'
import { connectionOptions, sqlOf } from '../src/database/connect.ts'
import { openConnection } from '../src/database/connection.ts'
import { tlsOf } from '../src/database/tls.ts'
import { whoRuns, withoutDebian } from './faults/binaries.ts'
import { type Cluster, startCluster } from './faults/cluster.ts'
import { startProgram } from './process.ts'

const folder = mkdtempSync(join(tmpdir(), 'lab-inventory-tls-'))
afterAll(() => rmSync(folder, { recursive: true }))
const [ca, key] = ['ca.pem', 'key.pem'].map((name) => {
  writeFileSync(join(folder, name), name)
  return join(folder, name)
})

test('without a word of TLS there is none', () => {
  for (const query of ['', '?sslmode=disable', '?ssl=false']) {
    expect(tlsOf(`postgresql://db.example/lab${query}`)).toEqual({ url: 'postgresql://db.example/lab' })
  }
})

test.each(['?sslmode=require', '?ssl=require', '?ssl=no-verify', '?sslmode=require&ssl=true&sslnegotiation=direct'])(
  'with %s it may be any certificate, and neither driver hears of it',
  (query) => {
    const { url, ssl, optional } = tlsOf(`postgresql://db.example/lab${query}`)
    expect([url, ssl?.rejectUnauthorized, optional]).toEqual(['postgresql://db.example/lab', false, undefined])
  },
)

test('with a root certificate the one of the server has to come from it, and may be for any host', () => {
  const { url, ssl } = tlsOf(`postgresql://db.example/lab?sslmode=require&sslrootcert=${ca}&x=1`)
  expect(url).toBe('postgresql://db.example/lab?x=1')
  expect(ssl).toMatchObject({ ca: Buffer.from('ca.pem'), rejectUnauthorized: true })
  expect(ssl?.checkServerIdentity?.('other.example', {} as never)).toBeUndefined()
})

test.each([
  ['db.example', 'sslmode=verify-full', 'db.example'],
  ['db.example', 'ssl=true', 'db.example'],
  ['127.0.0.1', 'sslmode=verify-full', '127.0.0.1'],
  ['[::1]', 'sslmode=verify-full', '::1'],
])('of %s with %s it has to be for %s', (host, query, name) => {
  const { url, ssl } = tlsOf(`postgresql://${host}/lab?${query}`)
  expect(url).toBe(`postgresql://${host}/lab`)
  expect(ssl).toEqual({ rejectUnauthorized: true, host: name })
})

test('a key of the client without a root certificate asks for nothing of the server', () => {
  const { ssl } = tlsOf(`postgresql://db.example/lab?sslkey=${key}&sslcert=${ca}`)
  expect(ssl).toMatchObject({ cert: Buffer.from('ca.pem'), key: Buffer.from('key.pem'), rejectUnauthorized: false })
})

test('a file that can not be read is an error that names it', () => {
  expect(() => tlsOf('postgresql://db.example/lab?sslrootcert=/nowhere.pem')).toThrow('/nowhere.pem')
})

const execute = promisify(execFile)
const without =
  withoutDebian ??
  (await execute('openssl', ['version']).then(
    () => undefined,
    () => 'openssl is not installed',
  ))
if (without) console.info(`Skipped, because ${without}: connecting to a Postgres that has TLS.`)

/** A certificate for this, which signs itself. */
async function certificate(name: string, alternative: string) {
  const file = join(folder, `${name}.pem`)
  const options = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', `/CN=${name}`]
  const files = ['-keyout', `${file}.key`, '-out', file, '-addext', `subjectAltName=${alternative}`]
  await execute('openssl', ['req', ...options, ...files])
  const who = whoRuns()
  if (who) chownSync(`${file}.key`, who.uid, who.gid)
  return file
}

const files = without ? [] : [await certificate('here', 'IP:127.0.0.1'), await certificate('there', 'DNS:db.example')]
const [here = '', there = ''] = files
let cluster: Cluster
if (!without) {
  const who = whoRuns()
  // Its certificates are in there.
  if (who) chownSync(folder, who.uid, who.gid)
  cluster = await startCluster({ version: 15 })
}

/** Has Postgres present this certificate from now on, or none. */
async function present(file: string | undefined) {
  const settings = file ? { ssl: 'on', ssl_cert_file: file, ssl_key_file: `${file}.key` } : { ssl: 'off' }
  for (const [name, value] of Object.entries(settings)) await cluster.run(`alter system set ${name} = '${value}'`)
  await cluster.run('select pg_reload_conf()')
  // The first process reads them before it starts another that knows them; but it may not have been told yet.
  const known = Object.entries(settings).map(([name, value]) => `current_setting('${name}') = '${value}'`)
  while ((await cluster.run(`select where ${known.join(' and ')}`)).length === 0);
}

/** Whether both that the server uses and that migrations use are encrypted, or why there is no connection. */
async function encryption(query: string) {
  const url = `${cluster.url}?${query}`
  const question = 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'
  const migrations = async () => {
    const client = await openClient(url)
    const { rows } = await client.query(question)
    await client.end()
    return rows[0].ssl
  }
  const server = async () => {
    const connection = await openConnection(url, connectionOptions({ timeoutMs: 10_000, prepare: true }))
    const sql = sqlOf(connection.ask)
    const [row] = await sql`select ssl from pg_stat_ssl where pid = pg_backend_pid()`
    await connection.end()
    return row?.ssl
  }
  return await Promise.all([server().catch(reasonOf), migrations().catch(reasonOf)])
}

describe.skipIf(without)('migrations and the server agree on TLS, with a certificate', () => {
  const no = (reason: RegExp) => [expect.stringMatching(reason), expect.stringMatching(reason)]

  describe('for the host that is asked', () => {
    beforeAll(() => present(here))
    test.each([
      ['sslmode=disable', [false, false]],
      ['sslmode=prefer', [true, true]],
      ['sslmode=require', [true, true]],
      ['sslmode=require&sslnegotiation=direct', [true, true]],
      ['sslmode=require&sslrootcert=OTHER', no(/self-signed|unable to verify/)],
      ['sslmode=verify-ca', no(/self-signed/)],
      ['sslmode=verify-full', no(/self-signed/)],
      ['sslmode=verify-full&sslrootcert=HERE', [true, true]],
    ])('%s', async (query, expected) => {
      expect(await encryption(query.replace('HERE', here).replace('OTHER', there))).toEqual(expected)
    })

    test('the server starts on an empty database, and nobody warns', { timeout: 20_000 }, async () => {
      const env = { DATABASE_URL: `${cluster.url}?sslmode=require`, PORT: '0' }
      const program = startProgram(process.execPath, ['--import', './src/node_version.js', 'src/main.ts'], { env })
      await program.line(/applied migration 0003/)
      const listening = program.lines.find((line) => line.includes('"msg":"listening"'))
      const { url } = JSON.parse(listening ?? (await program.line(/"msg":"listening"/)))
      await expect.poll(async () => (await fetch(`${url}/readyz`)).status, { timeout: 5_000 }).toBe(200)
      expect(program.lines.join('\n')).not.toMatch(/WARNING/i)
    })
  })

  describe('for another host', () => {
    beforeAll(() => present(there))
    test.each([
      ['sslmode=require&sslrootcert=OTHER', [true, true]],
      ['sslmode=verify-ca&sslrootcert=OTHER', [true, true]],
      ['sslmode=verify-full&sslrootcert=OTHER', no(/IP: 127\.0\.0\.1 is not in the cert/)],
    ])('%s', async (query, expected) => {
      expect(await encryption(query.replace('OTHER', there))).toEqual(expected)
    })
  })

  describe('that it has not', () => {
    beforeAll(() => present(undefined))
    test.each([
      ['sslmode=prefer', [false, false]],
      ['sslmode=require', no(/no TLS|does not support SSL/)],
    ])('%s', async (query, expected) => {
      expect(await encryption(query)).toEqual(expected)
    })
  })
})

test('what the migrations wait for is said when it lasts', { timeout: 20_000 }, async () => {
  const env = { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none', PORT: '0' }
  const program = startProgram(process.execPath, ['--import', './src/node_version.js', 'src/main.ts'], { env })
  const line = JSON.parse(await program.line(/the migrations wait for the database/))
  expect(line).toMatchObject({ level: 40, msg: expect.stringContaining('ECONNREFUSED') })
  expect(program.lines.filter((each) => each.includes('"msg":"waiting for the database'))).toHaveLength(1)
})
