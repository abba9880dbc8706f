import { existsSync } from 'node:fs'
import { link, rename } from 'node:fs/promises'

// Of link(2): file systems without hard links (exFAT, some of SMB) have the first three, by the system they are mounted on.
const withoutLinks = ['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS']

/**
 * Gives a file that is whole its name, beside the one that it has or instead of it. Rejects if there is a file of that name
 * already, which stays as it is.
 */
export async function takeName(partial: string, file: string, linked: typeof link = link): Promise<void> {
  try {
    // Unlike a rename, this never takes the place of a file that has come meanwhile.
    await linked(partial, file)
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException
    if (code !== 'EEXIST' && !withoutLinks.includes(code)) throw error
    if (code === 'EEXIST' || existsSync(file)) throw new Error(`There is a file ${file} by now. It stays as it is.`)
    await rename(partial, file)
  }
}
