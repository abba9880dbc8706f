import type { Context } from 'hono'
import { always, type Condition, type Stored } from '../database/version.ts'
import { fieldProblem, Problem } from '../errors.ts'
import { missing, sendStored } from './answer.ts'

// Conditional requests, RFC 9110, section 13; in its order (13.2.2), If-Match before If-None-Match. There is no Last-Modified,
// and so the headers about dates are ignored (13.1.3, 13.1.4). Lists have no ETag, and look at none of these.

/** `tag` is what is between the quotes: the version, and the fields if not all were asked for, because it is to be another then. */
type Tag = { weak: boolean; tag: string; version: string }
type Tags = '*' | Tag[] | undefined

/**
 * Answers GET of a row, or of these fields of it, with the ETag of the row: 304 when If-None-Match has that (weak comparison, 13.1.2).
 * Throws the Problem 412 when there is an If-Match that has not.
 */
export function sendRow(c: Context, what: string, id: number, stored: Stored, fields?: string[]): Response {
  const wanted = strong(tags(c, 'If-Match'))
  if (wanted && !wanted.includes(stored.version)) throw changed(what, id)
  const shown = fields ? { version: `${stored.version};${fields}`, json: only(stored.json, fields) } : stored
  const known = tags(c, 'If-None-Match')
  const isKnown = known === '*' || (known ?? []).some(({ tag }) => tag === shown.version)
  return sendStored(c, shown, isKnown ? 304 : 200)
}

/** These fields of a row, in this order. */
function only(json: string, fields: string[]): string {
  const row: Record<string, unknown> = JSON.parse(json)
  return JSON.stringify(Object.fromEntries(fields.map((field) => [field, row[field]])))
}

/**
 * What If-Match (strong comparison, 13.1.1) and If-None-Match (13.1.2) ask of the row that is to be written, both of them.
 * Throws the Problem 400 when one can't be read.
 */
export function condition(c: Context): Condition {
  const ifMatch = tags(c, 'If-Match')
  const ifNoneMatch = tags(c, 'If-None-Match')
  if (!ifMatch && !ifNoneMatch) return always
  return {
    mayCreate: !ifMatch,
    oneOf: ifNoneMatch === '*' ? [] : strong(ifMatch),
    noneOf: weak(ifNoneMatch),
  }
}

/**
 * For a POST where the server chooses the id: If-Match can't be true of a row that is not there yet, and If-None-Match can't be
 * false. Throws the Problem 412 or 400.
 */
export function mayCreate(c: Context): void {
  if (!condition(c).mayCreate) {
    throw new Problem('precondition', 'If-Match is about a row that is there. To create one, leave it out.')
  }
}

/** What a write that stored nothing is answered with. */
export function unmet(c: Context, what: string, id: number): Problem {
  if (tags(c, 'If-Match')) return changed(what, id)
  const detail =
    tags(c, 'If-None-Match') === '*'
      ? `There is a ${what} ${id} already, and If-None-Match: * asks for a new one only.`
      : `${what} ${id} still is as If-None-Match says that it must not be.`
  return new Problem('precondition', detail)
}

/** What a DELETE that deleted nothing is answered with; `read` tells whether there is a row. */
export async function unmetOrMissing(c: Context, what: string, id: number, read: (id: number) => Promise<unknown>) {
  const isConditional = tags(c, 'If-Match') || (tags(c, 'If-None-Match') && (await read(id)))
  return isConditional ? unmet(c, what, id) : missing(what, id)
}

function changed(what: string, id: number) {
  return new Problem(
    'precondition',
    `${what} ${id} has changed since, or is gone. GET it again, and use the ETag it has now.`,
  )
}

/** The versions that If-Match names; null: any. */
function strong(tags: Tags): string[] | null {
  return tags === '*' || !tags ? null : tags.filter(({ weak }) => !weak).map(({ version }) => version)
}

/** The versions that If-None-Match names. */
function weak(tags: Tags): string[] {
  return tags === '*' || !tags ? [] : tags.map(({ version }) => version)
}

// Section 8.8.3; a tag may have commas in it. Lists may have empty elements (5.6.1.2).
const tag = '(?:W/)?"[\\x21\\x23-\\x7e\\x80-\\xff]*"'
const list = new RegExp(`^[\\t ,]*${tag}([\\t ]*,[\\t ,]*${tag})*[\\t ,]*$`)

function tags(c: Context, name: 'If-Match' | 'If-None-Match'): Tags {
  const value = c.req.header(name)
  if (value === undefined) return undefined
  if (value === '*') return '*'
  if (!list.test(value)) {
    const example = /^[\w-]{1,100}$/.test(value) ? value : '747'
    const message = `must be * or tags in double quotes, as ETag has them: curl -H '${name}: "${example}"'`
    throw fieldProblem('invalid', [{ field: name, message }])
  }
  return [...value.matchAll(new RegExp(tag, 'g'))].map(([text]) => {
    const tag = text.slice(text.indexOf('"') + 1, -1)
    return { weak: text.startsWith('W/'), tag, version: tag.replace(/;.*/s, '') }
  })
}
