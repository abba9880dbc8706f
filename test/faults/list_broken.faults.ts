import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'vitest'
import { startCluster } from './cluster.ts'
import { inFull } from './length.ts'
import { report } from './report.ts'
import { startServer } from './server.ts'
import { type Ended, read, readOld, type Stream } from './streams.ts'

const times = inFull(100, 6)
const rows = 30_000

const countRows = {
  json: (text: string) => JSON.parse(text).length,
  ndjson: (text: string) => text.split('\n').filter((line) => JSON.parse(line || 'null')).length,
  csv: (text: string) => text.split('\r\n').length - 2,
}

const lists: { path: string; format: keyof typeof countRows; how?: typeof read }[] = [
  { path: '/containers', format: 'json' },
  { path: '/containers', format: 'json', how: readOld },
  { path: '/freezer/1/containers', format: 'json' },
  { path: '/containers?format=ndjson', format: 'ndjson' },
  { path: '/containers?format=ndjson', format: 'ndjson', how: readOld },
  { path: '/containers?format=csv', format: 'csv' },
  { path: '/containers?format=csv&id__gt=0&sort=-id', format: 'csv', how: readOld },
  { path: '/containers?sort=-description', format: 'json' },
]

test(`Postgres killed ${times} times in the middle of streamed lists`, async () => {
  const cluster = await startCluster()
  const server = await startServer({ DATABASE_URL: cluster.url })
  await cluster.run("insert into site (id, name) values (1, 'Site 1')")
  await cluster.run("insert into freezer (id, name, site_id) values (1, '-80C', 1)")
  await cluster.run(`
    insert into container (id, description, freezer_id)
    select id, repeat('x', 100 + id % 200), 1
    from generate_series(1, ${rows}) as id`)

  const sent = { whole: 0, broken: 0, refused: 0 }
  const short: string[] = []
  const whole = await Promise.all(lists.map(({ path, how = read }) => how(`${server.url}${path}`).ended))
  const bytes = whole.reduce((sum, { text }) => sum + text.length, 0)
  whole.forEach(judge)

  for (let i = 0; i < times; i++) {
    const killAt = bytes * (0.02 + 0.75 * Math.random())
    const middle = Promise.withResolvers<void>()
    const streams: Stream[] = lists.map(({ path, how = read }) =>
      how(`${server.url}${path}`, () => {
        if (streams.reduce((sum, { bytes }) => sum + bytes, 0) >= killAt) middle.resolve()
      }),
    )
    const ended = Promise.all(streams.map((each) => each.ended))
    await Promise.race([middle.promise, ended])
    await cluster.kill9()
    for (const [i, each] of (await ended).entries()) judge(each, i)
    await cluster.start()
    while ((await fetch(`${server.url}/summary`)).status !== 200) await sleep(20)
  }

  /** Whatever ends as if it were whole has to be whole. */
  function judge({ status, text, clean }: Ended, i: number) {
    const { path, format, how = read } = lists[i] as (typeof lists)[number]
    if (status === 503 && clean) sent.refused++
    else if (!clean) sent.broken++
    else if (status === 200 && rowsIn(text, format) === rows) sent.whole++
    else short.push(`${path} by ${how.name}: ${status}, ${text.length} characters that end in ${text.slice(-60)}`)
  }

  for (const line of short.slice(0, 20)) console.info(line)
  await report(
    {
      fault: `Postgres killed ${times} times in the middle of streamed lists`,
      sent: lists.length * (times + 1),
      wrong: short.length,
      wanted: '0 answers that end cleanly and short',
      seen: `${sent.whole} whole, ${sent.broken} broken off, ${sent.refused} refused with 503`,
    },
    { 'nothing short looked whole': short.length === 0, 'some were broken off': sent.broken >= times },
  )
}, 900_000)

function rowsIn(text: string, format: keyof typeof countRows) {
  try {
    return countRows[format](text)
  } catch {
    return undefined
  }
}
