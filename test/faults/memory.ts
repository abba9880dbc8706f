import { readFileSync } from 'node:fs'
import { childrenOf } from './process_tree.ts'

/** What a process and those that it has started hold in memory, in MB: pages that they share are counted once (proc_pid_smaps(5)). */
export function memoryOf(pid: number): number {
  const each = [pid, ...childrenOf(pid)].map((one) => {
    const [, kilobytes = '0'] = /^Pss: +(\d+) kB/m.exec(readFileSync(`/proc/${one}/smaps_rollup`, 'utf8')) ?? []
    return Number(kilobytes) / 1024
  })
  return each.reduce((sum, one) => sum + one, 0)
}
