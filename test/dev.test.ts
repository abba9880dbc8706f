import { chmodSync, cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { createDatabase } from './database.ts'
import { run } from './postgres.ts'
import { checkout, endPrograms, type Program, startProgram } from './process.ts'

// What starts a Postgres runs in a copy of the checkout, so that the data that somebody has in the checkout is left alone.
// As root, Postgres runs as the user postgres, to whom the folder has to be open.
const folder = mkdtempSync(path.join(tmpdir(), 'lab-inventory-'))
chmodSync(folder, 0o755)
for (const name of ['package.json', 'src', 'postgres_scripts']) {
  cpSync(path.join(checkout, name), path.join(folder, name), { recursive: true })
}
symlinkSync(path.join(checkout, 'node_modules'), path.join(folder, 'node_modules'))
afterEach(endPrograms)
afterAll(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

const scripts: Record<string, string> = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8')).scripts
const postgresPid = path.join(folder, '.data/postgres-18/postmaster.pid')
const owner = path.join(folder, '.data/postgres-18.owner')
const emptyUrl = await createDatabase(`lab_inventory_dev_${process.pid}`, 'template0')

/** What `npm run` runs under this name, without npm around it: in the copy, or on this database in the checkout. */
function runScript(name: string, databaseUrl?: string): Program {
  const [, ...args] = scripts[name]?.split(' ') ?? []
  if (!databaseUrl) return startProgram(process.execPath, args, { cwd: folder, env: { PORT: '0' } })
  return startProgram(process.execPath, args, { env: { PORT: '0', DATABASE_URL: databaseUrl } })
}

async function greeting(dev: Program): Promise<{ url: string; databaseUrl: string }> {
  const databaseUrl = (await dev.line(/^psql /)).replace('psql ', '')
  return { url: dev.lines[0] ?? '', databaseUrl }
}

/** The exit code, and all lines. */
async function outcome(program: Program) {
  const { code } = await program.ended()
  return [code, ...program.lines]
}

/** Ctrl-C, which a terminal sends to the whole group. */
async function interrupt(dev: Program) {
  dev.killGroup('SIGINT')
  await dev.ended()
  await expect.poll(dev.groupIsAlive, { timeout: 10_000 }).toBe(false)
}

const read = async (url: string) => await (await fetch(url)).json()
const post = (url: string, fields: object) =>
  fetch(url, { method: 'POST', body: JSON.stringify(fields), headers: { 'Content-Type': 'application/json' } })

test('npm run dev prints a URL, a curl and a psql that work, and Ctrl-C leaves nothing behind', async () => {
  const dev = startProgram('npm', ['run', '--silent', 'dev'], { cwd: folder, env: { PORT: '0' } })
  const { url, databaseUrl } = await greeting(dev)
  expect(dev.lines).toEqual([
    expect.stringMatching(/^http:\/\/localhost:\d+$/),
    `curl ${url}/site/1`,
    `psql ${databaseUrl}`,
  ])
  expect(await read(`${url}/site/1`)).toMatchObject({ id: 1, name: 'Site 1', contact: 'John Smith' })
  expect(await read(`${url}/summary`)).toEqual({ sites: 3, freezers: 2, computers: 2, containers: 0 })
  expect(await run(databaseUrl, 'select name from site where id = 2')).toEqual([{ name: 'Site 2' }])

  await interrupt(dev)
  expect(existsSync(postgresPid)).toBe(false)
  expect(existsSync(owner)).toBe(false)
  await expect(run(databaseUrl, 'select')).rejects.toThrow('ECONNREFUSED')
  await expect(fetch(url)).rejects.toThrow()
})

test('a change to a source file is answered with, and Postgres goes on', async ({ onTestFinished }) => {
  const dev = runScript('dev')
  const { databaseUrl } = await greeting(dev)
  const startedAt = await run(databaseUrl, 'select pg_postmaster_start_time()')
  const file = path.join(folder, 'src/app.ts')
  const source = readFileSync(file, 'utf8')
  onTestFinished(() => writeFileSync(file, source))

  writeFileSync(file, source.replace('There is nothing at', 'Nobody has heard of'))
  const { url } = JSON.parse(await dev.line(/"msg":"listening"/))
  expect(await read(`${url}/nowhere`)).toMatchObject({ detail: expect.stringMatching(/^Nobody has heard of/) })
  writeFileSync(file, 'this is not TypeScript')
  await dev.line(/^The server has ended; it starts again when a source file changes\.$/)
  writeFileSync(file, source)
  const again = JSON.parse(await dev.line(/"msg":"listening"/))
  expect(await read(`${again.url}/nowhere`)).toMatchObject({ detail: expect.stringMatching(/^There is nothing at/) })
  expect(await run(databaseUrl, 'select pg_postmaster_start_time()')).toEqual(startedAt)
  await interrupt(dev)
})

test('data stays from one run to the next, and mock data is not loaded again', async () => {
  const first = runScript('dev')
  const { url } = await greeting(first)
  expect((await post(`${url}/site/9`, { name: 'Site 9' })).status).toBe(200)
  expect((await fetch(`${url}/site/3`, { method: 'DELETE' })).status).toBe(200)
  await interrupt(first)

  const second = runScript('dev')
  const sites = await read(`${(await greeting(second)).url}/sites`)
  expect(sites).toMatchObject([{ id: 1 }, { id: 2 }, { id: 9 }])
  await interrupt(second)
})

test('when it is killed the server ends, and the next run takes over from the Postgres that is left', async () => {
  const killed = runScript('dev')
  const { url, databaseUrl } = await greeting(killed)
  expect((await post(`${url}/site/10`, { name: 'Site 10' })).status).toBe(200)
  killed.kill('SIGKILL')
  await killed.ended()
  await expect(fetch(url)).rejects.toThrow()
  const left = await run(databaseUrl, 'select pg_postmaster_start_time()')

  const next = runScript('dev')
  const now = await greeting(next)
  expect(await read(`${now.url}/site/10`)).toMatchObject({ name: 'Site 10' })
  expect(await run(now.databaseUrl, 'select pg_postmaster_start_time()')).not.toEqual(left)
  await interrupt(next)
  expect(existsSync(postgresPid)).toBe(false)
  await expect(run(databaseUrl, 'select')).rejects.toThrow('ECONNREFUSED')
})

test('while one is running, a second says which it is, and db:migrate and db:reset use its Postgres', async () => {
  const dev = runScript('dev')
  const { url, databaseUrl } = await greeting(dev)
  const second = runScript('dev')
  expect(await outcome(second)).toEqual([
    1,
    expect.stringMatching(`^Process ${dev.pid} is using the Postgres in ${folder}`),
  ])

  const place = `postgres_dev on ${new URL(databaseUrl).host}`
  const migrate = runScript('db:migrate')
  expect(await outcome(migrate)).toEqual([0, `${place} has all migrations.`])
  await post(`${url}/site/11`, { name: 'Site 11' })
  const reset = runScript('db:reset')
  expect(await outcome(reset)).toEqual([0, `Dropped and created all tables of ${place}, and loaded the mock data.`])
  expect(await read(`${url}/summary`)).toEqual({ sites: 3, freezers: 2, computers: 2, containers: 0 })
  await interrupt(dev)
})

test('while none is running, db:migrate starts the Postgres of npm run dev for the while', async () => {
  const migrate = runScript('db:migrate')
  expect(await outcome(migrate)).toEqual([
    0,
    expect.stringMatching(/^postgres_dev on 127\.0\.0\.1:\d+ has all migrations\.$/),
  ])
  expect(existsSync(postgresPid)).toBe(false)
})

test('db:migrate applies the migrations to DATABASE_URL, and then finds nothing left to do', async () => {
  const { host, pathname } = new URL(emptyUrl)
  const place = `${pathname.slice(1)} on ${host}`
  const first = runScript('db:migrate', emptyUrl)
  expect(await outcome(first)).toEqual([
    0,
    expect.stringMatching(`^Applied to ${place}: 0001_create_tables[^ ]*.*\\.$`),
  ])
  const second = runScript('db:migrate', emptyUrl)
  expect(await outcome(second)).toEqual([0, `${place} has all migrations.`])
})

test('with DATABASE_URL, npm run dev and db:reset use that database, and start no Postgres', async () => {
  const dev = runScript('dev', emptyUrl)
  const { url, databaseUrl } = await greeting(dev)
  expect(databaseUrl).toBe(emptyUrl)
  await post(`${url}/site/12`, { name: 'Site 12' })
  expect(await run(emptyUrl, 'select count(*)::int from site')).toEqual([{ count: 4 }])

  const reset = runScript('db:reset', emptyUrl)
  expect(await outcome(reset)).toEqual([
    0,
    expect.stringMatching(/^Dropped and created all tables of lab_inventory_dev_/),
  ])
  expect(await run(emptyUrl, 'select count(*)::int from site')).toEqual([{ count: 3 }])
  const owner = path.join(checkout, '.data/postgres-18.owner')
  expect(existsSync(owner) && Number(readFileSync(owner, 'utf8'))).not.toBe(dev.pid)
  await interrupt(dev)
})

test.each(['dev', 'db:migrate', 'db:reset'])('npm run %s says what is wrong with DATABASE_URL', async (name) => {
  const program = runScript(name, 'ada:secret@db.example/inventory')
  expect(await outcome(program)).toEqual([1, expect.stringMatching(/^DATABASE_URL must be like/)])
})
