import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { access, constants, glob, realpath } from 'node:fs/promises'
import path from 'node:path'
import type { Writable } from 'node:stream'
import { promisify } from 'node:util'

/** A folder with pg_dump, pg_restore and psql of one major version of Postgres. */
export type Programs = { folder: string; version: number }

const names = ['pg_dump', 'pg_restore', 'psql'] as const

// Besides PATH: Debian's packages, those of postgresql.org for Red Hat and for macOS, and Homebrew's.
const places = [
  '/usr/lib/postgresql/*/bin',
  '/usr/pgsql-*/bin',
  '/Library/PostgreSQL/*/bin',
  '/opt/homebrew/opt/{libpq,postgresql@*}/bin',
  '/usr/local/opt/{libpq,postgresql@*}/bin',
]

/** Those on this machine, the oldest first, and of one version those on PATH first. */
export async function findPrograms(): Promise<Programs[]> {
  const folders = (process.env.PATH ?? '').split(path.delimiter).filter((folder) => path.isAbsolute(folder))
  for await (const folder of glob(places)) folders.push(folder)
  const found = await Promise.all([...new Set(folders)].map(look))
  return found.filter((programs) => programs !== undefined).sort((a, b) => a.version - b.version)
}

async function look(folder: string): Promise<Programs | undefined> {
  try {
    for (const name of names) {
      await access(path.join(folder, name), constants.X_OK)
      // Debian has a script on PATH that chooses one of those in its folders, by the clusters of this machine.
      if (path.basename(await realpath(path.join(folder, name))) === 'pg_wrapper') return undefined
    }
    const { stdout } = await promisify(execFile)(path.join(folder, 'pg_dump'), ['--version'])
    const version = Number(/^pg_dump \(PostgreSQL\) (\d+)/.exec(stdout)?.[1])
    return version ? { folder, version } : undefined
  } catch {
    return undefined
  }
}

/** Those that can be used with a server of this major version: its own or newer. Throws what to install if there are none. */
export function fitting(found: Programs[], server: number | undefined): Programs[] {
  const fit = found.filter(({ version }) => version >= (server ?? 0))
  if (fit.length > 0) return fit
  const had = found.length > 0 ? `only of ${found.map(({ version }) => version).join(', ')}` : 'none here'
  const wanted = server === undefined ? "of the server's version or newer" : `of version ${server} or newer`
  throw new Error(
    `This takes pg_dump, pg_restore and psql ${wanted}, and there are ${had}. ` +
      `Install Debian's package postgresql-client-${server ?? 'N'} (newer ones than Debian's own: https://apt.postgresql.org), ` +
      `Homebrew's libpq, or what else brings them; or run them in the container of the database: docs/operations.md says how.`,
  )
}

/**
 * The database, for a program's command line, where everybody on the machine can read it, without the password; that goes into
 * the environment. The programs take a URL as it is, several hosts too. Of two passwords the one in the query holds, as for libpq.
 */
export function target(databaseUrl: string): { url: string; env: Record<string, string> } {
  const [, start = '', before, rest = ''] =
    /^(postgres(?:ql)?:\/\/[^/@:?]*)(?::([^/@?]*))?(@.*)$/s.exec(databaseUrl) ?? []
  const [address = '', query = ''] = (before ? start + rest : databaseUrl).split(/\?(.*)/s)
  const parameters = query.split('&')
  const others = parameters.filter((parameter) => !isPassword(parameter))
  const password = parameters.findLast(isPassword)?.replace(/^[^=]*=?/, '') || before
  const url = others.join('&') ? `${address}?${others.join('&')}` : address
  return { url, env: password ? { PGPASSWORD: decodeURIComponent(password) } : {} }
}

// Its name may be written with %XX too.
function isPassword(parameter: string) {
  const [name = ''] = parameter.split('=')
  return decodeURIComponent(name) === 'password'
}

/** What it is called in messages: the database, and where. */
export function describeTarget(databaseUrl: string): string {
  const [, host = '', name = ''] = /^[^/]+\/\/(?:[^/@]*@)?([^/]*)\/([^?]*)/.exec(databaseUrl) ?? []
  return `${decodeURIComponent(name)} on ${host}`
}

type Stdio = ('ignore' | 'inherit' | 'pipe')[]

export type Running = {
  child: ChildProcess
  /** Resolves with what it printed on stdout, if that didn't go elsewhere; rejects with what it printed on stderr. */
  done: Promise<string>
}

/**
 * Starts one of the programs. Its stdout goes `into` there, if given, which is not ended with it. `onLine` is told each line that
 * it prints on stderr; those that it returns true for are not in an error.
 */
export function start(
  { folder }: Programs,
  name: (typeof names)[number],
  args: string[],
  {
    env = {},
    stdio = ['ignore', 'pipe', 'pipe'],
    into,
    onLine,
  }: { env?: Record<string, string>; stdio?: Stdio; into?: Writable; onLine?: (line: string) => boolean } = {},
): Running {
  const child = spawn(path.join(folder, name), args, { env: { ...process.env, ...env }, stdio })
  const output: Buffer[] = []
  const complaints: string[] = []
  let last = ''
  if (into) child.stdout?.pipe(into, { end: false })
  else child.stdout?.on('data', (bytes) => output.push(bytes))
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    const lines = (last + text).split('\n')
    last = lines.pop() ?? ''
    complaints.push(...lines.filter((line) => !onLine?.(line)))
  })
  const done = new Promise<string>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code, signal) => {
      if (code === 0) return resolve(Buffer.concat(output).toString())
      const said = [...complaints, last].filter(Boolean).join('\n')
      reject(new Error(said || `${name} ended with ${signal ?? code}`))
    })
  })
  // Whoever waits for it may not do so yet when it ends.
  done.catch(() => {})
  return { child, done }
}

/** Runs a query, and returns its rows of one column. */
export async function ask(programs: Programs, databaseUrl: string, query: string): Promise<string[]> {
  const { url, env } = target(databaseUrl)
  const args = [
    '--no-psqlrc',
    '--no-password',
    '--tuples-only',
    '--no-align',
    '--quiet',
    '--command',
    query,
    '--dbname',
    url,
  ]
  const { done } = start(programs, 'psql', args, { env })
  return (await done).split('\n').filter(Boolean)
}

/** The programs for this database, the oldest that fit first; fails with what to install. */
export async function programsFor(databaseUrl: string): Promise<Programs[]> {
  const found = await findPrograms()
  // Any psql may ask any server.
  const newest = fitting(found, undefined).at(-1) as Programs
  const [version] = await ask(newest, databaseUrl, 'show server_version_num')
  return fitting(found, Math.floor(Number(version) / 10_000))
}
