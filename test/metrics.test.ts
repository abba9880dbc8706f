import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import pg from 'pg'
import pino from 'pino'
import { afterAll, describe, expect, test } from 'vitest'
import { createApp } from '../src/app.ts'
import { createMetrics } from '../src/metrics.ts'
import { serve } from '../src/server.ts'
import { testDatabase } from './database.ts'
import { type Program, startProgram } from './process.ts'

const { sql, url: databaseUrl } = await testDatabase()
const log = pino({ level: 'silent' })
const patiently = { timeout: 10_000 }

/** What /metrics says, by name and labels, such as `workers` or `http_requests_total{method="GET",…}`. */
type Figures = Record<string, number>

// https://prometheus.io/docs/instrumenting/exposition_formats/
const sample =
  /^([a-zA-Z_:][\w:]*(?:\{[a-zA-Z_]\w*="[^"\\\n]*"(?:,[a-zA-Z_]\w*="[^"\\\n]*")*\})?) ([-+]?(?:[\d.]+(?:e[-+]?\d+)?|Inf)|NaN)$/

function parse(text: string): Figures {
  const lines = text.split('\n').filter((line) => line !== '' && !/^# (HELP|TYPE) [a-z_]+ \S/.test(line))
  return Object.fromEntries(
    lines.map((line) => {
      const [, name = `not a sample: ${line}`, value] = sample.exec(line) ?? []
      return [name, Number(value)]
    }),
  )
}

async function scrape(url: string): Promise<Figures> {
  const response = await fetch(`${url}/metrics`, { headers: { Connection: 'close' } })
  expect(response.status).toBe(200)
  expect(response.headers.get('content-type')).toMatch(/^text\/plain; version=0\.0\.4/)
  return parse(await response.text())
}

const requests = (method: string, route: string, status: number) =>
  `http_requests_total{method="${method}",route="${route}",status="${status}"}`

const series = (figures: Figures, name: string) => Object.keys(figures).filter((each) => each.startsWith(`${name}{`))

describe('requests', () => {
  const app = createApp({ sql, log })
  const ask = async () => parse(await (await app.request('/metrics')).text())

  test('are counted by method, route and status, whatever their path', async () => {
    for (let id = 1; id <= 50; id++) {
      await app.request(`/site/${id}`)
      await app.request(`/nothing/at/${id}`)
      await app.request(`/sites/${id}/0`, { method: 'DELETE' })
    }
    await app.request('/site/word')
    const figures = await ask()
    expect(figures[requests('GET', '/site/:id', 404)]).toBe(50)
    expect(figures[requests('GET', '/site/:id', 400)]).toBe(1)
    expect(figures[requests('GET', '/*', 404)]).toBe(50)
    expect(figures[requests('DELETE', '/*', 405)]).toBe(50)
    expect(series(figures, 'http_requests_total')).toHaveLength(4)
  })

  test('are counted also if they are refused before they get to their route', async () => {
    await app.request('/summary?country=USA')
    await app.request('/site/1', { method: 'POST', headers: { Origin: 'http://elsewhere.example' } })
    const figures = await ask()
    expect(figures[requests('GET', '/summary', 400)]).toBe(1)
    expect(figures[requests('POST', '/site/:id', 403)]).toBe(1)
  })

  test('of methods that nobody knows are one', async () => {
    for (const method of ['PURGE', 'BREW', 'PROPFIND']) await app.request('/sites', { method })
    expect((await ask())[requests('other', '/*', 405)]).toBe(3)
  })

  test('are timed: a bucket has all that are not longer, and the last one has all', async () => {
    const metrics = createMetrics()
    for (const ms of [0.5, 1, 1.1, 99, 100, 29_000, 31_000]) metrics.countAnswer('GET', '/slow', 200, ms)
    const figures = parse(await (await createApp({ sql, log, metrics }).request('/metrics')).text())
    const bucket = (le: string) =>
      figures[`http_request_duration_seconds_bucket{le="${le}",method="GET",route="/slow",status="200"}`]
    expect(['0.001', '0.0025', '0.05', '0.1', '10', '30', '+Inf'].map(bucket)).toEqual([2, 3, 3, 5, 5, 6, 7])
    const of = '{method="GET",route="/slow",status="200"}'
    expect(figures[`http_request_duration_seconds_count${of}`]).toBe(7)
    expect(figures[`http_request_duration_seconds_sum${of}`]).toBeCloseTo(60.2016)
  })

  test('the process is told of as well: memory, processor time, the event loop', async () => {
    const figures = await ask()
    expect(figures.process_resident_memory_bytes).toBeGreaterThan(10_000_000)
    expect(figures.process_cpu_seconds_total).toBeGreaterThan(0)
    expect(figures).toHaveProperty('nodejs_eventloop_lag_max_seconds')
  })
})

test('a pool that is full shows it, and a statement that takes long is counted and logged by its name', async () => {
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'warn' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const settings = { databaseUrl, host: '127.0.0.1', port: 0, pool: 2, logSlowMs: 1 }
  const { url, stop } = await serve(settings, log)
  const lock = new pg.Client(databaseUrl)
  await lock.connect()
  await lock.query('begin; lock table freezer in access exclusive mode')
  const answers = [1, 2, 3, 4, 5].map((id) => fetch(`${url}/freezer/${id}`, { method: 'DELETE' }))
  const pool = async () => {
    const figures = await scrape(url)
    const of = (name: string) => figures[`${name}{pool="short"}`]
    return [of('database_connections_max'), of('database_connections_in_use'), of('database_queries_waiting')]
  }
  await expect.poll(pool, patiently).toEqual([2, 2, 3])
  await lock.end()
  await Promise.all(answers)
  await expect.poll(pool, patiently).toEqual([2, 0, 0])
  const figures = await scrape(url)
  expect(figures['database_slow_statements_total{statement="deleteFreezer"}']).toBeGreaterThanOrEqual(2)
  expect(figures.database_circuit_open).toBe(0)
  await stop()
  expect(lines).toContainEqual(
    expect.objectContaining({
      statement: 'deleteFreezer',
      durationMs: expect.any(Number),
      msg: 'a statement was slow',
    }),
  )
})

test('what is no request of HTTP is counted, too', async () => {
  const { url, stop } = await serve({ databaseUrl, host: '127.0.0.1', port: 0 }, log)
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write('MAKE COFFEE\r\n\r\n')
  expect(await text(socket)).toContain('400 Bad Request')
  expect((await scrape(url))[requests('other', 'unreadable', 400)]).toBe(1)
  await stop()
})

test('a circuit that is open shows it', async () => {
  const nowhere = 'postgresql://nobody@127.0.0.1:1/nothing'
  const { url, stop } = await serve({ databaseUrl: nowhere, host: '127.0.0.1', port: 0 }, log)
  expect((await scrape(url)).database_circuit_open).toBe(1)
  await stop()
})

describe('several workers', () => {
  let program: Program
  afterAll(() => program.kill('SIGTERM'))

  test('are added up, whichever answers, and nothing is lost from sums when one is killed', async () => {
    program = startProgram(process.execPath, ['src/main.ts'], {
      env: { DATABASE_URL: databaseUrl, PORT: '0', WEB_CONCURRENCY: '2' },
    })
    const listening = async () => JSON.parse(await program.line(/"msg":"listening"/)) as { url: string; pid: number }
    const [one, two] = [await listening(), await listening()]
    const answered = new Set<number>()
    for (let i = 0; i < 20; i++) {
      await fetch(`${one.url}/summary`, { headers: { Connection: 'close' } })
      answered.add(JSON.parse(await program.line(/"route":"\/summary"/)).pid)
    }
    expect(answered).toEqual(new Set([one.pid, two.pid]))
    for (let i = 0; i < 4; i++) {
      const figures = await scrape(one.url)
      expect(figures[requests('GET', '/summary', 200)]).toBe(20)
      expect(figures['database_connections_max{pool="short"}']).toBe(20)
      expect(figures.workers).toBe(2)
    }

    process.kill(one.pid, 'SIGKILL')
    await listening()
    const figures = await scrape(one.url)
    expect(figures[requests('GET', '/summary', 200)]).toBe(20)
    expect(figures['database_connections_max{pool="short"}']).toBe(20)
    expect(figures.workers).toBe(2)
    expect(figures.workers_ended_total).toBe(1)
  })
})
