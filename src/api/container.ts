import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { batched, shared } from '../database/batch.ts'
import type { Sql, Stretch } from '../database/connect.ts'
import {
  type Container,
  createContainer,
  deleteContainer,
  listContainers,
  listContainersOfFreezer,
  readContainers,
  readLocation,
  upsertContainer,
} from '../database/container.ts'
import { readFreezers } from '../database/freezer.ts'
import { created, deleted, found, missing, sameId } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { list } from './list.ts'
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
  const readContainer = batched((ids) => readContainers(sql, ids))
  const readPage = shared((stretch: Stretch<Container>) => listContainers(stretch.after ? longSql : sql, stretch))
  const readPageOfFreezer = shared((id: number, stretch: Stretch<Container>) =>
    listContainersOfFreezer(stretch.after ? longSql : sql, id, stretch),
  )
  const listOfFreezer = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    list(c, (stretch: Stretch<Container>) => readPageOfFreezer(id, stretch), {
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
      return c.json(found(await readContainer(id), 'container', id))
    })
    .get('/container/:id/location', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return c.json(found(await readLocation(sql, id), 'container', id))
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
