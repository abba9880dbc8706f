import { Hono } from 'hono'
import type { Sql } from '../database/connect.ts'
import { readSummary } from '../database/summary.ts'
import type { Env } from './env.ts'

export const summaryRoutes = (sql: Sql) => new Hono<Env>().get('/summary', async (c) => c.json(await readSummary(sql)))
