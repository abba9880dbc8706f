import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { batched } from '../database/batch.ts'
import type { Sql } from '../database/connect.ts'
import {
  createContainer,
  deleteContainer,
  listContainers,
  listContainersOfFreezer,
  readContainers,
  readLocations,
  upsertContainer,
} from '../database/container.ts'
import { readFreezers } from '../database/freezer.ts'
import type { Stretch } from '../database/page.ts'
import { created, deleted, found, missing, sameId, sendJson } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { list, paged } from './list.ts'
import { ById, Id, Page, PageById, Text, Uuid } from './schema.ts'
import { param } from './validated.ts'

const NewContainer = v.strictObject({
  uuid: v.exactOptional(v.nullable(Uuid)),
  description: v.exactOptional(Text),
  freezer_id: Id,
})

const ContainerPatch = v.strictObject({
  id: v.exactOptional(Id),
  container_id: v.exactOptional(Id),
  uuid: v.exactOptional(Uuid),
  description: v.exactOptional(Text),
  freezer_id: v.exactOptional(Id),
})

export const containerRoutes = (sql: Sql, longSql: Sql) => {
  const readContainer = batched((ids: number[]) => readContainers(sql, ids))
  const readLocation = batched((ids: number[]) => readLocations(sql, ids))
  const readPage = paged(listContainers, sql, longSql)
  const readPageOfFreezer = paged(listContainersOfFreezer, sql, longSql)
  const listOfFreezer = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    list(c, (stretch: Stretch<number>) => readPageOfFreezer({ ...stretch, freezerId: id }), {
      ...page,
      orMissing: async () => found((await readFreezers(sql, [id]))[0], 'freezer', id),
    })

  return new Hono<Env>()
    .get('/containers', (c) => list(c, readPage))
    .get('/containers/:offset/:limit', param(Page), (c) => list(c, readPage, c.req.valid('param')))
    .get('/freezer/:id/containers', param(ById), (c) => listOfFreezer(c, c.req.valid('param')))
    .get('/freezer/:id/containers/:offset/:limit', param(PageById), (c) => listOfFreezer(c, c.req.valid('param')))
    .get('/container/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return sendJson(c, found(await readContainer(id), 'container', id))
    })
    .get('/container/:id/location', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return sendJson(c, found(await readLocation(id), 'container', id))
    })
    .post('/container', body(NewContainer), async (c) =>
      created(c, 'container', await createContainer(sql, c.req.valid('json'))),
    )
    .post('/container/:id', param(ById), body(ContainerPatch), async (c) => {
      const { id } = c.req.valid('param')
      return c.json(await upsertContainer(sql, id, sameId(c.req.valid('json'), id, ['id', 'container_id'])))
    })
    .delete('/container/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      if (!(await deleteContainer(sql, id))) throw missing('container', id)
      return deleted(c, 'Container', id)
    })
}
