import './node_version.js'
import { access, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Writable } from 'node:stream'
import { parseArgs } from 'node:util'
import { readConfig } from './config.ts'
import { contents, drop } from './contents.ts'
import { ask, describeTarget, type Programs, programsFor, start, target } from './postgres_programs.ts'

const help = `Usage: npm run restore -- FILE [--clean] [--no-privileges]

Reads a backup, made by npm run backup or by pg_dump --format=custom, into the database that DATABASE_URL names: all of it, in
one transaction, or, if anything goes wrong, nothing. The database has to be there, and to be empty.

--clean          drops all tables, views, functions, types and schemas of the database first, in the same transaction.
--no-privileges  leaves out which roles may do what, for a server that hasn't these roles.
--help           prints this.

Everything belongs to the user of DATABASE_URL afterwards. If the backup is older than the server, start the server, or run
npm run db:migrate, next. Stop the server before --clean: until it is done, requests would wait.
Needs pg_restore and psql of the server's version or newer.`

const { values, positionals } = readArguments()
if (values.help) {
  console.info(help)
  process.exit()
}
const [file] = positionals
if (!file || positionals.length > 1) fail(`Which file?\n\n${help}`)
const result = readConfig({ DATABASE_URL: process.env.DATABASE_URL })
if ('errors' in result) fail(result.errors.join('\n'))
const { databaseUrl } = result.config
// Of several hosts, the one that takes writes.
process.env.PGTARGETSESSIONATTRS ??= 'read-write'
const name = describeTarget(databaseUrl)
let committing = false
await restore(file).catch((error) => {
  // Only a connection that is lost while it commits leaves a doubt.
  const isSure = !committing || error.message.includes('ERROR: ')
  fail(
    `${error.message}\n${isSure ? 'Nothing has been changed in' : 'It is not known whether that was the end of it; look into'} ${name}.`,
  )
})

function readArguments() {
  try {
    const options = {
      clean: { type: 'boolean' },
      'no-privileges': { type: 'boolean' },
      help: { type: 'boolean' },
    } as const
    return parseArgs({ allowPositionals: true, options })
  } catch (error) {
    fail(`${(error as Error).message}\n\n${help}`)
  }
}

async function restore(file: string) {
  const startedAt = performance.now()
  await access(file).catch(() => {
    throw new Error(`There is no file ${file} that can be read.`)
  })
  const { programs, list } = await open(await programsFor(databaseUrl), file)
  const there = await ask(programs, databaseUrl, `${contents} select kind || ' ' || name from contents order by 1`)
  if (there.length > 0 && !values.clean) {
    const some = there.slice(0, 8).join(', ') + (there.length > 8 ? ' and more' : '')
    throw new Error(`${name} is not empty: it has ${some}. With --clean, all of that is dropped.`)
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'lab-inventory-restore-'))
  try {
    const wanted = path.join(folder, 'list')
    await writeFile(wanted, await leaveOut(programs, list))
    await replay(programs, file, wanted)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  const seconds = ((performance.now() - startedAt) / 1_000).toFixed(1)
  const query = 'select name from pgmigrations order by run_on desc, id desc limit 1'
  const [migration = 'none'] = await ask(programs, databaseUrl, query).catch(() => [])
  console.error(`Restored ${file} into ${name} in ${seconds} s. Its last migration is ${migration}.`)
  // Without it, the planner and ?count=estimated know nothing of the rows until autovacuum comes by.
  await ask(programs, databaseUrl, 'analyze').catch((error) =>
    console.error(`The rows are there, but "analyze" failed: ${error.message}`),
  )
}

/** The programs to use, the oldest that can read the file, and what is in it, as pg_restore lists it. */
async function open(candidates: Programs[], file: string): Promise<{ programs: Programs; list: string }> {
  let reason = ''
  for (const programs of candidates) {
    try {
      return { programs, list: await start(programs, 'pg_restore', ['--list', file]).done }
    } catch (error) {
      reason = (error as Error).message
    }
  }
  throw new Error(`${file} can't be read: ${reason}`)
}

/**
 * The list without what may be there already, and without what only the owner of an extension may say of it: an admin may have
 * created those.
 */
async function leaveOut(programs: Programs, list: string): Promise<string> {
  // What --clean drops is not there any more by then.
  const query = `${contents}
    select nspname
    from pg_namespace
    where quote_ident(nspname) not in (select name from contents where kind = 'schema')`
  const schemas = new Set(await ask(programs, databaseUrl, query))
  return list
    .split('\n')
    .filter((line) => !/^\d+; \d+ \d+ COMMENT - EXTENSION /.test(line))
    .filter((line) => !schemas.has(/^\d+; \d+ \d+ SCHEMA - (\S+) /.exec(line)?.[1] ?? ''))
    .join('\n')
}

/**
 * Has psql run, in one transaction, what pg_restore makes of the file. psql takes the end of its input for the end of its work, so
 * the "commit" is ours, and comes only when pg_restore has got to the end.
 */
async function replay(programs: Programs, file: string, list: string) {
  const { url, env } = target(databaseUrl)
  const quiet = ['--no-psqlrc', '--no-password', '--quiet', '--set', 'ON_ERROR_STOP=1', '--file=-', '--dbname', url]
  const psql = start(programs, 'psql', quiet, { env, stdio: ['pipe', 'ignore', 'pipe'] })
  const input = psql.child.stdin as Writable
  // What psql says itself when it ends too early is the better reason.
  input.on('error', () => {})
  input.write(`begin;\nset local client_min_messages = warning;\n${values.clean ? drop : ''}`)
  const privileges = values['no-privileges'] ? ['--no-privileges'] : []
  const options = ['--file=-', '--no-owner', '--verbose', `--use-list=${list}`, ...privileges]
  const pgRestore = start(programs, 'pg_restore', [...options, file], {
    into: input,
    onLine(line) {
      const [, table] = /processing data for table "?([^"]+)"?/.exec(line) ?? []
      if (table) console.error(`  ${table}`)
      return /^pg_restore: (?!error|detail|hint|warning)/.test(line)
    },
  })
  try {
    const tooEarly = psql.done.then(() => {
      throw new Error('psql ended before the end of the file.')
    })
    await Promise.race([pgRestore.done, tooEarly])
    committing = true
    input.end('\ncommit;\n')
    await psql.done
  } finally {
    pgRestore.child.kill()
    psql.child.kill()
  }
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}
