import type { Context } from 'hono'
import { batched } from '../database/batch.ts'
import { isIndexed, type List } from '../database/columns.ts'
import type { Pools, Sql } from '../database/connect.ts'
import type { Page, Stretch } from '../database/page.ts'
import {
  countRows,
  estimateRows,
  type Filter,
  type Format,
  type Key,
  type Query,
  type Rows,
  readRows,
  type Slice,
  separators,
} from '../database/query.ts'
import { fieldProblem } from '../errors.ts'
import { sendJson, setHeader } from './answer.ts'
import type { Env } from './env.ts'
import { type Asked, readAsked, writeCursor } from './query.ts'

/** What the path of a list says: which page, and what the rows belong to. */
type Where = {
  offset?: number
  limit?: number
  /** The column that the path fixes, and its value. */
  of?: { column: string; id: number }
  /** Is asked, when there are no rows, whether what they would belong to exists; it throws if not. */
  orMissing?: () => Promise<unknown>
}

/** Some rows as text, how many, and the key of the last. */
type Piece<Place> = { text: string | null; rows: number; last: Place | null }

type Read<Place> = (after: Place | undefined, offset: number, limit: number) => Promise<Piece<Place>>

type Chunk = { text: string; rows: number; last: boolean }

// A page is to cost little memory and little time. How long rows are is only known when they are there (a site may have
// 60,000 characters), so it begins with few, unless few are asked for, and grows while pages come out small.
const firstPageRows = 25
const askedAtOnceRows = 100
const growth = 4
const maxPageRows = 1_000
const pageOfIndex = { maxRows: maxPageRows, characters: 128 * 1024 }
// In an order that no index has, all rows are sorted again for each page.
const pageOfSort = { maxRows: 50_000, characters: 4 * 1024 * 1024 }

// A query for several pages is to take no longer than one long page, and to hold no more rows than that.
const weight = ({ offset, limit }: { offset: number; limit: number }) => offset + 20 * limit
const most = 10 * maxPageRows

const formats = {
  json: { type: 'application/json', open: '[', close: ']' },
  ndjson: { type: 'application/x-ndjson', open: '', close: '\n' },
  // Excel takes a file for UTF-8 only if it begins with this mark.
  csv: { type: 'text/csv; charset=utf-8; header=present', open: '\ufeff', close: '\r\n' },
} satisfies Record<Format, unknown>

/**
 * How a list is answered. `read` reads pages of it as it is, and that is all there is to most requests: first pages that are
 * asked for at once share a query, and pages after the first have the pool for long lists. What a request asks beyond that
 * (see readAsked) is put into a statement of its own; but `lookUp` is for the one column that scanners ask for, alone and often.
 *
 * A list is read a page at a time, each after the last row of the one before, and at most one ahead of what the client takes: memory
 * stays the same however long the list is, and no connection is held while a client is slow or gone.
 */
export function listed<PageKey>(
  list: List,
  read: (sql: Sql, stretches: (Stretch<PageKey> & { of: number })[]) => Promise<Page<PageKey>[]>,
  { sql, longSql, askedSql }: Pools,
  lookUp: { column?: string; read?: (sql: Sql, values: string[]) => Promise<(string | null)[]> } = {},
): (c: Context<Env>, place?: Where) => Promise<Response> {
  const readFirst = batched((stretches: (Stretch<PageKey> & { of: number })[]) => read(sql, stretches), sql.limits, {
    key: JSON.stringify,
    weight,
    most,
  })

  // Two at a time, as there are connections, and those who ask the same share it.
  const readAskedRows = batched(
    async (asked: { query: Query; slice: Slice }[]) =>
      await Promise.all(asked.map(({ query, slice }) => readRows(askedSql, query, slice))),
    askedSql.limits,
    { key: JSON.stringify, most: 1 },
  )
  const readOne = batched((values: string[]) => lookUp.read?.(sql, values) ?? Promise.resolve([]), sql.limits)

  return async (c, place = {}) => {
    const { offset = 0, limit = 0, of, orMissing } = place
    setHeader(c, 'Vary', 'Accept, X-Fields')
    const fixed: Filter[] = of ? [{ column: of.column, operator: 'eq', values: [String(of.id)] }] : []
    const asked = readAsked(c, list, fixed)
    if (asked?.only?.operator === 'eq' && asked.only.column === lookUp.column && c.req.param('limit') === undefined) {
      return sendJson(c, `[${(await readOne(asked.only.values[0] ?? '')) ?? ''}]`)
    }
    if (asked) {
      return await listAsked(c, askedSql, (query, slice) => readAskedRows({ query, slice }), asked, place)
    }

    const readPage: Read<PageKey> = async (after, offset, limit) => {
      const stretch = { of: of?.id ?? 0, after, offset, limit }
      const isLight = after === undefined && weight(stretch) <= most
      const page = isLight ? await readFirst(stretch) : (await read(longSql, [stretch]))[0]
      return { text: page?.json ?? null, rows: page?.rows ?? 0, last: page?.last ?? null }
    }
    const chunks = inChunks(readPage, 'json', '', offset, limit || Number.POSITIVE_INFINITY)
    const first = await firstOf(chunks)
    if (first.rows === 0) await orMissing?.()
    if (limit > 0) linkOffsets(c, offset, limit, first)
    return first.last ? sendJson(c, first.text) : stream(c, first, chunks, 'json')
  }
}

