import type { Context, MiddlewareHandler } from 'hono'
import { matchedRoutes } from 'hono/route'
import * as v from 'valibot'
import { type FieldError, fieldProblem } from '../errors.ts'

/** The value as the schema makes it, or a Problem that names every field that does not fit. */
export function validated<Schema extends v.GenericSchema>(schema: Schema, value: unknown): v.InferOutput<Schema> {
  const result = v.safeParse(schema, value, { abortPipeEarly: true })
  if (result.success) return result.output
  throw fieldProblem('invalid', result.issues.map(fieldError))
}

/** Checks the variable parts of a path; `c.req.valid('param')` has them. */
export function param<Schema extends v.GenericSchema>(
  schema: Schema,
): MiddlewareHandler<object, string, { in: { param: v.InferInput<Schema> }; out: { param: v.InferOutput<Schema> } }> {
  return (c, next) => {
    c.req.addValidatedData('param', validated(schema, c.req.param()) as object)
    return next()
  }
}

const takingParameters = new WeakSet<object>()

/** Marks a handler, or a middleware of a route, that reads the query of the URI; elsewhere a URI must not have one. */
export function withParameters<Handler extends object>(handler: Handler): Handler {
  takingParameters.add(handler)
  return handler
}

/** Refuses parameters where none is read: one that was ignored would give an answer that looks right and is not. */
export function refuseParameters(c: Context) {
  const routes = matchedRoutes(c)
  const isRoute = routes.some(({ method }) => method !== 'ALL')
  if (!isRoute || routes.some(({ handler }) => takingParameters.has(handler))) return
  const unknown = Object.keys(c.req.query()).map((field) => ({ field, message: 'is not a parameter here' }))
  if (unknown.length > 0) throw fieldProblem('invalid', unknown)
}

function fieldError(issue: v.BaseIssue<unknown>): FieldError {
  const field = v.getDotPath(issue) ?? ''
  // A strict object has two complaints of its own: about a key that it doesn't know, and about one that isn't there.
  if (issue.type === 'strict_object' && issue.path) {
    if (issue.expected !== 'never') return { field, message: 'is needed' }
    return { field, message: field === 'id' ? 'is chosen in the path: POST /…/{id}' : 'is not a field here' }
  }
  return { field, message: issue.message }
}
