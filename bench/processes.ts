import { readdir, readFile, writeFile } from 'node:fs/promises'

// What Linux tells in /proc about a process and all that it has started; elsewhere nothing is known.

/** CPU seconds used so far, also by those that have ended; undefined where that isn't known. */
export async function cpuSeconds(pid: number): Promise<number | undefined> {
  const tree = await treeOf(pid)
  if (tree.length === 0) return undefined
  // utime, stime, cutime, cstime in ticks (proc_pid_stat(5)), of which Linux shows 100 a second to every program.
  return tree.reduce((sum, { ticks }) => sum + ticks, 0) / 100
}

/** Most memory that was in use at a time, in megabytes, since `resetPeak`; for several processes the sum of their peaks. */
export async function peakMb(pid: number): Promise<number | undefined> {
  const tree = await treeOf(pid)
  if (tree.length === 0) return undefined
  const statuses = await Promise.all(tree.map((each) => readFile(`/proc/${each.pid}/status`, 'utf8').catch(() => '')))
  return statuses.reduce((sum, status) => sum + Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0), 0) / 1024
}

export async function resetPeak(pid: number): Promise<void> {
  // proc_pid_clear_refs(5); only a kernel built with it has the file.
  for (const each of await treeOf(pid)) await writeFile(`/proc/${each.pid}/clear_refs`, '5').catch(() => {})
}

async function treeOf(root: number): Promise<{ pid: number; ticks: number }[]> {
  if (process.platform !== 'linux') return []
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const all = await Promise.all(
    pids.map(async (pid) => {
      const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
      // The name of the program, in parentheses, may hold anything.
      const fields = text
        .slice(text.lastIndexOf(')') + 2)
        .split(' ')
        .map(Number)
      const [, parent = 0] = fields
      return { pid, parent, ticks: fields.slice(11, 15).reduce((sum, each) => sum + each, 0) }
    }),
  )
  const tree = all.filter(({ pid }) => pid === root)
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid))
  return tree
}
