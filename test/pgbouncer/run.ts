import '../../src/node_version.js'
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chownSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { binaries, type Version, whoRuns, withoutDebian } from '../faults/binaries.ts'

// npm run test:pgbouncer [-- FILE…]: all tests, or these, with a PgBouncer in transaction mode between the server and Postgres. Both
// are started for it, with what they need in a folder that is gone afterwards.

const pgbouncer = ['/usr/sbin/pgbouncer', '/usr/bin/pgbouncer', '/opt/homebrew/bin/pgbouncer'].find(existsSync)
if (!pgbouncer) {
  console.info("Skipped, because Debian's package pgbouncer is not installed: the tests through PgBouncer.")
  process.exit()
}

const version: Version = withoutDebian ? 18 : 15
const bin = await binaries(version)
const who = whoRuns()
const folder = mkdtempSync(path.join(tmpdir(), 'lab-inventory-pgbouncer-'))
const [data, ini, users] = ['data', 'pgbouncer.ini', 'users'].map((name) => path.join(folder, name)) as [
  string,
  string,
  string,
]
const [postgresPort, port] = [await freePort(), await freePort()]
const url = `postgresql://tester@127.0.0.1:${postgresPort}/postgres`

// Server connections are given to another client after each transaction; few of them, so that this does happen. Those that are idle
// are closed soon: there is one pool for each of the many databases that the tests make. What it is not told to
// ignore of the parameters of a session, it refuses.
writeFileSync(
  ini,
  `[databases]
* = host=127.0.0.1 port=${postgresPort}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = trust
auth_file = ${users}
pool_mode = transaction
stats_users = tester
default_pool_size = 4
max_client_conn = 2000
server_idle_timeout = 2
server_login_retry = 1
log_connections = 0
log_disconnections = 0
`,
)
writeFileSync(users, '"tester" ""\n')
if (who) for (const file of [folder, ini, users]) chownSync(file, who.uid, who.gid)

const clean = { ...who, cwd: '/', env: { PATH: process.env.PATH } }
execFileSync(
  path.join(bin, 'initdb'),
  ['-D', data, '-U', 'tester', '-A', 'trust', '-E', 'UTF8', '--no-sync', '--locale=C.UTF-8'],
  {
    ...clean,
    stdio: 'ignore',
  },
)
const fast = ['fsync=off', 'synchronous_commit=off', 'full_page_writes=off', 'max_connections=300']
const settings = [...fast, 'listen_addresses=127.0.0.1', 'unix_socket_directories=', `port=${postgresPort}`]
// With DATABASE_PREPARE=off a server sends no parameters of a session: these are for the admin to set, for the role or the database.
const forSessions = ['statement_timeout=9500', 'lock_timeout=3000', 'jit=off']
const started = [
  spawn(path.join(bin, 'postgres'), ['-D', data, ...settings.flatMap((setting) => ['-c', setting])], {
    ...clean,
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore'],
  }),
  spawn(pgbouncer, [ini], { ...clean, detached: true, stdio: ['ignore', 'ignore', 'pipe'] }),
]
const log: string[] = []
started[1]?.stderr?.setEncoding('utf8').on('data', (text) => log.push(text))
process.once('exit', () => {
  for (const each of started) each.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
})
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(1))

await Promise.all([takesConnections(postgresPort), takesConnections(port)])
const { run } = await import('../postgres.ts')
for (const setting of forSessions) await run(url, `alter role tester set ${setting.replace('=', ' = ')}`)
const throughUrl = url.replace(String(postgresPort), String(port))
await run(throughUrl, 'select 1')
console.info(
  `Testing through ${execFileSync(pgbouncer, ['--version'], { encoding: 'utf8' }).split('\n')[0]} in transaction mode.`,
)

const vitest = ['node_modules/vitest/vitest.mjs', 'run', '--config', 'test/vitest.config.ts', ...process.argv.slice(2)]
// Not one that blocks: what PgBouncer logs has to be read meanwhile, or it waits for that.
const tests = spawn(process.execPath, ['--import', './src/node_version.js', ...vitest], {
  stdio: 'inherit',
  env: {
    ...process.env,
    TEST_DATABASE_URL: url,
    TEST_PGBOUNCER_URL: throughUrl,
    DATABASE_PREPARE: 'off',
    NODE_OPTIONS: `--import ${new URL('preload.js', import.meta.url).href}`,
  },
})
const [status] = await once(tests, 'exit')
const [row] = await run(throughUrl.replace(/\/postgres$/, '/pgbouncer'), 'show totals').catch(() => [])
if (row) console.info(`PgBouncer took ${JSON.stringify(row)}`)
const complaints = log
  .join('')
  .split('\n')
  .filter((line) => /(ERROR|FATAL)/.test(line))
if (complaints.length > 0) console.info(`It logged ${complaints.length} errors, such as: ${complaints[0]}`)
started[0]?.kill('SIGQUIT')
await once(started[0] as never, 'exit')
process.exit(status ?? 1)

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

async function takesConnections(port: number) {
  for (const deadline = performance.now() + 30_000; ; await sleep(50)) {
    const socket = connect(port, '127.0.0.1')
    const connected = await once(socket, 'connect').then(
      () => true,
      () => false,
    )
    socket.destroy()
    if (connected) return
    if (performance.now() > deadline) throw new Error(`Nothing listens on ${port}. ${log.join('')}`)
  }
}
