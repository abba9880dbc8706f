import type { Column, List } from '../database/columns.ts'
import { searchTypes } from '../database/search.ts'
import * as example from './description_examples.ts'
import { capital, compared, lists, type Part, ref, schemas } from './description_schemas.ts'
import { maxLimit, operators } from './query.ts'

// What operations have in common: parameters, headers of answers, and answers.

const maxInt = 2147483647

const path = (name: string, schema: Part, example: number, description: string) => ({
  name,
  in: 'path',
  required: true,
  description,
  schema,
  example,
})
const query = (name: string, schema: Part, description: string) => ({ name, in: 'query', description, schema })
const header = (name: string, schema: Part, description: string) => ({ name, in: 'header', description, schema })

/** Several values with commas between. */
const commas = { style: 'form', explode: false }

/** Header fields that name the versions of a row, as RFC 9110 has them in section 13.1. */
const tags = { type: 'string', pattern: '^(\\*|(W/)?"[!#-~]*"(, *(W/)?"[!#-~]*")*)$' }

const meaning = {
  ne: 'is another, or null',
  gt: 'is greater than this',
  gte: 'is this or greater',
  lt: 'is less than this',
  lte: 'is this or less',
  in: 'is one of these',
  contains: 'has this in it, in capitals or not',
  startswith: 'begins with this, in capitals or not',
  isnull: 'is null, or is not',
}

export const parameters: Part = {
  id: path('id', { type: 'integer', minimum: 1, maximum: maxInt }, 1, 'The id of the row.'),
  offset: path('offset', { type: 'integer', minimum: 0, maximum: maxInt }, 0, 'How many to leave out at the start.'),
  pageLimit: path('limit', { type: 'integer', minimum: 0, maximum: maxInt }, 2, 'How many at most; 0 for all.'),
  limit: query(
    'limit',
    { type: 'integer', minimum: 1, maximum: maxLimit },
    'Answers a page of so many rows at most. The header Link has the next one.',
  ),
  cursor: query(
    'cursor',
    { type: 'string' },
    'Where a page begins. Link has it; it is for the same list, with the same filters and sort, and needs `limit`.',
  ),
  count: query(
    'count',
    { type: 'string', enum: ['exact', 'estimated'] },
    'Adds X-Total-Count: how many rows there are in all, counted or, in no time, estimated.',
  ),
  format: query(
    'format',
    { type: 'string', enum: ['json', 'ndjson', 'csv'] },
    'What to answer with, whatever Accept says.',
  ),
  'X-Request-Id': header(
    'X-Request-Id',
    { type: 'string' },
    'A name for this request, in the answer and in the log: at most 255 letters, digits, `-`, `_` and `=`. Any other is replaced.',
  ),
  'If-Match': header(
    'If-Match',
    tags,
    'Only if the row still has one of these ETags (or, for `*`, if there is one); else 412.',
  ),
  'If-None-Match': header(
    'If-None-Match',
    tags,
    'Only if the row has none of these ETags (or, for `*`, if there is none); else 304 for GET, and 412 for others.',
  ),
  q: {
    name: 'q',
    in: 'query',
    required: true,
    description: 'What to look for.',
    schema: { ...(schemas.SearchText as Part), type: 'string' },
    example: 'plasmid',
  },
  types: {
    ...query(
      'types',
      { type: 'array', items: { type: 'string', enum: searchTypes }, minItems: 1 },
      'What to find; without it, all.',
    ),
    ...commas,
  },
  searchLimit: path('limit', firstOf('SearchLimit'), 20, 'How many at most.'),
  ...Object.assign({}, ...lists.map(listParameters)),
}

/** The description of a number without that of the same in quotes. */
function firstOf(schema: string): Part {
  return (schemas[schema] as { anyOf: [Part] }).anyOf[0]
}

/** Parameters of one list, named `site.country__contains`. */
function listParameters({ name, columns }: List): Part {
  const names = Object.keys(columns)
  const fields = { type: 'array', items: { type: 'string', enum: names }, minItems: 1, uniqueItems: true }
  const sort = { ...fields, items: { type: 'string', enum: names.flatMap((column) => [column, `-${column}`]) } }
  return Object.fromEntries(
    [
      { ...query('sort', sort, 'The order; `-` descends. Each field once; the id decides between equals.'), ...commas },
      { ...query('fields', fields, 'Answers only these fields, in this order.'), ...commas },
      { ...header('X-Fields', fields, 'The same as `fields`, which goes before it.'), style: 'simple' },
      ...Object.entries(columns).flatMap(([column, kind]) => filters(column, kind)),
    ].map((parameter) => [`${name}.${parameter.name}`, parameter]),
  )
}

