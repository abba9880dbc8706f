import { test } from 'vitest'
import { connect } from '../../src/database/connect.ts'
import { migrate } from '../../src/migrate.ts'
import { testClient } from '../client.ts'
import { withoutDebian } from './binaries.ts'
import { startCluster } from './cluster.ts'
import { report } from './report.ts'
import { type Asked, requests } from './request_corpus.ts'

if (withoutDebian) console.info(`Skipped, because ${withoutDebian}: the same requests on Postgres 15 and 18.`)

/** Headers that may differ: each Postgres has versions of rows of its own, each request a name. */
const differing = ['etag', 'x-request-id', 'date']

type Shown = { request: string; status: number; headers: Record<string, string>; bytes: Buffer }

test.skipIf(withoutDebian)('the same requests have the same answers on Postgres 15 and on 18', async () => {
  const [old, current] = await Promise.all([15, 18].map((version) => answers(version as 15 | 18)))
  const unlike = (old ?? []).filter((answer, i) => !isSame(answer, current?.[i] as Shown))
  for (const answer of unlike.slice(0, 20)) {
    const other = current?.[old?.indexOf(answer) ?? 0] as Shown
    for (const each of [answer, other]) {
      console.info(each.request, each.status, JSON.stringify(each.headers), each.bytes.toString().slice(0, 1_000))
    }
  }
  const statuses = Map.groupBy(old ?? [], ({ status }) => status)
  const counts = [...statuses].sort(([a], [b]) => a - b).map(([status, { length }]) => `${length} × ${status}`)
  await report(
    {
      fault: 'the same requests on Postgres 15 and 18',
      sent: old?.length ?? 0,
      wrong: unlike.length,
      wanted: 'identical answers: status, headers, every byte',
      seen: counts.join(', '),
    },
    {
      'as many answers': old?.length === current?.length && (old?.length ?? 0) >= requests.length,
      'identical answers': unlike.length === 0,
      'no 5xx': ![...statuses.keys()].some((status) => status >= 500),
    },
  )
})

/** What a server on this Postgres answers; of a list that has a next page, all that follow too. */
async function answers(version: 15 | 18): Promise<Shown[]> {
  const { url, run } = await startCluster({ version })
  await migrate(url)
  await run('analyze')
  const sql = connect(url)
  const client = testClient(sql)
  const all: Shown[] = []
  try {
    for (const asked of requests) {
      for (let path: string | undefined = asked.path, pages = 0; path && pages < 50; pages++) {
        const { status, headers, bytes } = await client.request(asked.method, path, await init(client, asked))
        const shown = Object.fromEntries([...headers].filter(([name]) => !differing.includes(name)))
        all.push({ request: `${asked.method} ${path}`, status, headers: shown, bytes: Buffer.from(bytes) })
        path = /<([^>]*)>; rel="next"/.exec(headers.get('link') ?? '')?.[1]
      }
    }
  } finally {
    await sql.end()
  }
  return all
}

async function init(client: ReturnType<typeof testClient>, { body, type, headers = {}, ifMatch }: Asked) {
  const tag = ifMatch && (await client.get(ifMatch)).headers.get('etag')
  return {
    ...(body !== undefined && { body }),
    headers: { ...headers, ...(type && { 'Content-Type': type }), ...(tag && { 'If-Match': tag }) },
  }
}

function isSame(a: Shown, b: Shown) {
  return a.status === b.status && JSON.stringify(a.headers) === JSON.stringify(b.headers) && a.bytes.equals(b.bytes)
}
