import type { List } from './columns.ts'
import { type Sql, unprepared } from './connect.ts'
import type { Statement } from './statement.ts'

// Lists that are filtered, sorted or masked: the one place where a statement is put together. Names of columns come from
// columns.ts, never from a request, and every value is a parameter, cast to the type of its column.

type Fragment = Statement

export type Operator = 'eq' | 'ne' | 'gt' | 'gte' | 'lt' | 'lte' | 'in' | 'contains' | 'startswith' | 'isnull'

/** A condition on a column; `in` has one or more values, `isnull` is for true or false, the others have one. */
export type Filter = { column: string; operator: Operator; values: string[] }

export type Order = { column: string; descending: boolean }

export type Format = 'json' | 'ndjson' | 'csv'

/** Which rows of a list, in which order, and what of them. `order` ends with the list's own. */
export type Query = { list: List; filters: Filter[]; order: Order[]; fields: string[]; format: Format }

/** The values of the order's columns in a row, as text: its place in the list. */
export type Key = (string | null)[]

/**
 * The next `limit` rows after the row with the key `after`, less the first `offset`; `backward`, the last ones before it.
 * Without a key they are counted from the start, or from the end.
 */
export type Slice = { after?: Key | undefined; backward?: boolean; offset?: number; limit: number }

/** The rows as text in the format, the number of rows, whether there are more in that direction, the outermost keys. */
export type Rows = { text: string | null; rows: number; more: boolean; first: Key | null; last: Key | null }

/**
 * A slice of a list. Where it begins is found by index, if there is one for the order: rows after a key are those that are
 * equal to it in the first columns and beyond it in the next one, and each of these cases is a range of the index.
 */
export async function readRows(
  sql: Sql,
  query: Query,
  { after, backward = false, offset = 0, limit }: Slice,
): Promise<Rows> {
  const { list, filters, format } = query
  const order = query.order.map(({ column, descending }) => ({ column, descending: descending !== backward }))
  const conditions = filters.map((filter) => condition(sql, list, filter))
  const branches = (after ? beyond(sql, list, order, after) : [[]]).map(
    (place) => sql`(
      select ${names(sql, list)}
      from ${source(sql, list)}
      where ${all(sql, [...conditions, ...place])}
      order by ${ordering(sql, list, order)}
      offset ${offset}
      limit ${limit + 1}
    )`,
  )
  const outward = backward ? sql`order by nr desc` : sql`order by nr`
  const [rows] = await unprepared(sql<[Rows]>`
    -- readRows
    select
      string_agg(text, ${separators[format]} ${outward}) filter (where nr <= ${limit}::int) as text,
      least(count(*), ${limit}::int)::int as rows,
      count(*) > ${limit}::int as more,
      (array_agg(key ${outward}) filter (where nr <= ${limit}::int))[1] as first,
      (array_agg(key ${outward}) filter (where nr <= ${limit}::int))[least(count(*), ${limit}::int)] as last
    from (
      select
        row_number() over (order by ${ordering(sql, list, order)}) as nr,
        ${text(sql, query)} as text,
        json_build_array(${commas(
          sql,
          order.map(({ column }) => sql`${sortable(sql, list, column)}::text`),
        )}) as key
      from (${between(sql, branches, sql`union all`)}) as entry
      order by nr
      limit ${limit + 1}
    ) as numbered`)
  return rows
}

/** How many rows of the list the filters leave. */
export async function countRows(sql: Sql, { list, filters }: Pick<Query, 'list' | 'filters'>): Promise<number> {
  const [row] = await unprepared(sql<[{ count: number }]>`
    -- countRows
    select least(count(*), 2147483647)::int as count
    from ${source(sql, list)}
    where ${all(
      sql,
      filters.map((filter) => condition(sql, list, filter)),
    )}`)
  return row.count
}

/** How many rows Postgres expects the filters to leave, by its statistics: at the same cost however large the table is. */
export async function estimateRows(sql: Sql, { list, filters }: Pick<Query, 'list' | 'filters'>): Promise<number> {
  const [row] = await unprepared(sql<[{ 'QUERY PLAN': [{ Plan: { 'Plan Rows': number } }] }]>`
    -- estimateRows
    explain (format json)
    select
    from ${source(sql, list)}
    where ${all(
      sql,
      filters.map((filter) => condition(sql, list, filter)),
    )}`)
  return row['QUERY PLAN'][0].Plan['Plan Rows']
}

/** What comes between two rows. */
export const separators = { json: ',', ndjson: '\n', csv: '\r\n' } as const satisfies Record<Format, string>

function source(sql: Sql, list: List): Fragment {
  if (list.name !== 'instrument') return sql`${sql(list.name)}`
  return sql`(
    select
      site_id,
      (select name from site where site.id = site_id) as site_name,
      id as computer_id,
      null::int as freezer_id,
      name
    from computer
    union all
    select site_id, (select name from site where site.id = site_id), null, id, name
    from freezer
  ) as instrument`
}

function names(sql: Sql, list: List): Fragment {
  return commas(
    sql,
    Object.keys(list.columns).map((column) => sql`${sql(column)}`),
  )
}

/** One row as text. */
function text(sql: Sql, { list, fields, format }: Query): Fragment {
  if (format === 'csv')
    return between(
      sql,
      fields.map((field) => cell(sql, list, field)),
      sql`|| ',' ||`,
    )
  // As an alias of a column, unlike a key that is given as text, it is what row_to_json calls the value.
  return sql`(select row_to_json(shown)::text from (select ${commas(
    sql,
    fields.map((field) => sql`${sql(field)}`),
  )}) as shown)`
}

