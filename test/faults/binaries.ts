import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { embeddedBinaries } from '../../src/embedded_binaries.ts'

/** Postgres 18 comes with `npm ci`, but has no pg_basebackup; Debian's 15 has all programs, where it is installed. */
export type Version = 15 | 18

const debian = '/usr/lib/postgresql/15/bin'

/** Why a test can't have Debian's Postgres 15 here; undefined if it can. */
export const withoutDebian = existsSync(`${debian}/pg_basebackup`)
  ? undefined
  : "Debian's postgresql-15 is not installed"

/** The folder of a Postgres' programs. */
export const binaries = async (version: Version): Promise<string> => (version === 15 ? debian : embeddedBinaries())

/** Who Postgres runs as: it refuses to run as root, and then it is the user postgres, who is made if need be. */
export function whoRuns(): { uid: number; gid: number } | undefined {
  if (process.getuid?.() !== 0) return undefined
  const id = (which: '-u' | '-g') => Number(execFileSync('id', [which, 'postgres'], { encoding: 'utf8' }))
  if (spawnSync('id', ['postgres']).status !== 0) execFileSync('useradd', ['--system', 'postgres'])
  return { uid: id('-u'), gid: id('-g') }
}
