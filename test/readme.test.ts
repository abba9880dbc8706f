import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'
import pino from 'pino'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createApp } from '../src/app.ts'
import { describeSettings } from '../src/config.ts'
import { runScript } from '../src/scripts.ts'
import { serve } from '../src/server.ts'
import { testDatabase } from './database.ts'

const readme = await readFile('README.md', 'utf8')
const { sql, url } = await testDatabase()
const log = pino({ level: 'silent' })
let server: Awaited<ReturnType<typeof serve>>

beforeAll(async () => {
  await runScript(url, 'mock_data')
  server = await serve({ databaseUrl: url, host: '127.0.0.1', port: 0 }, log)
})
afterAll(() => server.stop())

/** Each command of the console blocks, with what the README says that it prints. */
const examples = [...readme.matchAll(/^```console\n(.*?)^```/gms)].flatMap(([, block = '']) =>
  block
    .split(/^\$ /m)
    .slice(1)
    .map((example) => {
      const [command = '', ...output] = example.split('\n')
      return { command, output: output.join('\n').trimEnd() }
    }),
)

const programs = await Promise.all(
  ['curl', 'psql'].map(async (program) => {
    const found = await promisify(execFile)(program, ['--version']).catch(() => undefined)
    if (!found) console.info(`Skipped, because ${program} is not installed: the examples in the README that use it.`)
    return found ? program : undefined
  }),
)

test('the README has examples of both kinds', () => {
  expect(examples.filter(({ command }) => command.startsWith('curl')).length).toBeGreaterThan(15)
  expect(examples.filter(({ command }) => command.startsWith('psql')).length).toBeGreaterThan(4)
})

// In the order of the README, each after what the ones before it have stored.
test.for(examples)('$command', async ({ command, output }, { skip }) => {
  const [program] = command.split(' ')
  skip(!programs.includes(program), `${program} is not installed`)
  const here = command
    .replaceAll('localhost:5000', server.url)
    .replaceAll('postgresql://mock_dev_user:mock_dev_pass@127.0.0.1:5433/postgres_dev', url)
  const { stdout } = await promisify(execFile)('bash', ['-c', here])
  // psql fills its columns with spaces, which editors take away.
  expect(stdout.replaceAll(/ +$/gm, '').trimEnd()).toBe(output)
})

test('every setting is in the README, with its default', () => {
  for (const line of describeSettings().split('\n')) {
    const [, name, help, value] = /^(\w+) +(.*) (?:Default: (.*)\.|Needed\.)$/.exec(line) ?? []
    expect(readme).toContain(`| \`${name}\` | ${help} | ${value ?? 'needed'} |`)
  }
})

test('every address is in the README, or is a page of one that is', () => {
  const paths = createApp({ sql, log }).routes.map(({ path }) => path.replaceAll(/:(\w+)/g, '{$1}'))
  for (const path of new Set(paths)) {
    if (path === '/*') continue
    const shown = path.replace('/{offset}/{limit}', '').replace(/^\/(freezer|computer|container)$/, '/site')
    expect(readme).toContain(shown)
  }
})

test('every dependency is in the README, with what it is for', async () => {
  const { dependencies, devDependencies } = JSON.parse(await readFile('package.json', 'utf8'))
  const table = readme.slice(readme.indexOf('| dependency |'))
  for (const name of Object.keys({ ...dependencies, ...devDependencies })) expect(table).toContain(name)
})
