import { type Context, Hono } from 'hono'
import type { Sql } from '../database/connect.ts'
import { type InstrumentKey, listInstruments, listInstrumentsOfSite } from '../database/instrument.ts'
import type { Stretch } from '../database/page.ts'
import { readSites } from '../database/site.ts'
import { found } from './answer.ts'
import type { Env } from './env.ts'
import { list, paged } from './list.ts'
import { ById, Page, PageById } from './schema.ts'
import { param } from './validated.ts'

export const instrumentRoutes = (sql: Sql, longSql: Sql) => {
  const readPage = paged(listInstruments, sql, longSql)
  const readPageOfSite = paged(listInstrumentsOfSite, sql, longSql)
  const listOfSite = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    list(c, (stretch: Stretch<InstrumentKey>) => readPageOfSite({ ...stretch, siteId: id }), {
      ...page,
      orMissing: async () => found((await readSites(sql, [id]))[0], 'site', id),
    })

  return new Hono<Env>()
    .get('/instruments', (c) => list(c, readPage))
    .get('/instruments/:offset/:limit', param(Page), (c) => list(c, readPage, c.req.valid('param')))
    .get('/site/:id/instruments', param(ById), (c) => listOfSite(c, c.req.valid('param')))
    .get('/site/:id/instruments/:offset/:limit', param(PageById), (c) => listOfSite(c, c.req.valid('param')))
}
