import '../../src/node_version.js'
import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const help = `npm run soak -- [options]: the server under mixed load, on a Postgres of its own that is killed, hangs and is cut off at random;
then checks all that was answered, and whether memory, open handles and sessions of Postgres stay as they were.

  --minutes 30  how long
  --help`

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '30' }, help: { type: 'boolean', default: false } },
})
if (values.help || !(Number(values.minutes) > 0)) {
  console.info(help)
  process.exit(values.help ? 0 : 1)
}

const vitest = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
const child = spawn(process.execPath, [vitest, 'run', '--config', 'test/faults/vitest.config.ts'], {
  cwd: fileURLToPath(new URL('../..', import.meta.url)),
  env: { ...process.env, SOAK_MINUTES: values.minutes },
  stdio: 'inherit',
})
// Ctrl-C in a terminal is for both, and the child has to clean up.
process.on('SIGINT', () => {})
process.on('SIGTERM', () => child.kill('SIGTERM'))
child.once('close', (code) => process.exit(code ?? 1))
