import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import type { Load } from './load.ts'

const exec = promisify(execFile)

export const pgbenchClients = 8

/** Where this program of Postgres is: where Debian puts it, or on the PATH; undefined if it isn't installed. */
export async function findProgram(name: 'pgbench' | 'psql'): Promise<string | undefined> {
  const debian = '/usr/lib/postgresql'
  const versions = existsSync(debian) ? (await readdir(debian)).sort((a, b) => Number(b) - Number(a)) : []
  // Debian's first: what it has on the PATH is a Perl script that looks for them.
  const folders = [
    ...versions.map((each) => `${debian}/${each}/bin`),
    ...(process.env.PATH ?? '').split(path.delimiter),
  ]
  return folders.map((folder) => path.join(folder, name)).find((file) => existsSync(file))
}

/** Runs a script of pgbench, prepared, with 8 clients. */
export async function runPgbench(program: string, url: string, script: string, seconds: number): Promise<Load> {
  const folder = await mkdtemp(path.join(tmpdir(), 'bench-'))
  try {
    await writeFile(path.join(folder, 'script.sql'), script)
    const { stdout } = await exec(
      program,
      // biome-ignore format: an option and its value belong together
      [
        '--no-vacuum', '-M', 'prepared', '-c', String(pgbenchClients), '-j', '2', '-T', String(seconds),
        '-f', 'script.sql', '--log', '--sampling-rate', '0.2', url,
      ],
      { cwd: folder },
    )
    const logs = (await readdir(folder)).filter((name) => name.startsWith('pgbench_log'))
    const lines = (await Promise.all(logs.map((name) => readFile(path.join(folder, name), 'utf8'))))
      .join('')
      .split('\n')
    // client, transaction, microseconds, …
    const times = lines.filter(Boolean).map((line) => Number(line.split(' ')[2]) / 1000)
    times.sort((a, b) => a - b)
    const at = (share: number) => times[Math.floor(share * times.length)] ?? Number.NaN
    const rate = Number(/tps = ([\d.]+)/.exec(stdout)?.[1])
    const failed = /failed transactions: ([1-9]\d*)/.exec(stdout)
    return {
      count: rate * seconds,
      seconds,
      p50Ms: at(0.5),
      p99Ms: at(0.99),
      faults: failed ? [`${failed[1]} failed transactions`] : [],
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

/** Seconds that psql takes to copy all containers as JSON to nowhere. */
export async function runCopy(program: string, url: string): Promise<number> {
  const start = performance.now()
  const rows = 'select id, uuid, description, freezer_id from container order by id'
  await exec(program, ['-c', `\\copy (select row_to_json(t) from (${rows}) as t) to '/dev/null'`, url])
  return (performance.now() - start) / 1000
}
