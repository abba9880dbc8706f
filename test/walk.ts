import { expect } from 'vitest'
import type { testClient } from './client.ts'

export type Row = Record<string, string | number | null>

export const ids = (rows: Row[]) => rows.map(({ id }) => id)

/** The URI of another page, as the header Link has it. */
export function linkOf(headers: Headers, rel: string): string | undefined {
  return new RegExp(`<([^>]*)>; rel="${rel}"`).exec(headers.get('link') ?? '')?.[1]
}

/** All rows from this page on, page by page; `between` is done between pages. */
export async function walk(
  client: ReturnType<typeof testClient>,
  path: string,
  { rel = 'next', between = async () => {} } = {},
): Promise<Row[]> {
  const pages: Row[][] = []
  for (let on: string | undefined = path; on; ) {
    const { status, json, headers } = await client.get(on)
    expect(status).toBe(200)
    pages.push(json)
    on = linkOf(headers, rel)
    if (on) await between()
  }
  return (rel === 'next' ? pages : pages.reverse()).flat()
}

/** As Postgres compares text in the C locales: byte by byte. Nulls are the greatest. */
function compare(a: Row, b: Row, column: string): number {
  const [x, y] = [a[column] ?? null, b[column] ?? null]
  if (x === null || y === null) return Number(x === null) - Number(y === null)
  return typeof x === 'number' ? x - Number(y) : Buffer.compare(Buffer.from(x), Buffer.from(String(y)))
}

/** What `?sort=` is to do. */
export function sorted(rows: Row[], sort: string): Row[] {
  const order = sort ? sort.split(',') : []
  const last = order.at(-1)?.startsWith('-') ? '-id' : 'id'
  return rows.toSorted((a, b) => {
    for (const name of [...order, last]) {
      const column = name.replace('-', '')
      const difference = compare(a, b, column) * (name.startsWith('-') ? -1 : 1)
      if (difference !== 0) return difference
    }
    return 0
  })
}

/** A cell of CSV as it was before it was neutralised. */
export const real = (cell: string) => (cell.startsWith("'") ? cell.slice(1) : cell)
