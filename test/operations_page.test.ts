import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { testDatabase } from './database.ts'
import { startProgram } from './process.ts'

const page = await readFile('docs/operations.md', 'utf8')
const { url: DATABASE_URL } = await testDatabase()

test('every figure that the page for those who run it names is one that /metrics has', async () => {
  // Not in this process: those of the workers come from the one that started them.
  const program = startProgram(process.execPath, ['src/main.ts'], { env: { DATABASE_URL, PORT: '0' } })
  const { url } = JSON.parse(await program.line(/"msg":"listening"/))
  await fetch(`${url}/sites`)
  const metrics = await (await fetch(`${url}/metrics`)).text()
  const known = [...metrics.matchAll(/^# HELP (\w+)/gm)].map(([, name]) => name)
  const names = new Set(page.match(/\b(http|database|nodejs|process|workers)_\w+/g))
  expect(names.size).toBeGreaterThan(9)
  for (const name of names) expect(known).toContain(name.replace(/_bucket$/, ''))
})

test('every npm script that the page names is there', async () => {
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8'))
  const names = [...page.matchAll(/npm run ([\w:]+)/g)].map(([, name]) => name as string)
  expect(names.length).toBeGreaterThan(4)
  for (const name of names) expect(scripts).toHaveProperty([name])
})
