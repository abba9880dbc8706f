import { expect, test } from 'vitest'
import { warnOfMockPassword } from '../src/mock_password.ts'
import { startProgram } from './process.ts'

test.each([
  ['postgresql://mock_prod_user:mock_prod_pass@db:5432/postgres_prod', 'production', true],
  ['postgresql://mock_prod_user:mock_prod_pass@db:5432/postgres_prod', undefined, true],
  ['postgresql://ada:mock_dev_pass@db/lab', 'production', true],
  ['postgresql://ada:mock_dev_pass@127.0.0.1:5433/lab', undefined, false],
  ['postgresql://ada:mock_prod_pass@a:1,b:2/lab', 'production', true],
  ['postgresql://mock_prod_user:other@db/mock_prod_pass', 'production', false],
  ['postgresql://ada@db/lab', 'production', false],
])('of %s, in %s, it warns: %s', (url, environment, warns) => {
  const warning = warnOfMockPassword(url, environment)
  expect(warning !== undefined).toBe(warns)
  expect(warning ?? '').not.toContain('mock_')
})

test('a start with the mock password says so in one line, without the password', async () => {
  // Nothing listens there: it is said before the database is asked.
  const url = 'postgresql://mock_prod_user:mock_prod_pass@127.0.0.1:1/postgres_prod'
  const program = startProgram(process.execPath, ['src/main.ts'], {
    env: { DATABASE_URL: url, PORT: '0', WEB_CONCURRENCY: '2' },
  })
  const line = JSON.parse(await program.line(/mock/))
  expect(line).toMatchObject({ level: 40, msg: expect.stringMatching(/^the password in DATABASE_URL is the mock one/) })
  await program.line(/"msg":"listening"/)
  await program.line(/"msg":"listening"/)
  program.kill('SIGTERM')
  expect(await program.ended()).toMatchObject({ code: 0 })
  expect(program.lines.filter((line) => line.includes('mock'))).toHaveLength(1)
  expect(program.lines.join()).not.toContain('mock_prod_pass')
})
