import { Hono, type MiddlewareHandler } from 'hono'
import * as v from 'valibot'
import type { Sql } from '../database/connect.ts'
import { mostFound, search, searchTypes } from '../database/search.ts'
import { fieldProblem } from '../errors.ts'
import { body, formPairs } from './body.ts'
import type { Env } from './env.ts'
import { Name, Page } from './schema.ts'
import { param, validated, withParameters } from './validated.ts'

const typesMessage = `must be a list of some of ${searchTypes.join(', ')}`
const limitMessage = `must be a whole number from 1 to ${mostFound}`

const SearchText = v.pipe(
  Name,
  v.check((text) => [...text].length <= 200, 'must have at most 200 characters'),
  v.transform((text) => text.trim().replaceAll(/\s+/g, ' ')),
)

// A form and a query can't hold a list, but names with commas between.
const SearchTypes = v.pipe(
  v.union(
    [
      v.pipe(
        v.string(),
        v.transform((text) => text.split(',')),
      ),
      v.array(v.unknown()),
    ],
    typesMessage,
  ),
  v.check((types) => types.length > 0, typesMessage),
  v.array(v.picklist(searchTypes, typesMessage), typesMessage),
)

const SearchLimit = v.pipe(
  v.string(limitMessage),
  v.regex(/^[1-9]\d{0,2}$/, limitMessage),
  v.transform(Number),
  v.maxValue(mostFound, limitMessage),
)

const defaults = { types: [...searchTypes], offset: '0', limit: '20' }

const SearchQuery = v.strictObject({ q: SearchText, types: v.exactOptional(SearchTypes, defaults.types) })

const SearchPage = v.object({ offset: Page.entries.offset, limit: SearchLimit })

/** The body of a search. */
export const SearchBody = v.strictObject({
  q: SearchText,
  types: v.nullish(SearchTypes, defaults.types),
  offset: v.nullish(Page.entries.offset, defaults.offset),
  limit: v.nullish(SearchLimit, defaults.limit),
})

const firstPage = { offset: 0, limit: 20 }

export const searchRoutes = (sql: Sql) => {
  const answer = async ({ q, types, offset, limit }: v.InferOutput<typeof SearchBody>) => {
    const { results, total } = await search(sql, { q, types, offset, limit })
    return { results, pagination: { offset, limit, total } }
  }

  return new Hono<Env>()
    .get('/search', query(SearchQuery), async (c) => c.json(await answer({ ...firstPage, ...c.req.valid('query') })))
    .get('/search/:offset/:limit', param(SearchPage), query(SearchQuery), async (c) =>
      c.json(await answer({ ...c.req.valid('param'), ...c.req.valid('query') })),
    )
    .post('/search', body(SearchBody), async (c) => c.json(await answer(c.req.valid('json'))))
}

/** Checks the query of the URI; `c.req.valid('query')` has it. */
function query<Schema extends typeof SearchQuery>(
  schema: Schema,
): MiddlewareHandler<object, string, { in: { query: v.InferInput<Schema> }; out: { query: v.InferOutput<Schema> } }> {
  return withParameters((c, next) => {
    const [, text = ''] = /\?([^#]*)/.exec(c.req.url) ?? []
    const pairs = formPairs(text)
    const names = pairs.map(([name]) => name)
    const errors = [...new Set(names)].flatMap((field) => {
      if (!Object.hasOwn(schema.entries, field)) return { field, message: 'is not a parameter here' }
      return names.indexOf(field) < names.lastIndexOf(field) ? { field, message: 'is given twice' } : []
    })
    if (errors.length > 0) throw fieldProblem('invalid', errors)
    c.req.addValidatedData('query', validated(schema, Object.fromEntries(pairs)))
    return next()
  })
}