// RFC 4180, section 2: quotes around what holds one, a comma or a line break, and twice inside. Text that a spreadsheet would
// run as a formula gets an apostrophe before it, and so does text that begins with one: a cell is real if it has none, and
// what is behind the apostrophe if it has. Empty text is quoted, to tell it from null.
function cell(sql: Sql, list: List, field: string): Fragment {
  if (list.columns[field]?.type !== 'text') return sql`coalesce(${sql(field)}::text, '')`
  const safe = sql`case when ${sql(field)} ~ '^[-=+@\t\r'']' then '''' else '' end || ${sql(field)}`
  return sql`coalesce(
    case when ${sql(field)} ~ '[",\r\n]' or ${sql(field)} = '' then '"' || replace(${safe}, '"', '""') || '"' else ${safe} end,
    ''
  )`
}

function ordering(sql: Sql, list: List, order: Order[]): Fragment {
  return commas(
    sql,
    order.map(({ column, descending }) => {
      const value = sortable(sql, list, column)
      return descending ? sql`${value} desc` : value
    }),
  )
}

// Text is ordered by its beginning, because no index could hold all of it; what is equal in that, by what comes next.
function sortable(sql: Sql, list: List, column: string): Fragment {
  return list.columns[column]?.type === 'text' ? sql`left(${sql(column)}, 600)` : sql`${sql(column)}`
}

/** Conditions for the rows beyond a key, each of which is a range of an index on the order. Nulls are the greatest. */
function beyond(sql: Sql, list: List, order: Order[], key: Key): Fragment[][] {
  return order.flatMap(({ column, descending }, i) => {
    const equal = order.slice(0, i).map((each, j) => {
      const value = key[j] ?? null
      return value === null
        ? sql`${sql(each.column)} is null`
        : sql`${sortable(sql, list, each.column)} = ${typed(sql, list, each.column, value)}`
    })
    const value = key[i] ?? null
    if (value === null) return descending ? [[...equal, sql`${sql(column)} is not null`]] : []
    const place = sortable(sql, list, column)
    const further = [[...equal, sql`${place} ${descending ? sql`<` : sql`>`} ${typed(sql, list, column, value)}`]]
    const canBeNull = list.columns[column]?.nullable && !descending
    return canBeNull ? [...further, [...equal, sql`${sql(column)} is null`]] : further
  })
}

function condition(sql: Sql, list: List, { column, operator, values }: Filter): Fragment {
  const [value = ''] = values
  switch (operator) {
    case 'eq': {
      const equal = comparison(sql, list, column, sql`=`, value)
      return list.columns[column]?.sorted
        ? sql`(left(${sql(column)}, 600) = left(${value}::text, 600) and ${equal})`
        : equal
    }
    case 'ne':
      return comparison(sql, list, column, sql`is distinct from`, value)
    case 'gt':
      return comparison(sql, list, column, sql`>`, value)
    case 'gte':
      return comparison(sql, list, column, sql`>=`, value)
    case 'lt':
      return comparison(sql, list, column, sql`<`, value)
    case 'lte':
      return comparison(sql, list, column, sql`<=`, value)
    case 'in':
      return sql`${sql(column)} = any (${typed(sql, list, column, [...new Set(values)])})`
    case 'isnull':
      return value === 'true' ? sql`${sql(column)} is null` : sql`${sql(column)} is not null`
    case 'contains':
      return like(sql, list, column, value, '%')
    case 'startswith':
      return like(sql, list, column, value, '')
  }
}

// The index knows text without case and accents. What it finds is then looked at as it is. The pattern is escaped last: a
// backslash may be what an accent leaves.
function like(sql: Sql, list: List, column: string, value: string, before: '%' | ''): Fragment {
  const pattern = (text: Fragment) =>
    sql`${before}::text || regexp_replace(${text}, ${'([\\\\%_])'}::text, ${'\\\\\\1'}::text, 'g') || '%'`
  const exact = sql`${sql(column)} ilike ${pattern(sql`${value}::text`)}`
  if (!list.columns[column]?.trigrams) return exact
  return sql`(search_text(${sql(column)}) like ${pattern(sql`search_text(${value}::text)`)} and ${exact})`
}

function comparison(sql: Sql, list: List, column: string, operator: Fragment, value: string): Fragment {
  return sql`${sql(column)} ${operator} ${typed(sql, list, column, value)}`
}

/** The value as a parameter of the column's type, or the values as one that is an array. */
function typed(sql: Sql, list: List, column: string, value: string | string[]): Fragment {
  if (Array.isArray(value)) {
    const arrays = { int: sql`int[]`, uuid: sql`uuid[]`, macaddr: sql`macaddr[]`, text: sql`text[]` }
    return sql`${value}::text[]::${arrays[list.columns[column]?.type ?? 'text']}`
  }
  switch (list.columns[column]?.type) {
    case 'int':
      return sql`${value}::int`
    case 'uuid':
      return sql`${value}::uuid`
    case 'macaddr':
      return sql`${value}::macaddr`
    default:
      return sql`${value}::text`
  }
}

const commas = (sql: Sql, parts: Fragment[]) => between(sql, parts, sql`,`)
const all = (sql: Sql, parts: Fragment[]) => between(sql, [sql`true`, ...parts], sql`and`)

function between(sql: Sql, parts: Fragment[], separator: Fragment): Fragment {
  return sql`${parts.flatMap((part, i) => (i === 0 ? [part] : [separator, part]))}`
}
