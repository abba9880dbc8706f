import { type Context, Hono } from 'hono'
import type { Sql } from '../database/connect.ts'
import { type Instrument, listInstruments, listInstrumentsOfSite } from '../database/instrument.ts'
import { readSite } from '../database/site.ts'
import { found } from './answer.ts'
import type { Env } from './env.ts'
import { list } from './list.ts'
import { ById, Page, PageById } from './schema.ts'
import { param } from './validated.ts'

export const instrumentRoutes = (sql: Sql) =>
  new Hono<Env>()
    .get('/instruments', (c) => list<Instrument>(c, (stretch) => listInstruments(sql, stretch)))
    .get('/instruments/:offset/:limit', param(Page), (c) =>
      list<Instrument>(c, (stretch) => listInstruments(sql, stretch), c.req.valid('param')),
    )
    .get('/site/:id/instruments', param(ById), (c) => listOfSite(sql, c, c.req.valid('param')))
    .get('/site/:id/instruments/:offset/:limit', param(PageById), (c) => listOfSite(sql, c, c.req.valid('param')))

const listOfSite = (sql: Sql, c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
  list<Instrument>(c, (stretch) => listInstrumentsOfSite(sql, id, stretch), {
    ...page,
    orMissing: async () => found(await readSite(sql, id), 'site', id),
  })
