import { createHash } from 'node:crypto'
import type { Context } from 'hono'
import { parseAccept } from 'hono/utils/accept'
import * as v from 'valibot'
import type { Column, List } from '../database/columns.ts'
import type { Filter, Format, Key, Operator, Order, Query } from '../database/query.ts'
import { type FieldError, fieldProblem } from '../errors.ts'
import { setHeader } from './answer.ts'
import { formPairs } from './body.ts'
import { Characters, Integer, MacText, Uuid } from './schema.ts'

// What may stand behind the question mark of a list. Other names are 400, never ignored: a filter that was not applied would
// give an answer that looks right and is not.

/** The most rows that `?limit=` may ask for. */
export const maxLimit = 1_000

/** What a request asks of a list. */
export type Asked = {
  query: Query
  /** The filter, if it is all that is asked. */
  only: Filter | undefined
  /** Rows of a page by keyset; undefined: the whole list, or the page that the path names. */
  limit: number | undefined
  cursor: Cursor | undefined
  count: 'exact' | 'estimated' | undefined
}

/** Where a page begins: after the row with this key, or, backward, before it. */
export type Cursor = { key: Key; backward: boolean }

export const operators: Record<Column['type'], Operator[]> = {
  int: ['ne', 'gt', 'gte', 'lt', 'lte', 'in', 'isnull'],
  text: ['ne', 'gt', 'gte', 'lt', 'lte', 'in', 'contains', 'startswith', 'isnull'],
  uuid: ['ne', 'gt', 'gte', 'lt', 'lte', 'in', 'isnull'],
  macaddr: ['ne', 'gt', 'gte', 'lt', 'lte', 'in', 'isnull'],
}

const values = { int: Integer, text: Characters, uuid: Uuid, macaddr: MacText }

const controls = ['sort', 'fields', 'limit', 'cursor', 'count', 'format'] as const

/**
 * Reads what is asked of a list: filters (`?country=USA&name__contains=lab`), `sort`, `fields` (or the header X-Fields),
 * `limit` and `cursor`, `count`, `format` (or the header Accept). Undefined when nothing is. `fixed` are filters that the
 * path stands for. Throws a Problem that names every parameter that can't be used.
 */
