import { type Context, Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { routePath } from 'hono/route'
import type { Logger } from 'pino'
import { setHeader } from './api/answer.ts'
import { computerRoutes } from './api/computer.ts'
import { containerRoutes } from './api/container.ts'
import type { Env } from './api/env.ts'
import { freezerRoutes } from './api/freezer.ts'
import { instrumentRoutes } from './api/instrument.ts'
import { openapiRoutes } from './api/openapi.ts'
import { searchRoutes } from './api/search.ts'
import { siteRoutes } from './api/site.ts'
import { summaryRoutes } from './api/summary.ts'
import { refuseParameters } from './api/validated.ts'
import type { Sql } from './database/connect.ts'
import { Problem, toProblem } from './errors.ts'

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
}: {
  sql: Sql
  longSql?: Sql
  askedSql?: Sql
  log: Logger
}) {
  const app = new Hono<Env>({ strict: false })

  // One function for all requests, because each one more is a promise or two more for every request.
  app.use(async (c, next) => {
    const start = performance.now()
    c.set('log', log)
    nameRequest(c)
    if (c.req.url.includes('?')) refuseParameters(c)
    await next()
    if (!log.isLevelEnabled('info')) return
    log.info({
      requestId: c.get('requestId'),
      method: c.req.method,
      route: routePath(c, -1),
      status: c.res.status,
      durationMs: Math.round((performance.now() - start) * 10) / 10,
    })
  })

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

  app.onError((error, c) => {
    const problem = toProblem(error)
    if (problem.status >= 500) {
      log[problem.status === 500 ? 'error' : 'warn']({ requestId: c.get('requestId'), err: error }, problem.message)
    }
    return answerProblem(c, problem, problem.status === 503 ? { 'Retry-After': '1' } : {})
  })

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
