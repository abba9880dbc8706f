import { Hono } from 'hono'
import * as v from 'valibot'
import { batched } from '../database/batch.ts'
import type { Sql } from '../database/connect.ts'
import { createSite, deleteSite, listSites, readSiteOverview, readSites, upsertSite } from '../database/site.ts'
import { created, deleted, deleteOrCount, found, mustBeEmpty, sameId, sendJson } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { list, paged } from './list.ts'
import { ById, Id, Name, Page, Text } from './schema.ts'
import { param } from './validated.ts'

const fields = {
  contact: v.exactOptional(Text),
  address: v.exactOptional(Text),
  state_or_region: v.exactOptional(Text),
  country: v.exactOptional(Text),
  postcode_or_zip: v.exactOptional(Text),
}

const NewSite = v.strictObject({ name: Name, ...fields })

const SitePatch = v.strictObject({
  id: v.exactOptional(Id),
  site_id: v.exactOptional(Id),
  name: v.exactOptional(Name),
  ...fields,
})

export const siteRoutes = (sql: Sql, longSql: Sql) => {
  const readSite = batched((ids: number[]) => readSites(sql, ids))
  const readPage = paged(listSites, sql, longSql)

  return new Hono<Env>()
    .get('/sites', (c) => list(c, readPage))
    .get('/sites/:offset/:limit', param(Page), (c) => list(c, readPage, c.req.valid('param')))
    .get('/site/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return sendJson(c, found(await readSite(id), 'site', id))
    })
    .get('/site/:id/overview', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return c.json(found(await readSiteOverview(sql, id), 'site', id))
    })
    .post('/site', body(NewSite), async (c) => created(c, 'site', await createSite(sql, c.req.valid('json'))))
    .post('/site/:id', param(ById), body(SitePatch), async (c) => {
      const { id } = c.req.valid('param')
      return c.json(await upsertSite(sql, id, sameId(c.req.valid('json'), id, ['id', 'site_id'])))
    })
    .delete('/site/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      mustBeEmpty('site', id, found(await deleteOrCount(() => deleteSite(sql, id)), 'site', id))
      return deleted(c, 'Site', id)
    })
}
