import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { batched } from '../database/batch.ts'
import {
  createComputer,
  deleteComputer,
  listComputers,
  listComputersOfSite,
  readComputers,
  upsertComputer,
} from '../database/computer.ts'
import type { Sql } from '../database/connect.ts'
import type { Stretch } from '../database/page.ts'
import { readSites } from '../database/site.ts'
import { created, deleted, found, missing, sameId, sendJson } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { list, paged } from './list.ts'
import { ById, Id, Mac, Name, Page, PageById } from './schema.ts'
import { param } from './validated.ts'

const NewComputer = v.strictObject({ name: Name, mac: v.exactOptional(Mac), site_id: Id })

const ComputerPatch = v.strictObject({
  id: v.exactOptional(Id),
  computer_id: v.exactOptional(Id),
  name: v.exactOptional(Name),
  mac: v.exactOptional(Mac),
  site_id: v.exactOptional(Id),
})

export const computerRoutes = (sql: Sql, longSql: Sql) => {
  const readComputer = batched((ids: number[]) => readComputers(sql, ids))
  const readPage = paged(listComputers, sql, longSql)
  const readPageOfSite = paged(listComputersOfSite, sql, longSql)
  const listOfSite = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    list(c, (stretch: Stretch<number>) => readPageOfSite({ ...stretch, siteId: id }), {
      ...page,
      orMissing: async () => found((await readSites(sql, [id]))[0], 'site', id),
    })

  return new Hono<Env>()
    .get('/computers', (c) => list(c, readPage))
    .get('/computers/:offset/:limit', param(Page), (c) => list(c, readPage, c.req.valid('param')))
    .get('/site/:id/computers', param(ById), (c) => listOfSite(c, c.req.valid('param')))
    .get('/site/:id/computers/:offset/:limit', param(PageById), (c) => listOfSite(c, c.req.valid('param')))
    .get('/computer/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return sendJson(c, found(await readComputer(id), 'computer', id))
    })
    .post('/computer', body(NewComputer), async (c) =>
      created(c, 'computer', await createComputer(sql, c.req.valid('json'))),
    )
    .post('/computer/:id', param(ById), body(ComputerPatch), async (c) => {
      const { id } = c.req.valid('param')
      return c.json(await upsertComputer(sql, id, sameId(c.req.valid('json'), id, ['id', 'computer_id'])))
    })
    .delete('/computer/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      if (!(await deleteComputer(sql, id))) throw missing('computer', id)
      return deleted(c, 'Computer', id)
    })
}
