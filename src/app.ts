import { type Context, Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { routePath } from 'hono/route'
import type { Logger } from 'pino'
import { setHeader } from './api/answer.ts'
import { computerRoutes } from './api/computer.ts'
import { containerRoutes } from './api/container.ts'
import { refuseOtherOrigins } from './api/cross_origin.ts'
import type { Env } from './api/env.ts'
import { freezerRoutes } from './api/freezer.ts'
import { instrumentRoutes } from './api/instrument.ts'
import { openapiRoutes } from './api/openapi.ts'
import { type Operations, operationRoutes } from './api/operations.ts'
import { searchRoutes } from './api/search.ts'
import { siteRoutes } from './api/site.ts'
import { summaryRoutes } from './api/summary.ts'
import { refuseParameters } from './api/validated.ts'
import { withClock } from './database/clock.ts'
import type { Pool } from './database/connect.ts'
import { readPostgresVersion } from './database/server.ts'
import { Unavailable } from './database/unavailable.ts'
import { Problem, toProblem } from './errors.ts'
import { createMetrics, type Metrics } from './metrics.ts'

/** How long nothing more is said about requests that fail for the same reason, which passes. */
const warningPauseMs = 10_000

/**
 * All routes, and what holds for each of them. Nothing is opened or listened on here: tests call `app.request()`.
 * `longSql` is a small pool by itself for all pages of a list after its first: however many lists are being streamed, the
 * connections of `sql` stay free for requests that are answered at once. `askedSql` is one for lists that are filtered, sorted and
 * the like, of which some take long.
 */
export function createApp({
  sql,
  longSql = sql,
  askedSql = longSql,
  log,
  metrics = createMetrics(),
  operations = alone(sql, metrics),
  serverTiming = false,
}: {
  sql: Pool
  longSql?: Pool
  askedSql?: Pool
  log: Logger
  metrics?: Metrics
  operations?: Operations
  /** Whether answers have the header Server-Timing. */
  serverTiming?: boolean
}) {
  const app = new Hono<Env>({ strict: false })

  // One function for all requests, because each one more is a promise or two more for every request.
  app.use(async (c, next) => {
    const start = performance.now()
    c.set('log', log)
    nameRequest(c)
    const clock = { waits: 0, since: 0, totalMs: 0 }
    const refused = refusal(c)
    if (refused) c.res = answerError(refused, c)
    else await (serverTiming ? withClock(clock, next) : next())
    const durationMs = performance.now() - start
    const { method } = c.req
    const route = routePath(c, -1)
    const { status } = c.res
    if (serverTiming) {
      setHeader(c, 'Server-Timing', `total;dur=${durationMs.toFixed(1)}, db;dur=${clock.totalMs.toFixed(1)}`)
    }
    metrics.countAnswer(method, route, status, durationMs)
    if (!log.isLevelEnabled('info')) return
    log.info({
      requestId: c.get('requestId'),
      method,
      route,
      status,
      durationMs: Math.round(durationMs * 10) / 10,
    })
  })

  const warned = new Map<string, number>()

  /** Once in a while for each reason: while the disk is full, say, thousands of lines would tell nothing more. */
  function warn(error: Error & { code?: unknown }, requestId: string) {
    const reason = error instanceof Unavailable ? error.reason : String(error.code)
    const last = warned.get(reason)
    if (last !== undefined && performance.now() - last < warningPauseMs) return
    warned.set(reason, performance.now())
    log.warn(
      { requestId, err: error },
      `requests are answered with 503, which is said again after ${warningPauseMs / 1_000} s at the earliest`,
    )
  }

  const otherMethods = methodNotAllowed({
    app,
    onMethodNotAllowed(c, methods) {
      const allow = { Allow: [...methods, 'OPTIONS'].join(', ') }
      if (c.req.method === 'OPTIONS') return c.body(null, 204, allow)
      const problem = new Problem('not_allowed', `${c.req.method} can't be done here; ${allow.Allow} can.`)
      return answerProblem(c, problem, allow)
    },
  })

  app.notFound(async (c) => {
    await otherMethods(c, async () => {
      c.res = answerProblem(
        c,
        new Problem(
          'missing',
          `There is nothing at ${c.req.path}. There are /sites, /freezers, /computers, /containers, /instruments, /summary and /search.`,
        ),
      )
    })
    return c.res
  })

  app.onError(answerError)

  function answerError(error: Error, c: Context<Env>) {
    const problem = toProblem(error)
    if (problem.status === 500) log.error({ requestId: c.get('requestId'), err: error }, problem.message)
    if (problem.status === 503) warn(error, c.get('requestId'))
    return answerProblem(c, problem, problem.status === 503 ? { 'Retry-After': '1' } : {})
  }

  const pools = { sql, longSql, askedSql }
  return app
    .route('/', siteRoutes(pools))
    .route('/', freezerRoutes(pools))
    .route('/', computerRoutes(pools))
    .route('/', containerRoutes(pools))
    .route('/', instrumentRoutes(pools))
    .route('/', summaryRoutes(sql))
    .route('/', searchRoutes(sql))
    .route('/', openapiRoutes())
    .route('/', operationRoutes(sql, operations))
}

/** What is told of a server that has no more to it than an app. */
function alone(sql: Pool, metrics: Metrics): Operations {
  return {
    probe: () => readPostgresVersion(sql),
    isDraining: () => false,
    figures: async () => ({ report: await metrics.report(), workers: 1, uptimeSeconds: process.uptime() }),
  }
}

/** Why a request gets no further than here. Not thrown: it is to have its line in the log, and to be counted, as any other. */
function refusal(c: Context<Env>): Error | undefined {
  try {
    if (c.req.method === 'POST' || c.req.method === 'DELETE') refuseOtherOrigins(c)
    if (c.req.url.includes('?')) refuseParameters(c)
  } catch (error) {
    return error as Error
  }
}

/** The client's own id for the request, if it is a sane one, or a new one; the answer has it too. */
function nameRequest(c: Context<Env>) {
  const sent = c.req.header('x-request-id')
  const requestId = sent && /^[\w\-=]{1,255}$/.test(sent) ? sent : crypto.randomUUID()
  c.set('requestId', requestId)
  setHeader(c, 'X-Request-Id', requestId)
}

function answerProblem(c: Context, problem: Problem, headers: Record<string, string> = {}) {
  return c.body(JSON.stringify(problem), problem.status, { ...headers, 'Content-Type': 'application/problem+json' })
}
