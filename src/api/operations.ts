import { type Context, Hono } from 'hono'
import packageJson from '../../package.json' with { type: 'json' }
import type { Sql } from '../database/connect.ts'
import { readLastMigration, readPostgresVersion } from '../database/server.ts'
import { type FieldError, fieldProblem, Problem } from '../errors.ts'
import type { Figures } from '../gather.ts'
import { writeReport } from '../metrics.ts'
import { setHeader } from './answer.ts'
import type { Env } from './env.ts'

// For those who run the server, and for the programs that watch it.

export type Operations = {
  /** Rejects if the database can't be used; with a Problem, if it says why. */
  probe: () => Promise<unknown>
  isDraining: () => boolean
  /** The figures of all workers. */
  figures: () => Promise<Figures>
}

/** How long an answer may wait for the database. Whoever watches has little patience, and takes no answer for the worst one. */
const patienceMs = 2_000

export const operationRoutes = (sql: Sql, { probe, isDraining, figures }: Operations) => {
  async function unreadiness(): Promise<FieldError | undefined> {
    if (isDraining()) return { field: 'server', message: 'is about to end, and finishes what it has begun' }
    try {
      await within(patienceMs, probe())
      return undefined
    } catch (error) {
      const known = error instanceof Problem ? error.errors[0] : undefined
      return known ?? { field: 'database', message: 'can not be used at the moment; the log says why' }
    }
  }

  return new Hono<Env>()
    .get('/healthz', (c) => fresh(c).json({ status: 'ok' }))
    .get('/readyz', async (c) => {
      const reason = await unreadiness()
      if (reason) throw fieldProblem('unavailable', [reason])
      return fresh(c).json({ status: 'ready' })
    })
    .get('/status', async (c) => {
      const [postgres, migration, { workers, uptimeSeconds }] = await Promise.all([
        orNull(readPostgresVersion(sql)),
        orNull(readLastMigration(sql)),
        figures(),
      ])
      return fresh(c).json({
        name: packageJson.name,
        version: packageJson.version,
        node: process.versions.node,
        uptime_seconds: Math.floor(uptimeSeconds),
        workers,
        postgres,
        last_migration: migration,
      })
    })
    .get('/metrics', async (c) => {
      const { report } = await figures()
      const { text, type } = await writeReport(report)
      return fresh(c).body(text, 200, { 'Content-Type': type })
    })
}

/** An answer that is of this moment only. */
function fresh(c: Context): Context {
  setHeader(c, 'Cache-Control', 'no-store')
  return c
}

const orNull = async <Value>(promise: PromiseLike<Value | undefined>): Promise<Value | null> =>
  within(patienceMs, promise).then(
    (value) => value ?? null,
    () => null,
  )

/** Rejects if the promise takes longer. */
async function within<Value>(ms: number, promise: PromiseLike<Value>): Promise<Value> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`no answer within ${ms} ms`)), ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
