import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { batched } from '../database/batch.ts'
import type { Sql } from '../database/connect.ts'
import {
  createFreezer,
  deleteFreezer,
  listFreezers,
  listFreezersOfSite,
  readFreezers,
  upsertFreezer,
} from '../database/freezer.ts'
import type { Stretch } from '../database/page.ts'
import { readSites } from '../database/site.ts'
import { created, deleted, deleteOrCount, found, mustBeEmpty, sameId, sendJson } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { list, paged } from './list.ts'
import { ById, Id, Name, Page, PageById } from './schema.ts'
import { param } from './validated.ts'

const NewFreezer = v.strictObject({ name: Name, site_id: Id })

const FreezerPatch = v.strictObject({
  id: v.exactOptional(Id),
  freezer_id: v.exactOptional(Id),
  name: v.exactOptional(Name),
  site_id: v.exactOptional(Id),
})

export const freezerRoutes = (sql: Sql, longSql: Sql) => {
  const readFreezer = batched((ids: number[]) => readFreezers(sql, ids))
  const readPage = paged(listFreezers, sql, longSql)
  const readPageOfSite = paged(listFreezersOfSite, sql, longSql)
  const listOfSite = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    list(c, (stretch: Stretch<number>) => readPageOfSite({ ...stretch, siteId: id }), {
      ...page,
      orMissing: async () => found((await readSites(sql, [id]))[0], 'site', id),
    })

  return new Hono<Env>()
    .get('/freezers', (c) => list(c, readPage))
    .get('/freezers/:offset/:limit', param(Page), (c) => list(c, readPage, c.req.valid('param')))
    .get('/site/:id/freezers', param(ById), (c) => listOfSite(c, c.req.valid('param')))
    .get('/site/:id/freezers/:offset/:limit', param(PageById), (c) => listOfSite(c, c.req.valid('param')))
    .get('/freezer/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return sendJson(c, found(await readFreezer(id), 'freezer', id))
    })
    .post('/freezer', body(NewFreezer), async (c) =>
      created(c, 'freezer', await createFreezer(sql, c.req.valid('json'))),
    )
    .post('/freezer/:id', param(ById), body(FreezerPatch), async (c) => {
      const { id } = c.req.valid('param')
      return c.json(await upsertFreezer(sql, id, sameId(c.req.valid('json'), id, ['id', 'freezer_id'])))
    })
    .delete('/freezer/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      mustBeEmpty('freezer', id, found(await deleteOrCount(() => deleteFreezer(sql, id)), 'freezer', id))
      return deleted(c, 'Freezer', id)
    })
}
