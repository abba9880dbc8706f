import { readFile, rm } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { startProgram } from './process.ts'

const start = (...args: string[]) => startProgram(process.execPath, ['src/profile.ts', ...args])

test('npm run profile records what the server does under load, and says where and how to look at it', async () => {
  const program = start('--seconds', '1', '--connections', '4')
  for (const step of [/^Starting Postgres/, /^Filling it/, /^Starting the server/]) await program.line(step)
  await program.line(/^4 connections for 1 s/)
  expect(await program.line(/requests a second$/)).toMatch(/^[1-9]\d* /)
  const file = await program.line(/\.data\/profile\/.*\.cpuprofile$/)
  expect(await program.ended()).toEqual({ code: 0, signal: null })
  expect(program.lines.join('\n')).toMatch(/Chrome.*speedscope/)
  const { nodes, samples } = JSON.parse(await readFile(file, 'utf8'))
  expect(samples.length).toBeGreaterThan(100)
  const urls: string[] = nodes.map((node: { callFrame: { url: string } }) => node.callFrame.url)
  // The process that answers, not the one that keeps it running.
  expect(urls.some((url) => url.endsWith('src/app.ts'))).toBe(true)
  await rm(file)
}, 60_000)

test.each([
  [['--help'], 0],
  [['--seconds', 'long'], 1],
  [['--minutes', '1'], 1],
])('%j prints how to use it', async (args, code) => {
  const program = start(...args)
  expect(await program.ended()).toEqual({ code, signal: null })
  expect(program.lines.join('\n')).toContain('Usage: npm run profile')
})
