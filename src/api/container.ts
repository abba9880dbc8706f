import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { batched } from '../database/batch.ts'
import { containers } from '../database/columns.ts'
import type { Pools } from '../database/connect.ts'
import {
  createContainer,
  deleteContainer,
  listContainers,
  listContainersOfFreezer,
  readContainers,
  readContainersByUuid,
  readLocations,
  upsertContainer,
} from '../database/container.ts'
import { readFreezers } from '../database/freezer.ts'
import { created, deleted, found, sameId, sendJson, sendStored, upsertOrAgain } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { listed } from './list.ts'
import { condition, mayCreate, sendRow, unmet, unmetOrMissing } from './precondition.ts'
import { askedFields } from './query.ts'
import { ById, Id, Page, PageById, Text, Uuid } from './schema.ts'
import { param, withParameters } from './validated.ts'

export const NewContainer = v.strictObject({
  uuid: v.exactOptional(v.nullable(Uuid)),
  description: v.exactOptional(Text),
  freezer_id: Id,
})

export const ContainerPatch = v.strictObject({
  id: v.exactOptional(Id),
  container_id: v.exactOptional(Id),
  uuid: v.exactOptional(Uuid),
  description: v.exactOptional(Text),
  freezer_id: v.exactOptional(Id),
})

export const containerRoutes = (pools: Pools) => {
  const { sql } = pools
  const readContainer = batched((ids: number[]) => readContainers(sql, ids), sql.limits)
  const readLocation = batched((ids: number[]) => readLocations(sql, ids), sql.limits)
  const list = listed(containers, listContainers, pools, { column: 'uuid', read: readContainersByUuid })
  const listOf = listed(containers, listContainersOfFreezer, pools)
  const listOfFreezer = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    listOf(c, {
      ...page,
      of: { column: 'freezer_id', id },
      orMissing: async () => found((await readFreezers(sql, [id]))[0], 'freezer', id),
    })

  return new Hono<Env>()
    .get(
      '/containers',
      withParameters((c) => list(c)),
    )
    .get('/containers/:offset/:limit', withParameters(param(Page)), (c) => list(c, c.req.valid('param')))
    .get('/freezer/:id/containers', withParameters(param(ById)), (c) => listOfFreezer(c, c.req.valid('param')))
    .get('/freezer/:id/containers/:offset/:limit', withParameters(param(PageById)), (c) =>
      listOfFreezer(c, c.req.valid('param')),
    )
    .get('/container/:id', withParameters(param(ById)), async (c) => {
      const { id } = c.req.valid('param')
      const fields = askedFields(c, containers)
      return sendRow(c, 'container', id, found(await readContainer(id), 'container', id), fields)
    })
    .get('/container/:id/location', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      return sendJson(c, found(await readLocation(id), 'container', id))
    })
    .post('/container', body(NewContainer), async (c) => {
      mayCreate(c)
      return created(c, 'container', await createContainer(sql, c.req.valid('json')))
    })
    .post('/container/:id', param(ById), body(ContainerPatch), async (c) => {
      const { id } = c.req.valid('param')
      const patch = sameId(c.req.valid('json'), id, ['id', 'container_id'])
      const when = condition(c)
      const stored = await upsertOrAgain(() => upsertContainer(sql, id, patch, when))
      if (!stored) throw unmet(c, 'container', id)
      return sendStored(c, stored)
    })
    .delete('/container/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      if (!(await deleteContainer(sql, id, condition(c)))) throw await unmetOrMissing(c, 'container', id, readContainer)
      return deleted(c, 'Container', id)
    })
}
