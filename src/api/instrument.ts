import { type Context, Hono } from 'hono'
import { instruments } from '../database/columns.ts'
import type { Pools } from '../database/connect.ts'
import { listInstruments, listInstrumentsOfSite } from '../database/instrument.ts'
import { readSites } from '../database/site.ts'
import { found } from './answer.ts'
import type { Env } from './env.ts'
import { listed } from './list.ts'
import { ById, Page, PageById } from './schema.ts'
import { param, withParameters } from './validated.ts'

export const instrumentRoutes = (pools: Pools) => {
  const { sql } = pools
  const list = listed(instruments, listInstruments, pools)
  const listOf = listed(instruments, listInstrumentsOfSite, pools)
  const listOfSite = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    listOf(c, {
      ...page,
      of: { column: 'site_id', id },
      orMissing: async () => found((await readSites(sql, [id]))[0], 'site', id),
    })

  return new Hono<Env>()
    .get(
      '/instruments',
      withParameters((c) => list(c)),
    )
    .get('/instruments/:offset/:limit', withParameters(param(Page)), (c) => list(c, c.req.valid('param')))
    .get('/site/:id/instruments', withParameters(param(ById)), (c) => listOfSite(c, c.req.valid('param')))
    .get('/site/:id/instruments/:offset/:limit', withParameters(param(PageById)), (c) =>
      listOfSite(c, c.req.valid('param')),
    )
}
