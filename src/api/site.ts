import { Hono } from 'hono'
import * as v from 'valibot'
import { batched } from '../database/batch.ts'
import { sites } from '../database/columns.ts'
import type { Pools } from '../database/connect.ts'
import { createSite, deleteSite, listSites, readSiteOverview, readSites, upsertSite } from '../database/site.ts'
import { created, deleted, deleteOrCount, found, mustBeEmpty, sameId, sendStored } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { listed } from './list.ts'
import { condition, mayCreate, sendRow, unmet, unmetOrMissing } from './precondition.ts'
import { askedFields } from './query.ts'
import { ById, Id, Name, Page, Text } from './schema.ts'
import { param, withParameters } from './validated.ts'

const fields = {
  contact: v.exactOptional(Text),
  address: v.exactOptional(Text),
  state_or_region: v.exactOptional(Text),
  country: v.exactOptional(Text),
  postcode_or_zip: v.exactOptional(Text),
}

export const NewSite = v.strictObject({ name: Name, ...fields })

export const SitePatch = v.strictObject({
  id: v.exactOptional(Id),
  site_id: v.exactOptional(Id),
  name: v.exactOptional(Name),
  ...fields,
})

export const siteRoutes = (pools: Pools) => {
  const { sql } = pools
  const readSite = batched((ids: number[]) => readSites(sql, ids), sql.limits)
  const list = listed(sites, listSites, pools)

  return new Hono<Env>()
    .get(
      '/sites',
      withParameters((c) => list(c)),
    )
    .get('/sites/:offset/:limit', withParameters(param(Page)), (c) => list(c, c.req.valid('param')))
    .get('/site/:id', withParameters(param(ById)), async (c) => {
      const { id } = c.req.valid('param')
      const fields = askedFields(c, sites)
      return sendRow(c, 'site', id, found(await readSite(id), 'site', id), fields)
    })
    .get('/site/:id/overview', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return c.json(found(await readSiteOverview(sql, id), 'site', id))
    })
    .post('/site', body(NewSite), async (c) => {
      mayCreate(c)
      return created(c, 'site', await createSite(sql, c.req.valid('json')))
    })
    .post('/site/:id', param(ById), body(SitePatch), async (c) => {
      const { id } = c.req.valid('param')
      const patch = sameId(c.req.valid('json'), id, ['id', 'site_id'])
      const stored = await upsertSite(sql, id, patch, condition(c))
      if (!stored) throw unmet(c, 'site', id)
      return sendStored(c, stored)
    })
    .delete('/site/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      const when = condition(c)
      const held = await deleteOrCount(() => deleteSite(sql, id, when))
      if (!held) throw await unmetOrMissing(c, 'site', id, readSite)
      mustBeEmpty('site', id, held)
      return deleted(c, 'Site', id)
    })
}
