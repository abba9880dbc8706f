import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { batched } from '../database/batch.ts'
import { freezers } from '../database/columns.ts'
import type { Pools } from '../database/connect.ts'
import {
  createFreezer,
  deleteFreezer,
  listFreezers,
  listFreezersOfSite,
  readFreezers,
  upsertFreezer,
} from '../database/freezer.ts'
import { readSites } from '../database/site.ts'
import { created, deleted, deleteOrCount, found, mustBeEmpty, sameId, sendStored } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { listed } from './list.ts'
import { condition, mayCreate, sendRow, unmet, unmetOrMissing } from './precondition.ts'
import { askedFields } from './query.ts'
import { ById, Id, Name, Page, PageById } from './schema.ts'
import { param, withParameters } from './validated.ts'

export const NewFreezer = v.strictObject({ name: Name, site_id: Id })

export const FreezerPatch = v.strictObject({
  id: v.exactOptional(Id),
  freezer_id: v.exactOptional(Id),
  name: v.exactOptional(Name),
  site_id: v.exactOptional(Id),
})

export const freezerRoutes = (pools: Pools) => {
  const { sql } = pools
  const readFreezer = batched((ids: number[]) => readFreezers(sql, ids), sql.limits)
  const list = listed(freezers, listFreezers, pools)
  const listOf = listed(freezers, listFreezersOfSite, pools)
  const listOfSite = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    listOf(c, {
      ...page,
      of: { column: 'site_id', id },
      orMissing: async () => found((await readSites(sql, [id]))[0], 'site', id),
    })

  return new Hono<Env>()
    .get(
      '/freezers',
      withParameters((c) => list(c)),
    )
    .get('/freezers/:offset/:limit', withParameters(param(Page)), (c) => list(c, c.req.valid('param')))
    .get('/site/:id/freezers', withParameters(param(ById)), (c) => listOfSite(c, c.req.valid('param')))
    .get('/site/:id/freezers/:offset/:limit', withParameters(param(PageById)), (c) =>
      listOfSite(c, c.req.valid('param')),
    )
    .get('/freezer/:id', withParameters(param(ById)), async (c) => {
      const { id } = c.req.valid('param')
      const fields = askedFields(c, freezers)
      return sendRow(c, 'freezer', id, found(await readFreezer(id), 'freezer', id), fields)
    })
    .post('/freezer', body(NewFreezer), async (c) => {
      mayCreate(c)
      return created(c, 'freezer', await createFreezer(sql, c.req.valid('json')))
    })
    .post('/freezer/:id', param(ById), body(FreezerPatch), async (c) => {
      const { id } = c.req.valid('param')
      const patch = sameId(c.req.valid('json'), id, ['id', 'freezer_id'])
      const stored = await upsertFreezer(sql, id, patch, condition(c))
      if (!stored) throw unmet(c, 'freezer', id)
      return sendStored(c, stored)
    })
    .delete('/freezer/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      const when = condition(c)
      const held = await deleteOrCount(() => deleteFreezer(sql, id, when))
      if (!held) throw await unmetOrMissing(c, 'freezer', id, readFreezer)
      mustBeEmpty('freezer', id, held)
      return deleted(c, 'Freezer', id)
    })
}
