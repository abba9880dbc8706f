import { type Context, Hono } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import { methodNotAllowed } from 'hono/method-not-allowed'
import { requestId } from 'hono/request-id'
import { matchedRoutes, routePath } from 'hono/route'
import type { Logger } from 'pino'
import { maxBodyBytes } from './api/body.ts'
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

  app.use(requestId(), async (c, next) => {
    const start = performance.now()
    c.set('log', log)
    await next()
    log.info({
      requestId: c.var.requestId,
      method: c.req.method,
      route: routePath(c, -1),
      status: c.res.status,
      durationMs: Math.round((performance.now() - start) * 10) / 10,
    })
  })

  app.use(
    methodNotAllowed({
      app,
      onMethodNotAllowed(c, methods) {
        const allow = { Allow: [...methods, 'OPTIONS'].join(', ') }
        if (c.req.method === 'OPTIONS') return c.body(null, 204, allow)
        const problem = new Problem('not_allowed', `${c.req.method} can't be done here; ${allow.Allow} can.`)
        return answerProblem(c, problem, allow)
      },
    }),
  )

  const tooLarge = () => {
    throw new Problem('too_large', `The body must have at most ${maxBodyBytes} bytes.`)
  }
  const limit = bodyLimit({ maxSize: maxBodyBytes, onError: tooLarge })
  // The limit looks at the body, and then Hono's adapter makes a whole Request, which is half of the work of a small one. So
  // only a body that doesn't say how long it is goes through it.
  app.use(async (c, next) => {
    const length = c.req.header('content-length')
    if (c.req.method !== 'POST') return await next()
    if (length === undefined || c.req.header('transfer-encoding') !== undefined) return await limit(c, next)
    if (Number(length) > maxBodyBytes) tooLarge()
    await next()
  })

  // A parameter that was ignored, a filter say, would give an answer that looks right and is not.
  app.use(async (c, next) => {
    const isRoute = matchedRoutes(c).some(({ method }) => method !== 'ALL')
    const unknown = Object.keys(isRoute ? c.req.query() : {}).map((field) => ({
      field,
      message: 'is not a parameter here',
    }))
    if (unknown.length > 0) throw fieldProblem('invalid', unknown)
    await next()
  })

  app.notFound((c) =>
    answerProblem(
      c,
      new Problem(
        'missing',
        `There is nothing at ${c.req.path}. There are /sites, /freezers, /computers, /containers, /instruments and /summary.`,
      ),
    ),
  )

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

function answerProblem(c: Context, problem: Problem, headers: Record<string, string> = {}) {
  return c.body(JSON.stringify(problem), problem.status, { ...headers, 'Content-Type': 'application/problem+json' })
}
