import { type Context, Hono } from 'hono'
import * as v from 'valibot'
import { batched } from '../database/batch.ts'
import { computers } from '../database/columns.ts'
import {
  createComputer,
  deleteComputer,
  listComputers,
  listComputersOfSite,
  readComputers,
  readComputersByMac,
  upsertComputer,
} from '../database/computer.ts'
import type { Pools } from '../database/connect.ts'
import { readSites } from '../database/site.ts'
import { created, deleted, found, sameId, sendStored, upsertOrAgain } from './answer.ts'
import { body } from './body.ts'
import type { Env } from './env.ts'
import { listed } from './list.ts'
import { condition, mayCreate, sendRow, unmet, unmetOrMissing } from './precondition.ts'
import { askedFields } from './query.ts'
import { ById, Id, Mac, Name, Page, PageById } from './schema.ts'
import { param, withParameters } from './validated.ts'

export const NewComputer = v.strictObject({ name: Name, mac: v.exactOptional(Mac), site_id: Id })

export const ComputerPatch = v.strictObject({
  id: v.exactOptional(Id),
  computer_id: v.exactOptional(Id),
  name: v.exactOptional(Name),
  mac: v.exactOptional(Mac),
  site_id: v.exactOptional(Id),
})

export const computerRoutes = (pools: Pools) => {
  const { sql } = pools
  const readComputer = batched((ids: number[]) => readComputers(sql, ids), sql.limits)
  const list = listed(computers, listComputers, pools, { column: 'mac', read: readComputersByMac })
  const listOf = listed(computers, listComputersOfSite, pools)
  const listOfSite = (c: Context<Env>, { id, ...page }: { id: number; offset?: number; limit?: number }) =>
    listOf(c, {
      ...page,
      of: { column: 'site_id', id },
      orMissing: async () => found((await readSites(sql, [id]))[0], 'site', id),
    })

  return new Hono<Env>()
    .get(
      '/computers',
      withParameters((c) => list(c)),
    )
    .get('/computers/:offset/:limit', withParameters(param(Page)), (c) => list(c, c.req.valid('param')))
    .get('/site/:id/computers', withParameters(param(ById)), (c) => listOfSite(c, c.req.valid('param')))
    .get('/site/:id/computers/:offset/:limit', withParameters(param(PageById)), (c) =>
      listOfSite(c, c.req.valid('param')),
    )
    .get('/computer/:id', withParameters(param(ById)), async (c) => {
      const { id } = c.req.valid('param')
      const fields = askedFields(c, computers)
      return sendRow(c, 'computer', id, found(await readComputer(id), 'computer', id), fields)
    })
    .post('/computer', body(NewComputer), async (c) => {
      mayCreate(c)
      return created(c, 'computer', await createComputer(sql, c.req.valid('json')))
    })
    .post('/computer/:id', param(ById), body(ComputerPatch), async (c) => {
      const { id } = c.req.valid('param')
      const patch = sameId(c.req.valid('json'), id, ['id', 'computer_id'])
      const when = condition(c)
      const stored = await upsertOrAgain(() => upsertComputer(sql, id, patch, when))
      if (!stored) throw unmet(c, 'computer', id)
      return sendStored(c, stored)
    })
    .delete('/computer/:id', param(ById), async (c) => {
      const { id } = c.req.valid('param')
      if (!(await deleteComputer(sql, id, condition(c)))) throw await unmetOrMissing(c, 'computer', id, readComputer)
      return deleted(c, 'Computer', id)
    })
}
