import type { Context } from 'hono'
import { fieldProblem, Problem } from '../errors.ts'

/** The row, or a Problem when there is none. */
export function found<Row>(row: Row | null | undefined, what: string, id: number): Row {
  if (row === null || row === undefined) throw missing(what, id)
  return row
}

/** Answers with JSON that Postgres has made. */
export function sendJson(c: Context, json: string) {
  return c.body(json, 200, { 'Content-Type': 'application/json' })
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

/**
 * Runs a statement that deletes, and again if something was put there while it ran (SQLSTATE 23503): the next one sees that
 * and counts it.
 */
export async function deleteOrCount<Result>(statement: () => Promise<Result>): Promise<Result> {
  try {
    return await statement()
  } catch (error) {
    if ((error as { code?: unknown }).code !== '23503') throw error
    return await deleteOrCount(statement)
  }
}

/** Refuses to delete what still has something: `site 1 still has 2 freezers and 1 computer`. */
export function mustBeEmpty(what: string, id: number, held: Record<string, number>): void {
  const rest = Object.entries(held)
    .filter(([, count]) => count > 0)
    .map(([things, count]) => `${count} ${count === 1 ? things.slice(0, -1) : things}`)
  if (rest.length > 0) throw new Problem('conflict', `${what} ${id} still has ${rest.join(' and ')}`)
}

export function created<Row extends { id: number }>(c: Context, what: string, row: Row) {
  return c.json(row, 201, { Location: `/${what}/${row.id}` })
}

export function deleted(c: Context, what: string, id: number) {
  return c.json({ message: `${what} deleted: ${id}` })
}
