import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { EventEmitter, once } from 'node:events'
import { chownSync, rmSync } from 'node:fs'
import { appendFile, mkdtemp, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import pg from 'pg'
import { withDatabase } from '../postgres.ts'
import { atEnd } from './at_end.ts'
import { binaries, type Version, whoRuns } from './binaries.ts'
import { folderPrefix } from './orphans.ts'
import { freePort } from './port.ts'
import { childrenOf, signal } from './process_tree.ts'

/** How long Postgres may take to start, and then how long to stop, before a test gives up on it. */
const patienceMs = 60_000

export type Cluster = {
  port: number
  directory: string
  /** The database lab_inventory as its owner, the role inventory, who is no superuser: for DATABASE_URL. */
  url: string
  /** The same database as the superuser. */
  adminUrl: string
  /** What it has logged since it was made. */
  lines: string[]
  /** Starts it, and resolves when it takes connections: to the time of that (performance.now()). */
  start: () => Promise<number>
  /** As `pg_ctl stop` does; resolves when all its processes have ended. */
  stop: (mode: 'smart' | 'fast' | 'immediate') => Promise<void>
  /** SIGKILL to its first process; the others notice. Resolves when all have ended. */
  kill9: () => Promise<void>
  /** SIGSTOP to all its processes: connections are made (by the kernel), and nothing is answered on them. */
  pause: () => void
  resume: () => void
  isRunning: () => boolean
  /** Runs a statement as the superuser, on a connection of its own, in lab_inventory or another database. */
  run: (statement: string, database?: string) => Promise<Record<string, unknown>[]>
  /** Only of Postgres 15: a copy that follows this one; synchronous, so that what is acknowledged is on both. */
  replica: (at?: { port: number }) => Promise<Cluster>
  /** Makes a replica take writes, which then wait for no other; resolves when it does, to the time of that. */
  promote: () => Promise<number>
}

const password = 'mock_test_pass'

/**
 * A Postgres that a test controls, started and with an empty database lab_inventory; it and its data are gone after the test.
 * It keeps its data as one in production does (fsync and the like are on). `settings` are lines of postgresql.conf. The data is
 * made in `parent`, which must be open to the user postgres, and the log of changes in `walParent` if that is given.
 */
export async function startCluster({
  version = 18,
  settings = [],
  parent = tmpdir(),
  walParent,
}: {
  version?: Version
  settings?: string[]
  parent?: string
  walParent?: string
} = {}): Promise<Cluster> {
  const folder = await makeFolder(parent)
  const wal = walParent && path.join(await makeFolder(walParent), 'wal')
  const passwordFile = path.join(folder, 'password')
  await writeFile(passwordFile, password)
  const data = path.join(folder, 'data')
  // --no-sync is of initdb alone. Segments of 1 MB, for those who fill a small disk.
  const flags = ['-A', 'scram-sha-256', '--pwfile', passwordFile, '-E', 'UTF8', '--no-sync', '--wal-segsize=1']
  const locale = version === 18 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : ['--locale=C.UTF-8']
  const initdb = ['-D', data, '-U', 'tester', ...flags, ...locale, ...(wal ? ['-X', wal] : [])]
  await command(version, 'initdb', initdb)
  await appendFile(path.join(data, 'postgresql.conf'), [...always, ...settings, ''].join('\n'))
  const cluster = await control(version, folder, await freePort())
  await cluster.start()
  await cluster.run(`create role inventory login password '${password}'`, 'postgres')
  await cluster.run('create database lab_inventory owner inventory', 'postgres')
  return cluster
}

const always = [
  "listen_addresses = '127.0.0.1'",
  "unix_socket_directories = ''",
  'shared_buffers = 32MB',
  'max_wal_size = 64MB',
  'min_wal_size = 8MB',
  // In words that are the same everywhere: start() looks for them.
  "lc_messages = 'C'",
]

async function makeFolder(parent: string) {
  const folder = await mkdtemp(path.join(parent, folderPrefix('postgres')))
  const who = whoRuns()
  if (who) chownSync(folder, who.uid, who.gid)
  atEnd(async () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

async function command(version: Version, program: string, args: string[]) {
  const file = path.join(await binaries(version), program)
  await promisify(execFile)(file, args, {
    ...whoRuns(),
    cwd: '/',
    env: { PATH: process.env.PATH, PGPASSWORD: password },
  })
}

async function control(version: Version, folder: string, port: number): Promise<Cluster> {
  const directory = path.join(folder, 'data')
  const file = path.join(await binaries(version), 'postgres')
  const lines: string[] = []
  const news = new EventEmitter().setMaxListeners(0)
  let child: ChildProcess | undefined
  let ended: Promise<unknown> = Promise.resolve()

  const isRunning = () => child !== undefined
  const urlOf = (user: string) => `postgresql://${user}:${password}@127.0.0.1:${port}/lab_inventory`

  async function start() {
    if (child) throw new Error('This Postgres is running')
    // A group of its own: Ctrl-C in a terminal is for the tests, which then stop it.
    const options = { ...whoRuns(), cwd: '/', detached: true, env: { PATH: process.env.PATH } }
    const started = spawn(file, ['-D', directory, '-p', String(port)], {
      ...options,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    child = started
    // "close" comes when nobody holds its stderr any more, which all its processes share.
    ended = once(started, 'close').then(() => {
      child = undefined
      news.emit('line', undefined)
    })
    createInterface({ input: started.stderr }).on('line', (line) => {
      lines.push(line)
      news.emit('line', line)
    })
    return await told(/ready to accept (read-only )?connections/)
  }

  /** The time at which it says this; fails if it ends without. */
  function told(pattern: RegExp): Promise<number> {
    const from = lines.length
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => give(undefined), patienceMs)
      function give(line: string | undefined) {
        if (line !== undefined && !pattern.test(line)) return
        clearTimeout(timer)
        news.off('line', give)
        if (line !== undefined) resolve(performance.now())
        else reject(new Error(`Postgres did not say ${pattern} but:\n${lines.slice(from).join('\n')}`))
      }
      news.on('line', give)
    })
  }

  async function end(name: NodeJS.Signals) {
    if (child?.pid) signal(child.pid, name)
    const timer = setTimeout(() => all('SIGKILL'), patienceMs)
    await ended
    clearTimeout(timer)
  }

  function all(name: NodeJS.Signals) {
    if (!child?.pid) return
    // The first one first, so that it starts no others meanwhile.
    const { pid } = child
    signal(pid, name)
    for (const each of childrenOf(pid)) signal(each, name)
  }

  async function stop(mode: 'smart' | 'fast' | 'immediate') {
    await end(({ smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const)[mode])
  }

  async function kill9() {
    const children = child?.pid ? childrenOf(child.pid) : []
    const gone = end('SIGKILL')
    // Those that are paused would not notice.
    for (const pid of children) signal(pid, 'SIGCONT')
    await gone
  }

  async function replica(at?: { port: number }) {
    if (version === 18) throw new Error('Only the Postgres of Debian has pg_basebackup')
    const copyFolder = await makeFolder(path.dirname(folder))
    const source = `host=127.0.0.1 port=${port} user=tester password=${password}`
    const copy = path.join(copyFolder, 'data')
    await command(version, 'pg_basebackup', ['-D', copy, '-d', source, '-c', 'fast', '-X', 'stream', '-N'])
    await writeFile(path.join(copy, 'standby.signal'), '')
    // The last line for a setting holds, also one of ALTER SYSTEM that came along with the copy.
    const following = `primary_conninfo = '${source} application_name=replica'\nsynchronous_standby_names = ''\n`
    await appendFile(path.join(copy, 'postgresql.auto.conf'), following)
    const cluster = await control(version, copyFolder, at?.port ?? (await freePort()))
    await cluster.start()
    await run("alter system set synchronous_standby_names = 'replica'")
    await run('select pg_reload_conf()')
    const isFollowing = "select from pg_stat_replication where application_name = 'replica' and sync_state = 'sync'"
    const deadline = performance.now() + patienceMs
    while ((await run(isFollowing)).length === 0) {
      if (performance.now() > deadline) throw new Error(`No replica follows:\n${cluster.lines.join('\n')}`)
    }
    return cluster
  }

  async function promote() {
    const ready = told(/ready to accept connections/)
    await run('select pg_promote(false)')
    return await ready
  }

  async function run(statement: string, database = 'lab_inventory') {
    const client = new pg.Client(withDatabase(urlOf('tester'), database))
    // Postgres may end meanwhile, and then the statement fails.
    client.on('error', () => {})
    await client.connect()
    try {
      return (await client.query(statement)).rows
    } finally {
      client.end().catch(() => {})
    }
  }

  const exit = () => all('SIGKILL')
  process.on('exit', exit)
  atEnd(async () => {
    all('SIGCONT')
    await stop('immediate')
    process.off('exit', exit)
  })

  return {
    port,
    directory,
    url: urlOf('inventory'),
    adminUrl: urlOf('tester'),
    lines,
    start,
    stop,
    kill9,
    pause: () => all('SIGSTOP'),
    resume: () => all('SIGCONT'),
    isRunning,
    run,
    replica,
    promote,
  }
}
