import { execFileSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { atEnd } from './at_end.ts'
import { folderPrefix } from './orphans.ts'

export type Disk = {
  directory: string
  /** Leaves no byte free. */
  fill: () => void
  /** Gives the space back. */
  free: () => void
}

/** A disk of this many megabytes, in memory, gone after the test; or why it can't be had: only root may mount one. */
export function smallDisk(megabytes: number): Disk | string {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'only root on Linux can mount a small disk'
  const directory = mkdtempSync(path.join(tmpdir(), folderPrefix('disk')))
  try {
    const options = `size=${megabytes}m,mode=0777`
    execFileSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', directory], { stdio: 'pipe' })
  } catch (error) {
    rmSync(directory, { recursive: true })
    return `mounting a small disk failed: ${(error as Error).message.split('\n').join(' ')}`
  }
  atEnd(async () => {
    execFileSync('umount', ['--lazy', directory])
    rmSync(directory, { recursive: true })
  })

  const file = path.join(directory, 'filling')
  function fill() {
    const fd = openSync(file, 'a')
    for (let size = 1 << 20; size >= 1; size >>= 1) {
      const block = Buffer.alloc(size)
      try {
        while (writeSync(fd, block) === size);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
      }
    }
    closeSync(fd)
  }

  return { directory, fill, free: () => rmSync(file, { force: true }) }
}