/** Answers a list of which a request asks more than to be there. */
async function listAsked(
  c: Context<Env>,
  sql: Sql,
  read: (query: Query, slice: Slice) => Promise<Rows>,
  { query, limit: pageLimit, cursor, count }: Asked,
  { offset = 0, limit = 0, orMissing }: Where,
): Promise<Response> {
  const { format, fields } = query
  const heading = format === 'csv' ? fields.join(',') : ''
  const total = count && (await (count === 'exact' ? countRows : estimateRows)(sql, query))
  // When nothing can go wrong any more: a Problem is no file.
  const setHeaders = () => {
    if (total !== undefined) setHeader(c, 'X-Total-Count', String(total))
    if (format === 'csv') setHeader(c, 'Content-Disposition', `attachment; filename="${fileName(c)}.csv"`)
  }

  if (pageLimit !== undefined) {
    const { key: after, backward = false } = cursor ?? {}
    const page = await read(query, { after, backward, limit: pageLimit })
    if (page.rows === 0 && !cursor) await orMissing?.()
    const link = (key: typeof page.first, backward: boolean) =>
      key && linked(c, { cursor: writeCursor(c, query, { key, backward }) })
    setLinks(c, {
      first: linked(c, {}),
      prev: (backward ? page.more : cursor !== undefined) && link(page.first, true),
      next: (backward || page.more) && link(page.last, false),
    })
    setHeaders()
    return send(c, format, envelope(format, heading, page))
  }

  const chunks = inChunks(
    (after: Key | undefined, offset, limit) => read(query, { after, offset, limit }),
    format,
    heading,
    offset,
    limit || Number.POSITIVE_INFINITY,
    isIndexed(query.list, query.order) ? pageOfIndex : pageOfSort,
  )
  const first = await firstOf(chunks)
  if (first.rows === 0) await orMissing?.()
  setHeaders()
  if (limit > 0) linkOffsets(c, offset, limit, first)
  return first.last ? send(c, format, first.text) : stream(c, first, chunks, format)
}

function envelope(format: Format, heading: string, { text, rows }: Rows): string {
  const { open, close } = formats[format]
  const parts = [...(heading ? [heading] : []), ...(rows > 0 ? [text] : [])]
  return parts.length === 0 && format === 'ndjson' ? '' : open + parts.join(separators[format]) + close
}

