import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { childrenOf, signal } from './process_tree.ts'

/** What the folders begin with in which this process keeps something: a Postgres, or a small disk. */
export const folderPrefix = (what: 'postgres' | 'disk'): string => `lab-inventory-${what}-${process.pid}-`

const left = /^lab-inventory-(postgres|disk)-(\d+)-/

/** Runs once, before all files of a run: ends and removes what runs that were killed have left behind. */
export default function setUp(): void {
  for (const name of readdirSync(tmpdir())) {
    const [, what, owner] = left.exec(name) ?? []
    if (!what || existsSync(`/proc/${owner}`)) continue
    const folder = path.join(tmpdir(), name)
    const clusters = what === 'disk' ? readdirSync(folder).map((inner) => path.join(folder, inner)) : [folder]
    for (const cluster of clusters) end(path.join(cluster, 'data'))
    if (what === 'disk') spawnSync('umount', ['--lazy', folder])
    rmSync(folder, { recursive: true, force: true })
    console.info(`Removed ${folder}, which a run before has left behind.`)
  }
}

/** Ends the Postgres on this data. The file that names its process may be old, and the number somebody else's by now. */
function end(data: string) {
  const read = (file: string) => (existsSync(file) ? readFileSync(file, 'utf8') : '')
  const pid = Number(read(path.join(data, 'postmaster.pid')).split('\n')[0])
  if (!pid || !read(`/proc/${pid}/cmdline`).includes(data)) return
  const all = [pid, ...childrenOf(pid)]
  for (const each of all) signal(each, 'SIGKILL')
}
