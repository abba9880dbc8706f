import './node_version.js'
import { existsSync, rmSync } from 'node:fs'
import { mkdir, open, rm, stat } from 'node:fs/promises'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { readConfig } from './config.ts'
import { describeTarget, type Programs, programsFor, type Running, start, target } from './postgres_programs.ts'
import { takeName } from './take_name.ts'

const help = `Usage: npm run backup -- [FILE]

Writes a backup of the whole database that DATABASE_URL names: all tables as they are at one moment, while the server goes on.
It is a file of pg_dump's custom format, compressed; npm run restore reads it, and so does pg_restore.

FILE       where to; without it, .data/backup/DATABASE-TIME.dump. There must be no such file yet. Only its owner may read it.
-          to standard output: npm run --silent backup -- - | ssh backup-host 'cat > inventory.dump'
--help     prints this.

The file is complete once it has its name: until then it is called FILE.partial-N, and it is read through before it is renamed.
Needs pg_dump, pg_restore and psql of the server's version or newer.`

const { values, positionals } = readArguments()
if (values.help) {
  console.info(help)
  process.exit()
}
const result = readConfig({ DATABASE_URL: process.env.DATABASE_URL })
if ('errors' in result) fail(result.errors.join('\n'))
const { databaseUrl } = result.config
let running: Running | undefined
try {
  const file = positionals[0] ?? defaultFile()
  // The oldest that fits: what pg_dump writes is read by a pg_restore of its own version or newer.
  const [programs] = (await programsFor(databaseUrl)) as [Programs]
  await (file === '-' ? print(programs) : save(programs, file))
} catch (error) {
  fail((error as Error).message)
}

function readArguments() {
  try {
    const parsed = parseArgs({ allowPositionals: true, options: { help: { type: 'boolean' } } })
    if (parsed.positionals.length > 1) fail(`That is more than one file.\n\n${help}`)
    return parsed
  } catch (error) {
    fail(`${(error as Error).message}\n\n${help}`)
  }
}

function defaultFile() {
  const name = describeTarget(databaseUrl)
    .replace(/ on .*/s, '')
    .replaceAll(/[^\w.-]/g, '_')
  return path.join('.data', 'backup', `${name}-${new Date().toISOString().slice(0, 19).replaceAll(':', '-')}Z.dump`)
}

async function print(programs: Programs) {
  if (process.stdout.isTTY) throw new Error('A backup is no text for a terminal: send it to a file or to a program.')
  running = dump(programs, [], ['ignore', 'inherit', 'pipe'])
  await running.done
}

async function save(programs: Programs, file: string) {
  if (existsSync(file)) throw new Error(`There is a file ${file} already. It stays as it is.`)
  const startedAt = performance.now()
  await mkdir(path.dirname(file), { recursive: true })
  const partial = `${file}.partial-${process.pid}`
  // Before pg_dump, which would have it read by everybody.
  await (await open(partial, 'wx', 0o600)).close()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      running?.child.kill()
      rmSync(partial, { force: true })
      process.exit(1)
    })
  }
  try {
    running = dump(programs, ['--file', partial], ['ignore', 'ignore', 'pipe'])
    await running.done
    await check(programs, partial)
    await takeName(partial, file)
  } finally {
    await rm(partial, { force: true })
  }
  await sync(path.dirname(file))
  const { size } = await stat(file)
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  console.error(`Backed up ${describeTarget(databaseUrl)} to ${file}: ${size} bytes in ${seconds} s.`)
}

function dump(programs: Programs, args: string[], stdio: ['ignore', 'ignore' | 'inherit', 'pipe']): Running {
  const { url, env } = target(databaseUrl)
  // A migration may hold a table for a while; beyond that it is better to say so than to wait.
  const options = ['--format=custom', '--verbose', '--no-password', '--lock-wait-timeout=60s', '--dbname', url]
  return start(programs, 'pg_dump', [...options, ...args], {
    env,
    stdio,
    onLine(line) {
      const [, table] = /dumping contents of table "?([^"]+)"?/.exec(line) ?? []
      if (table) console.error(`  ${table}`)
      return /^pg_dump: (?!error|detail|hint|warning)/.test(line)
    },
  })
}

/** Reads all of it, and finds out whether it is a database of this project at all. */
async function check(programs: Programs, file: string) {
  const list = await start(programs, 'pg_restore', ['--list', file]).done
  if (!/ TABLE DATA \S+ pgmigrations /.test(list)) {
    throw new Error(`${describeTarget(databaseUrl)} has none of the tables of this project. Is DATABASE_URL right?`)
  }
  await start(programs, 'pg_restore', ['--file=-', file], { stdio: ['ignore', 'ignore', 'pipe'] }).done
}

/** So that the name is still there after a power cut, as the bytes are, which pg_dump sees to. */
async function sync(folder: string) {
  const handle = await open(folder)
  await handle.sync().finally(() => handle.close())
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}
