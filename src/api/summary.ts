import { Hono } from 'hono'
import { batched } from '../database/batch.ts'
import type { Pool } from '../database/connect.ts'
import { readSummary } from '../database/summary.ts'
import type { Env } from './env.ts'

export const summaryRoutes = (sql: Pool) => {
  // Counting all there is takes a while in a large inventory, so those who ask for it at once share it.
  const readShared = batched(async () => [await readSummary(sql)], sql.limits, { atOnce: 1 })

  return new Hono<Env>().get('/summary', async (c) => c.json(await readShared('all')))
}