export function readAsked(c: Context, list: List, fixed: Filter[]): Asked | undefined {
  const fieldsHeader = c.req.header('x-fields')
  const accept = c.req.header('accept') ?? '*/*'
  const begin = c.req.url.indexOf('?')
  if (begin < 0 && fieldsHeader === undefined && (accept === '*/*' || acceptedFormat(accept) === 'json'))
    return undefined

  const errors: FieldError[] = []
  const fail = (field: string, message: string) => void errors.push({ field, message })
  const pairs = begin < 0 ? [] : formPairs(c.req.url.slice(begin + 1).replace(/#.*/s, ''))
  const given: Partial<Record<(typeof controls)[number], string>> = {}
  const filters: Filter[] = [...fixed]
  for (const [name, value] of pairs) {
    const control = controls.find((each) => each === name)
    if (!control) {
      const filter = readFilter(list, name, value)
      if ('field' in filter) errors.push(filter)
      else filters.push(filter)
    } else if (given[control] !== undefined) fail(name, 'is given twice')
    else given[control] = value
  }

  const offsetInPath = c.req.param('limit') !== undefined
  if (offsetInPath && given.limit !== undefined) fail('limit', 'is in the path already')
  const limit = given.limit === undefined ? undefined : Number(given.limit)
  if (limit !== undefined && !(/^[1-9]\d{0,3}$/.test(given.limit ?? '') && limit <= maxLimit)) {
    fail('limit', `must be a whole number from 1 to ${maxLimit}; leave it out for the whole list`)
  }
  if (given.count !== undefined && given.count !== 'exact' && given.count !== 'estimated') {
    fail('count', 'must be exact or estimated')
  }
  const formats: Record<string, Format> = { json: 'json', ndjson: 'ndjson', csv: 'csv' }
  if (given.format !== undefined && !Object.hasOwn(formats, given.format)) fail('format', 'must be json, ndjson or csv')

  const order = readOrder(list, given.sort, fail)
  const fields = readFields(
    list,
    given.fields ?? fieldsHeader,
    given.fields === undefined ? 'X-Fields' : 'fields',
    fail,
  )
  if (given.cursor !== undefined && limit === undefined) fail('cursor', 'needs the limit of the page that it came from')
  const format = formats[given.format ?? ''] ?? acceptedFormat(accept)
  const query = { list, filters, order, fields, format }
  const cursor = given.cursor === undefined ? undefined : readCursor(c, query, given.cursor)
  if (given.cursor !== undefined && !cursor) {
    fail('cursor', 'is not one of this list with these filters in this order; begin again without it')
  }
  if (errors.length > 0) throw fieldProblem('invalid', errors)
  const isPlain = pairs.length === 1 && filters.length === 1 && fieldsHeader === undefined && format === 'json'
  return { query, only: isPlain ? filters[0] : undefined, limit, cursor, count: given.count as Asked['count'] }
}

/** The fields of a single row that are asked for, by `fields` or X-Fields; undefined when all are. Throws like readAsked. */
export function askedFields(c: Context, list: List): string[] | undefined {
  setHeader(c, 'Vary', 'X-Fields')
  const begin = c.req.url.indexOf('?')
  const header = c.req.header('x-fields')
  if (begin < 0 && header === undefined) return undefined
  const errors: FieldError[] = []
  const fail = (field: string, message: string) => void errors.push({ field, message })
  const pairs = begin < 0 ? [] : formPairs(c.req.url.slice(begin + 1).replace(/#.*/s, ''))
  for (const [i, [name]] of pairs.entries()) {
    if (name !== 'fields') fail(name, 'is not a parameter here; there is fields')
    else if (i > 0) fail(name, 'is given twice')
  }
  const given = pairs.find(([name]) => name === 'fields')?.[1]
  const fields = readFields(list, given ?? header, given === undefined ? 'X-Fields' : 'fields', fail)
  if (errors.length > 0) throw fieldProblem('invalid', errors)
  return fields
}

const types: Record<string, Format> = {
  'application/json': 'json',
  'application/*': 'json',
  '*/*': 'json',
  'application/x-ndjson': 'ndjson',
  'text/csv': 'csv',
  'text/*': 'csv',
}

/** The format of the media range with the greatest weight (RFC 9110, section 12.5.1) that there is one for, or JSON. */
function acceptedFormat(accept: string): Format {
  const [best] = parseAccept(accept.toLowerCase())
    .filter(({ type, q }) => q > 0 && Object.hasOwn(types, type))
    .sort((a, b) => b.q - a.q)
  return types[best?.type ?? ''] ?? 'json'
}

function readFilter(list: List, name: string, text: string): Filter | FieldError {
  const [, column = '', operator = 'eq'] = /^(.*?)(?:__([a-z]+))?$/s.exec(name) ?? []
  const type = Object.hasOwn(list.columns, column) ? list.columns[column]?.type : undefined
  if (type === undefined) {
    const known = Object.keys(list.columns).join(', ')
    return {
      field: name,
      message: `is not a parameter here; there are ${controls.join(', ')} and the fields ${known}`,
    }
  }
  if (operator !== 'eq' && !operators[type].includes(operator as Operator)) {
    return { field: name, message: `has no such operator; ${column} has ${operators[type].join(', ')}` }
  }
  const filter = { column, operator: operator as Operator, values: operator === 'in' ? text.split(',') : [text] }
  if (operator === 'isnull') {
    return text === 'true' || text === 'false' ? filter : { field: name, message: 'must be true or false' }
  }
  const wrong = filter.values.map((value) => v.safeParse(values[type], value)).find(({ success }) => !success)
  return wrong?.issues ? { field: name, message: wrong.issues[0].message } : filter
}

/** The order asked for, and behind it what is left of the list's own, in the direction of the last. */
function readOrder(list: List, sort: string | undefined, fail: (field: string, message: string) => void): Order[] {
  const order = (sort?.split(',') ?? []).map((name) => ({
    column: name.replace(/^-/, ''),
    descending: name.startsWith('-'),
  }))
  const names = order.map(({ column }) => column)
  for (const [i, name] of names.entries()) {
    if (!Object.hasOwn(list.columns, name)) fail('sort', `${name || 'nothing'} is not a field here`)
    else if (names.indexOf(name) < i) fail('sort', `${name} is there twice`)
  }
  const descending = order.at(-1)?.descending ?? false
  return [...order, ...list.order.filter((name) => !names.includes(name)).map((column) => ({ column, descending }))]
}

/** The fields that are asked for, or all of them; `from` is what a Problem calls them. */
function readFields(
  list: List,
  text: string | undefined,
  from: string,
  fail: (field: string, message: string) => void,
): string[] {
  if (text === undefined) return Object.keys(list.columns)
  const fields = text.split(',').map((field) => field.trim())
  for (const [i, field] of fields.entries()) {
    if (!Object.hasOwn(list.columns, field)) {
      fail(from, `${field || 'nothing'} is not a field here; there are ${Object.keys(list.columns).join(', ')}`)
    } else if (fields.indexOf(field) < i) fail(from, `${field} is there twice`)
  }
  return fields
}

// Another version of the server may order or filter in another way.
const cursorVersion = 1

/**
 * A cursor is a place in one list, with its filters and its order: it begins with a hash of these, and of itself, so that one
 * that was cut or is of another list is noticed. It is no secret; its values are checked like those of a filter.
 */
export function writeCursor(c: Context, query: Query, { key, backward }: Cursor): string {
  const hash = hashOf(c, query, { key, backward })
  return Buffer.from(JSON.stringify([cursorVersion, hash, backward ? 1 : 0, ...key])).toString('base64url')
}

function readCursor(c: Context, query: Query, text: string): Cursor | undefined {
  const [version, hash, backward, ...key] = parseArray(Buffer.from(text, 'base64url').toString())
  const cursor = { key: key as Key, backward: backward === 1 }
  const fits =
    version === cursorVersion &&
    key.length === query.order.length &&
    key.every((value, i) => fitsColumn(query.list.columns[query.order[i]?.column ?? ''], value)) &&
    hash === hashOf(c, query, cursor)
  return fits ? cursor : undefined
}

function parseArray(json: string): unknown[] {
  try {
    const value: unknown = JSON.parse(json)
    return Array.isArray(value) ? value : []
  } catch {
    return []
  }
}

function fitsColumn(column: Column | undefined, value: unknown): boolean {
  if (column === undefined) return false
  return value === null ? column.nullable === true : v.is(values[column.type], value)
}

function hashOf(c: Context, { filters, order }: Query, cursor: Cursor): string {
  const path = c.req.path.replace(/\/$/, '')
  return createHash('sha256')
    .update(JSON.stringify([path, filters, order, cursor]))
    .digest('base64url')
    .slice(0, 12)
}
