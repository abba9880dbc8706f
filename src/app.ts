import { type Context, Hono } from 'hono'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { matchedRoutes, routePath } from 'hono/route'
import type { Logger } from 'pino'
import { computerRoutes } from './api/computer.ts'
import { containerRoutes } from './api/container.ts'
import type { Env } from './api/env.ts'
import { freezerRoutes } from './api/freezer.ts'
import { instrumentRoutes } from './api/instrument.ts'
import { siteRoutes } from './api/site.ts'
import { summaryRoutes } from './api/summary.ts'
import type { Sql } from './database/connect.ts'
import { fieldProblem, Problem, toProblem } from './errors.ts'

/**
 * All routes, and what holds for each of them. Nothing is opened or listened on here: tests call `app.request()`.
 * `longSql` is a small pool by itself for all pages of a list after its first: however many lists are being streamed, the
 * connections of `sql` stay free for requests that are answered at once.
 */
export function createApp({ sql, longSql = sql, log }: { sql: Sql; longSql?: Sql; log: Logger }) {
  const app = new Hono<Env>({ strict: false })

  // One function for all requests, because each one more is a promise or two more for every request.
  app.use(async (c, next) => {
    const start = performance.now()
    c.set('log', log)
    nameRequest(c)
    if (c.req.url.includes('?')) refuseUnknownParameters(c)
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
          `There is nothing at ${c.req.path}. There are /sites, /freezers, /computers, /containers, /instruments and /summary.`,
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

  return app
    .route('/', siteRoutes(sql, longSql))
    .route('/', freezerRoutes(sql, longSql))
    .route('/', computerRoutes(sql, longSql))
    .route('/', containerRoutes(sql, longSql))
    .route('/', instrumentRoutes(sql, longSql))
    .route('/', summaryRoutes(sql))
}

/** The client's own id for the request, if it is a sane one, or a new one; the answer has it too. */
function nameRequest(c: Context<Env>) {
  const sent = c.req.header('x-request-id')
  const requestId = sent && /^[\w\-=]{1,255}$/.test(sent) ? sent : crypto.randomUUID()
  c.set('requestId', requestId)
  // Straight to Node where there is one: a header that Hono has to add makes a Headers object of those of the answer.
  if (c.env?.outgoing) c.env.outgoing.setHeader('X-Request-Id', requestId)
  else c.header('X-Request-Id', requestId)
}

/** A parameter that was ignored, a filter say, would give an answer that looks right and is not. */
function refuseUnknownParameters(c: Context) {
  const isRoute = matchedRoutes(c).some(({ method }) => method !== 'ALL')
  const unknown = Object.keys(isRoute ? c.req.query() : {}).map((field) => ({
    field,
    message: 'is not a parameter here',
  }))
  if (unknown.length > 0) throw fieldProblem('invalid', unknown)
}

function answerProblem(c: Context, problem: Problem, headers: Record<string, string> = {}) {
  return c.body(JSON.stringify(problem), problem.status, { ...headers, 'Content-Type': 'application/problem+json' })
}