function filters(column: string, { type }: Column) {
  const value = compared[type]
  return [
    query(column, value, `Only rows whose ${column} is this.`),
    ...operators[type].map((operator) => {
      const said = `Only rows whose ${column} ${meaning[operator as keyof typeof meaning]}.`
      const name = `${column}__${operator}`
      if (operator === 'isnull') return query(name, { type: 'boolean' }, said)
      if (operator !== 'in') return query(name, value, said)
      return { ...query(name, { type: 'array', items: value, minItems: 1 }, said), ...commas }
    }),
  ]
}

/** Headers of answers. */
export const answers: Part = {
  'X-Request-Id': {
    description: 'The name of the request; the log has it too.',
    required: true,
    schema: { type: 'string' },
  },
  ETag: {
    description: 'The version of the row, for If-Match and If-None-Match.',
    required: true,
    schema: { type: 'string' },
  },
  Location: { description: 'Where the new row is.', required: true, schema: { type: 'string' }, example: '/site/4' },
  Link: {
    description: 'The pages `first`, `prev` and `next`, as far as there are such (RFC 8288). Of pages only.',
    schema: { type: 'string' },
    example: '</sites/0/2>; rel="first", </sites/2/2>; rel="next"',
  },
  Vary: {
    description: 'The request headers that choose the answer.',
    required: true,
    schema: { type: 'string' },
    example: 'Accept, X-Fields',
  },
  'X-Total-Count': {
    description: 'How many rows there are in all, if `count` asks for it.',
    schema: { type: 'integer', minimum: 0 },
  },
  'Content-Disposition': {
    description: 'A name for the file. Of CSV only.',
    schema: { type: 'string' },
    example: 'attachment; filename="sites.csv"',
  },
  'Retry-After': {
    description: 'In how many seconds to try again.',
    required: true,
    schema: { type: 'integer', minimum: 0 },
    example: 1,
  },
}

/** The headers with these names, and the one that all answers have. */
export const fieldsGiven = (...names: string[]): Part =>
  Object.fromEntries(['X-Request-Id', ...names].map((name) => [name, ref('headers', name)]))

const described = {
  400: ['BadRequest', 'The path, a parameter, a header or the body can not be taken as it is.'],
  403: ['Forbidden', 'A page of another origin asked for it.'],
  404: ['NotFound', 'It is not there.'],
  409: ['Conflict', 'Another row is in the way, or one is missing.'],
  412: ['PreconditionFailed', 'If-Match or If-None-Match does not hold.'],
  413: ['TooLarge', 'The body is larger than 1 MiB.'],
  415: ['UnsupportedMediaType', 'The body is neither JSON nor a form, or it is encoded.'],
  500: ['InternalError', 'A bug, which is in the log.'],
  503: ['Unavailable', 'The database can not answer at the moment.'],
} as const

/** The answers with these statuses. */
export const problems = (...statuses: (keyof typeof described)[]): Part =>
  Object.fromEntries(statuses.map((status) => [status, ref('responses', described[status][0])]))

export const responses: Part = {
  Unchanged: { description: 'The row still has an ETag of If-None-Match.', headers: fieldsGiven('ETag') },
  ...Object.fromEntries(
    Object.entries(described).map(([status, [name, description]]) => [
      name,
      {
        description,
        headers: fieldsGiven(...(name === 'Unavailable' ? ['Retry-After'] : [])),
        content: {
          'application/problem+json': {
            schema: ref('schemas', 'Problem'),
            examples: Object.fromEntries(
              Object.entries(example.problems[Number(status)] ?? {}).map(([summary, value], i) => [
                `${name}${i + 1}`,
                { summary, value },
              ]),
            ),
          },
        },
      },
    ]),
  ),
}

/** A list in the three formats. */
export function listAnswer({ name }: List, rows: Part[]): Part {
  return {
    description: 'The rows.',
    headers: fieldsGiven('Vary', 'Link', 'X-Total-Count', 'Content-Disposition'),
    content: {
      'application/json': {
        schema: { type: 'array', items: ref('schemas', `${capital(name)}Fields`) },
        example: rows,
      },
      'application/x-ndjson': {
        schema: { type: 'string', description: 'A row as JSON on each line.' },
        example: example.ndjson(rows),
      },
      'text/csv': {
        schema: {
          type: 'string',
          description:
            "As RFC 4180 has it, in UTF-8, with the names of the columns first. A cell that a spreadsheet would take for a formula begins with '.",
        },
        example: example.csv(rows),
      },
    },
  }
}
