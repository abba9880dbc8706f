import type { Context } from 'hono'
import { batched } from '../database/batch.ts'
import type { Sql } from '../database/connect.ts'
import type { Page, Stretch } from '../database/page.ts'
import { sendJson } from './answer.ts'
import type { Env } from './env.ts'

type Chunk = { json: string; last: boolean }

// A page is to cost little memory and little time. How long rows are is only known when they are there (a site may have
// 60,000 characters), so it begins with few, unless few are asked for, and grows while pages come out small.
const firstPageRows = 25
const askedAtOnceRows = 100
const growth = 4
const maxPageRows = 500
const pageCharacters = 64 * 1024

/**
 * Answers a list as a JSON array: from `offset` on, at most `limit` rows (0: no limit).
 *
 * It is read a page at a time, each after the last row of the one before and only when the client has taken that: memory
 * stays the same however long the list is, and no connection is held while a client is slow or gone. When there are no
 * rows, `orMissing` is asked whether what they would belong to exists; it throws if not.
 */
export async function list<Key>(
  c: Context<Env>,
  read: (stretch: Stretch<Key>) => Promise<Page<Key>>,
  { offset = 0, limit = 0, orMissing }: { offset?: number; limit?: number; orMissing?: () => Promise<unknown> } = {},
): Promise<Response> {
  const chunks = jsonChunks(read, offset, limit || Number.POSITIVE_INFINITY)
  const { value: first } = await chunks.next()
  if (!first || first.json === '[]') await orMissing?.()
  if (!first || first.last) return sendJson(c, first?.json ?? '[]')
  return c.body(ReadableStream.from(bytes(c, first, chunks)), 200, { 'Content-Type': 'application/json' })
}

/**
 * How a list is read: first pages that are asked for at once share a query, and the pages after the first have the pool for
 * long lists. A query is to take no longer than one long page, and to hold no more rows than that.
 */
export function paged<Asked extends Stretch<unknown>, Row>(
  read: (sql: Sql, stretches: Asked[]) => Promise<Row[]>,
  sql: Sql,
  longSql: Sql,
): (stretch: Asked) => Promise<Row> {
  const readFirst = batched((stretches: Asked[]) => read(sql, stretches), {
    key: JSON.stringify,
    weight: ({ offset, limit }) => offset + 20 * limit,
    most: 20 * maxPageRows,
  })
  const readNext = async (stretch: Asked) => (await read(longSql, [stretch]))[0] as Row
  return (stretch) => (stretch.after === undefined ? readFirst(stretch) : readNext(stretch))
}

async function* jsonChunks<Key>(
  read: (stretch: Stretch<Key>) => Promise<Page<Key>>,
  offset: number,
  limit: number,
): AsyncGenerator<Chunk> {
  let after: Key | undefined
  let left = limit
  let pageRows = limit <= askedAtOnceRows ? limit : firstPageRows
  for (let last = false; !last; ) {
    const asked = Math.min(pageRows, left)
    const page = await read({ after, offset: after === undefined ? offset : 0, limit: asked })
    left -= page.rows
    last = page.rows < asked || left === 0
    const json = page.json ?? ''
    const before = after === undefined ? '[' : page.rows > 0 ? ',' : ''
    yield { json: before + json + (last ? ']' : ''), last }
    after = page.last ?? after
    const fitting = Math.round((page.rows * pageCharacters) / json.length)
    pageRows = Math.max(1, Math.min(fitting, page.rows * growth, maxPageRows))
  }
}

async function* bytes(c: Context<Env>, first: Chunk, rest: AsyncGenerator<Chunk>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  try {
    yield encoder.encode(first.json)
    for await (const { json } of rest) yield encoder.encode(json)
  } catch (error) {
    c.get('log').error({ requestId: c.get('requestId'), err: error }, 'a list broke off')
    // The status is sent, so the only way left to say that this is not all is to break the connection (RFC 9112, section 8).
    if (!c.env?.outgoing) throw error
    c.env.outgoing.destroy()
  }
}
