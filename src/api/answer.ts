import type { Context } from 'hono'
import type { Stored } from '../database/version.ts'
import { fieldProblem, isOfOwnConstraint, Problem } from '../errors.ts'
import type { Env } from './env.ts'

/** The row, or a Problem when there is none. */
export function found<Row>(row: Row | null | undefined, what: string, id: number): Row {
  if (row === null || row === undefined) throw missing(what, id)
  return row
}

/** Sets a header of the answer: straight on Node's where there is one, because Hono would make a Headers object of all of them. */
export function setHeader(c: Context, name: string, value: string) {
  const { outgoing } = (c.env ?? {}) as Env['Bindings']
  if (outgoing) outgoing.setHeader(name, value)
  else c.header(name, value)
}

/** Answers with JSON that Postgres has made. */
export function sendJson(c: Context, json: string) {
  return c.body(json, 200, { 'Content-Type': 'application/json' })
}

/** Answers with a row and its ETag, a strong one (RFC 9110, section 8.8.3); with 304, only the ETag. */
export function sendStored(c: Context, { version, json }: Stored, status: 200 | 304 = 200) {
  setHeader(c, 'ETag', `"${version}"`)
  return status === 304 ? c.body(null, 304) : sendJson(c, json)
}

export function missing(what: string, id: number): Problem {
  return new Problem('missing', `There is no ${what} ${id}.`)
}

/** Refuses a body that names another id than the path; it may name it as `id` or, say, as `site_id`. */
export function sameId<Body extends object>(body: Body, id: number, names: (keyof Body & string)[]): Body {
  const errors = names
    .filter((name) => body[name] !== undefined && body[name] !== id)
    .map((field) => ({ field, message: `is not ${id}, the id in the path; leave it out` }))
  if (errors.length > 0) throw fieldProblem('invalid', errors)
  return body
}

/** How often a row that is to be deleted may get something at just that moment; each time, the next try counts that. */
const deletesAgain = 3

/**
 * Runs a statement that deletes, and again if something was put there while it ran (SQLSTATE 23503): the next one sees that
 * and counts it. What refers to the row from a table that an admin has added is counted by none: that is a Problem at once.
 */
export async function deleteOrCount<Result>(statement: () => Promise<Result>): Promise<Result> {
  for (let again = 0; ; again++) {
    try {
      return await statement()
    } catch (error) {
      // foreign_key_violation; restrict_violation, which is what Postgres 18 says where a key has "on delete restrict"
      if (!/^(23503|23001)$/.test(String((error as { code?: unknown }).code))) throw error
      if (isOfOwnConstraint(error) && again < deletesAgain) continue
      throw new Problem('conflict', 'Something else still refers to it.', [], { cause: error })
    }
  }
}

/**
 * Runs an upsert, and once more if a key is taken (SQLSTATE 23505): "on conflict (id)" is of no help when another request is
 * creating the same row at that moment, and Postgres comes upon its MAC address or UUID before its id. The second time the
 * row is there. A key that another row has is refused again.
 */
export async function upsertOrAgain<Result>(statement: () => Promise<Result>): Promise<Result> {
  try {
    return await statement()
  } catch (error) {
    if ((error as { code?: unknown }).code !== '23505') throw error
    return await statement()
  }
}

/** Refuses to delete what still has something: `site 1 still has 2 freezers and 1 computer`. */
export function mustBeEmpty(what: string, id: number, held: Record<string, number>): void {
  const rest = Object.entries(held)
    .filter(([, count]) => count > 0)
    .map(([things, count]) => `${count} ${count === 1 ? things.slice(0, -1) : things}`)
  if (rest.length > 0) throw new Problem('conflict', `${what} ${id} still has ${rest.join(' and ')}`)
}

export function created(c: Context, what: string, { id, version, json }: Stored & { id: number }) {
  setHeader(c, 'ETag', `"${version}"`)
  return c.body(json, 201, { 'Content-Type': 'application/json', Location: `/${what}/${id}` })
}

export function deleted(c: Context, what: string, id: number) {
  return c.json({ message: `${what} deleted: ${id}` })
}
