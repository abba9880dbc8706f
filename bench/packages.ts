import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/** Installs the packages of bench/ where they are missing: the project's own install doesn't bring them. */
export function installPackages(): void {
  const folder = fileURLToPath(new URL('.', import.meta.url))
  if (existsSync(`${folder}node_modules/.package-lock.json`)) return
  console.error('bench/node_modules is missing: running `npm ci` in bench/ …')
  // npm tells where it is to those that it runs.
  const { npm_execpath: npm } = process.env
  const [command, args] = npm ? [process.execPath, [npm, 'ci']] : ['npm', ['ci']]
  const { status, error } = spawnSync(command, args, { cwd: folder, stdio: ['ignore', 2, 2] })
  if (status === 0) return
  console.error(`\`npm ci\` in bench/ failed. ${error?.message ?? ''}`)
  process.exit(1)
}
