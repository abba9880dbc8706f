import type { Context } from 'hono'
import type { Stretch } from '../database/connect.ts'
import type { Env } from './env.ts'

type Read<Row> = (stretch: Stretch<Row>) => Promise<Row[]>

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
export async function list<Row extends object>(
  c: Context<Env>,
  read: Read<Row>,
  { offset = 0, limit = 0, orMissing }: { offset?: number; limit?: number; orMissing?: () => Promise<unknown> } = {},
): Promise<Response> {
  const chunks = jsonChunks(read, offset, limit || Number.POSITIVE_INFINITY)
  const { value: first } = await chunks.next()
  if (first?.json === '[]') await orMissing?.()
  const content = !first || first.last ? (first?.json ?? '[]') : ReadableStream.from(bytes(c, first, chunks))
  return c.body(content, 200, { 'Content-Type': 'application/json' })
}

async function* jsonChunks<Row extends object>(read: Read<Row>, offset: number, limit: number): AsyncGenerator<Chunk> {
  let after: Row | undefined
  let left = limit
  let pageRows = limit <= askedAtOnceRows ? limit : firstPageRows
  for (let last = false; !last; ) {
    const asked = Math.min(pageRows, left)
    const rows = await read({ after, offset: after ? 0 : offset, limit: asked })
    left -= rows.length
    last = rows.length < asked || left === 0
    const json = JSON.stringify(rows).slice(1, -1)
    const before = !after ? '[' : rows.length > 0 ? ',' : ''
    yield { json: before + json + (last ? ']' : ''), last }
    after = rows.at(-1)
    const fitting = Math.round((rows.length * pageCharacters) / json.length)
    pageRows = Math.max(1, Math.min(fitting, rows.length * growth, maxPageRows))
  }
}

async function* bytes(c: Context<Env>, first: Chunk, rest: AsyncGenerator<Chunk>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  try {
    yield encoder.encode(first.json)
    for await (const { json } of rest) yield encoder.encode(json)
  } catch (error) {
    c.var.log.error({ requestId: c.var.requestId, err: error }, 'a list broke off')
    // The status is sent, so the only way left to say that this is not all is to break the connection (RFC 9112, section 8).
    if (!c.env?.outgoing) throw error
    c.env.outgoing.destroy()
  }
}
