import type { Context, MiddlewareHandler } from 'hono'
import { bodyLimit } from 'hono/body-limit'
import type * as v from 'valibot'
import { Problem } from '../errors.ts'
import { validated } from './validated.ts'

// https://tc39.es/proposal-json-parse-with-source/, which Node has and TypeScript's library doesn't yet.
declare global {
  interface JSON {
    parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown
  }
}

/** Requests of more bytes than this are refused. */
const maxBodyBytes = 1024 * 1024

const maxDepth = 64

const wanted = 'The body must be a JSON object, such as {"name": "Site 9"}.'

/** Reads and checks the body of a request; `c.req.valid('json')` has it, whether it came as JSON or as a form. */
export function body<Schema extends v.GenericSchema>(
  schema: Schema,
): MiddlewareHandler<object, string, { in: { json: v.InferInput<Schema> }; out: { json: v.InferOutput<Schema> } }> {
  return async (c, next) => {
    const value = await readBody(c)
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new Problem('invalid', wanted)
    c.req.addValidatedData('json', validated(schema, value) as object)
    await next()
  }
}

async function readBody(c: Context): Promise<unknown> {
  const [type, ...parameters] = (c.req.header('content-type') ?? '').split(';').map((part) => part.trim().toLowerCase())
  const read =
    type === 'application/json' ? fromJson : type === 'application/x-www-form-urlencoded' ? fromForm : undefined
  if (!read) {
    throw new Problem(
      'unsupported',
      'Send the fields as application/json or application/x-www-form-urlencoded, and say so in Content-Type.',
    )
  }
  if ((c.req.header('content-encoding') ?? 'identity') !== 'identity') {
    throw new Problem('unsupported', 'Send the body as it is, without Content-Encoding.')
  }
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))?.slice('charset='.length)
  if (charset && !/^"?utf-?8"?$/.test(charset)) throw new Problem('invalid', 'The body must be UTF-8.')
  return read(decode(await readBytes(c)))
}

const tooLarge = () => {
  throw new Problem('too_large', `The body must have at most ${maxBodyBytes} bytes.`)
}
const limit = bodyLimit({ maxSize: maxBodyBytes, onError: tooLarge })

// The limit counts the bytes as they come, and for that Hono's adapter makes a whole Request, which is half of the work of a
// small one. So only a body that doesn't say how long it is goes through it.
async function readBytes(c: Context): Promise<ArrayBuffer> {
  const length = c.req.header('content-length')
  if (length === undefined || c.req.header('transfer-encoding') !== undefined) await limit(c, async () => {})
  else if (Number(length) > maxBodyBytes) tooLarge()
  return await c.req.arrayBuffer()
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

function decode(bytes: ArrayBuffer): string {
  try {
    return utf8.decode(bytes)
  } catch {
    throw new Problem('invalid', 'The body must be UTF-8.')
  }
}

// Numbers are kept as they are written: as a double, 12345678901234567890 or 1.10 would come back altered.
function fromJson(text: string): unknown {
  if (depth(text) > maxDepth) throw new Problem('invalid', `The JSON must not nest deeper than ${maxDepth}.`)
  const value = parsed(() => JSON.parse(text))
  const repeated = repeatedName(text, value)
  if (repeated !== undefined) throw givenTwice('JSON', repeated)
  // Most have none, and this takes three times as long.
  if (!Object.values(value ?? {}).some((field) => typeof field === 'number')) return value
  return parsed(() => JSON.parse(text, (_key, value, context) => (typeof value === 'number' ? context.source : value)))
}

function parsed(parse: () => unknown): unknown {
  try {
    return parse()
  } catch {
    throw new Problem('invalid', wanted)
  }
}

function depth(json: string): number {
  // Most bodies have few brackets, and so no need to tell those in strings from the others.
  if ((json.match(/[[{]/g)?.length ?? 0) <= maxDepth) return 0
  let deepest = 0
  let open = 0
  for (const [token] of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"?|[[\]{}]/gs)) {
    if (token === '[' || token === '{') deepest = Math.max(deepest, ++open)
    else if (token === ']' || token === '}') open--
  }
  return deepest
}

/**
 * A name that an object in this JSON has twice. JSON.parse takes the last, other parsers the first (RFC 8259, section 4): whatever
 * stands between the client and this server may have read, and checked, the other one.
 */
function repeatedName(json: string, value: unknown): string | undefined {
  // Of objects without objects, this is all that there is to do, unless text has colons too.
  if (json.split(':').length - 1 === Object.keys(value ?? {}).length) return undefined
  const open: Set<string>[] = []
  let text = ''
  for (const [token] of json.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"?|[{}:]/gs)) {
    if (token === '{') open.push(new Set())
    else if (token === '}') open.pop()
    else if (token !== ':') text = token
    else {
      // Between two quotation marks the same name can be written in many ways.
      const name: string = JSON.parse(text)
      const names = open.at(-1)
      if (names?.has(name)) return name
      names?.add(name)
    }
  }
  return undefined
}

const givenTwice = (what: string, field: string) =>
  new Problem('invalid', `The ${what} gives ${field} twice.`, [{ field, message: 'is given twice' }])

function fromForm(text: string): Record<string, string | null> {
  const pairs = formPairs(text)
  const names = new Set<string>()
  for (const [name] of pairs) {
    if (names.has(name)) throw givenTwice('form', name)
    names.add(name)
  }
  return Object.fromEntries(pairs.map(([name, value]) => [name, value || null]))
}

/**
 * The names and values of a form, or of the query of a URI, as https://url.spec.whatwg.org/#urlencoded-parsing has it, but
 * for bytes that are not UTF-8: there they would become U+FFFD, here they are a Problem.
 */
export function formPairs(text: string): [name: string, value: string][] {
  return text
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [name = '', ...value] = pair.split('=').map(fromPercent)
      return [name, value.join('=')]
    })
}

function fromPercent(text: string): string {
  try {
    // A percent sign that begins no escape stands for itself.
    return decodeURIComponent(text.replaceAll('+', ' ').replace(/%(?![\da-f]{2})/gi, '%25'))
  } catch {
    throw new Problem('invalid', 'What is written with % must be UTF-8.')
  }
}