async function* inChunks<Place>(
  read: Read<Place>,
  format: Format,
  heading: string,
  offset: number,
  limit: number,
  { maxRows, characters } = pageOfIndex,
): AsyncGenerator<Chunk> {
  const { open, close } = formats[format]
  let before = open + heading + (heading && separators[format])
  let after: Place | undefined
  let left = limit
  let asked = Math.min(limit <= askedAtOnceRows ? limit : firstPageRows, left)
  const ask = () => read(after, after === undefined ? offset : 0, asked)
  for (let upcoming = ask(), isFirst = true; ; isFirst = false) {
    const page = await upcoming
    left -= page.rows
    const last = page.rows < asked || left === 0
    if (page.rows === 0) before = after === undefined ? open + heading : ''
    const end = last && (format === 'json' || heading || after !== undefined || page.rows > 0) ? close : ''
    const chunk = { text: before + (page.text ?? '') + end, rows: page.rows, last }
    if (last) return yield chunk
    before = separators[format]
    after = page.last ?? after
    const fitting = Math.round((page.rows * characters) / (page.text?.length || 1))
    asked = Math.min(left, Math.max(1, Math.min(fitting, page.rows * growth, maxRows)))
    // The next page is read while this one is sent; but not behind the first, which may be all that is wanted.
    if (isFirst) yield chunk
    upcoming = ask()
    upcoming.catch(() => {})
    if (!isFirst) yield chunk
  }
}

async function firstOf(chunks: AsyncGenerator<Chunk>): Promise<Chunk> {
  const { value } = await chunks.next()
  return value as Chunk
}

function send(c: Context, format: Format, text: string) {
  return c.body(text, 200, { 'Content-Type': formats[format].type })
}

function stream(c: Context<Env>, first: Chunk, rest: AsyncGenerator<Chunk>, format: Format) {
  return c.body(ReadableStream.from(bytes(c, first, rest)), 200, { 'Content-Type': formats[format].type })
}

async function* bytes(c: Context<Env>, first: Chunk, rest: AsyncGenerator<Chunk>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder()
  try {
    yield encoder.encode(first.text)
    for await (const { text } of rest) yield encoder.encode(text)
  } catch (error) {
    c.get('log').error({ requestId: c.get('requestId'), err: error }, 'a list broke off')
    // The status is sent, so the only way left to say that this is not all is to break the connection (RFC 9112, section 8): with
    // a reset, because to a client of HTTP/1.0 the ordinary end of the connection is the end of the list.
    if (!c.env?.outgoing) throw error
    c.env.outgoing.socket?.resetAndDestroy()
    c.env.outgoing.destroy()
  }
}

// Link as in RFC 8288. The URIs are relative, so that they fit whatever a proxy calls this server.

// Clients and proxies take headers of some 8 kB together, and a link has to be a request line again.
const maxLinkCharacters = 6_000

/** Links between pages by offset; the next one is there if this one is full, as far as that is known when it begins. */
function linkOffsets(c: Context, offset: number, limit: number, { rows, last }: Chunk) {
  const at = (offset: number) => linked(c, {}, c.req.path.replace(/\/\d+\/(\d+)\/?$/, `/${offset}/$1`))
  const next = offset + limit
  setLinks(c, {
    first: at(0),
    prev: offset > 0 && at(Math.max(0, offset - limit)),
    next: (rows === limit || !last) && next <= 2147483647 && at(next),
  })
}

/** The URI of this request with other parameters. */
function linked(c: Context, { cursor }: { cursor?: string }, path: string = c.req.path): string {
  const begin = c.req.url.indexOf('?')
  const others = (begin < 0 ? '' : c.req.url.slice(begin + 1))
    .split('&')
    .filter((pair) => pair !== '' && !/^cursor(=|$)/.test(pair))
  const query = [...others, ...(cursor ? [`cursor=${cursor}`] : [])].join('&')
  return query ? `${path}?${query}` : path
}

function setLinks(c: Context, links: Record<string, string | false | null>) {
  const given = Object.entries(links).filter(([, uri]) => uri)
  const link = given.map(([rel, uri]) => `<${uri}>; rel="${rel}"`).join(', ')
  if (link.length > maxLinkCharacters) {
    const message = 'makes links to other pages that are too long; ask for fewer values, or sort by fewer fields'
    throw fieldProblem('invalid', [{ field: 'limit', message }])
  }
  setHeader(c, 'Link', link)
}

/** `site-1-freezers` for /site/1/freezers. */
function fileName(c: Context): string {
  return c.req.path
    .replace(/\/\d+\/\d+\/?$/, '')
    .replace(/^\/|\/$/g, '')
    .replaceAll('/', '-')
}
