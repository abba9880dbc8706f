import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import fc from 'fast-check'

// Asks a server whatever its description allows, and much that it doesn't, and compares each answer with the description. It
// knows nothing of the routes but the document.

type Schema = {
  $ref?: string
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  anyOf?: Schema[]
  oneOf?: Schema[]
  allOf?: Schema[]
  properties?: Record<string, Schema>
  required?: string[]
  items?: Schema
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  maxItems?: number
}

type Parameter = { $ref?: string; name: string; in: 'path' | 'query' | 'header'; required?: boolean; schema: Schema }
type Header = { $ref?: string; required?: boolean }
type Response = { $ref?: string; headers?: Record<string, Header>; content?: Record<string, { schema?: Schema }> }
type Operation = {
  parameters?: Parameter[]
  requestBody?: { $ref?: string; content: Record<string, { schema: Schema }> }
  responses: Record<string, Response>
}

export type Document = { paths: Record<string, Record<string, Operation> & { parameters?: Parameter[] }> }

export type Request = { method: string; path: string; headers: Record<string, string>; body?: string }
type Answer = { status: number; headers: Headers; text: string }
export type Send = (request: Request) => Promise<Answer>

const methods = ['get', 'post', 'put', 'patch', 'delete']

/**
 * Checks each operation with so many requests. Throws with the seed and the smallest request that is answered otherwise than
 * described. Returns how many answers there were of each status.
 */
export async function fuzz(
  document: Document,
  send: Send,
  { runs, seed }: { runs: number; seed: number },
): Promise<Map<number, number>> {
  const ajv = addFormats.default(new Ajv2020({ strict: false, validateFormats: true }))
  ajv.addSchema(document, 'openapi')
  const statuses = new Map<number, number>()

  for (const [path, item] of Object.entries(document.paths)) {
    for (const method of methods.filter((each) => item[each])) {
      const operation = item[method] as Operation
      const property = fc.asyncProperty(requests(document, path, method, item), async (request) => {
        const answer = await send(request)
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1)
        const fault = judge(document, ajv, ['paths', path, method, 'responses'], operation, answer)
        if (fault) throw new Error(`${fault}\nanswer: ${answer.text.slice(0, 500)}`)
      })
      await fc.assert(property, { seed, numRuns: runs }).catch((error) => {
        throw new Error(`${method.toUpperCase()} ${path}: ${error.message}`, { cause: error })
      })
    }
  }
  return statuses
}

/** What is wrong with an answer, if anything is. */
function judge(document: Document, ajv: Ajv2020, pointer: string[], operation: Operation, answer: Answer) {
  const { status, headers, text } = answer
  if (status >= 500) return `status ${status}`
  const described = operation.responses[status]
  if (!described) return `status ${status} is not described`
  const [response, at] = resolve(document, described, [...pointer, String(status)])
  for (const [name, header] of Object.entries(response.headers ?? {})) {
    if (resolve(document, header, [])[0].required && !headers.has(name)) return `${status} has no header ${name}`
  }
  const type = headers.get('content-type')?.split(';')[0] ?? ''
  if (!response.content) return text === '' ? undefined : `${status} has a body, and none is described`
  const content = response.content[type]
  if (!content) return `${status} is ${type || 'of no type'}, which is not described`
  if (!/json$/.test(type) || type.includes('ndjson')) return undefined
  const uri = `openapi#/${[...at, 'content', type, 'schema'].map(escapePointer).join('/')}`
  const validate = ajv.getSchema(uri) ?? ajv.compile({ $ref: uri })
  if (validate(JSON.parse(text))) return undefined
  return `the body of ${status} is not as described: ${ajv.errorsText(validate.errors)}`
}

const escapePointer = (part: string) => encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))

/** What a reference refers to, and where that is in the document. */
function resolve<Thing extends { $ref?: string }>(document: Document, thing: Thing, at: string[]): [Thing, string[]] {
  if (!thing.$ref) return [thing, at]
  const path = thing.$ref
    .slice(2)
    .split('/')
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
  const found = path.reduce((value: unknown, part) => (value as Record<string, unknown>)[part], document)
  return resolve(document, found as Thing, path)
}

// Requests

const junk = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 30 }),
  fc.constantFrom(
    '',
    '0',
    '-1',
    '01',
    '1.5',
    '1e3',
    '0x10',
    '2147483648',
    '99999999999999999999',
    'null',
    'true',
    '%',
    '%00',
    '../..',
  ),
  fc.constantFrom(
    "'; drop table site; --",
    '\u0000',
    '\ud800',
    '\r\nSet-Cookie: a=b',
    '\u202e',
    '🧪'.repeat(50),
    '__proto__',
  ),
)

function requests(
  document: Document,
  path: string,
  method: string,
  item: Document['paths'][string],
): fc.Arbitrary<Request> {
  const operation = item[method] as Operation
  const parameters = [...(item.parameters ?? []), ...(operation.parameters ?? [])].map(
    (parameter) => resolve(document, parameter, [])[0],
  )
  const value = ({ schema }: Parameter) =>
    fc.oneof({ weight: 9, arbitrary: fitting(document, schema).map(String) }, { weight: 1, arbitrary: junk })
  const named = (where: Parameter['in']) => parameters.filter((each) => each.in === where)
  const some = (where: Parameter['in']) =>
    fc
      .subarray(named(where), { maxLength: Math.min(3, named(where).length) })
      .chain((chosen) => fc.tuple(...chosen.map((each) => value(each).map((text) => [each.name, text] as const))))

  // Few ids, so that rows are met that are there.
  const inPath = fc.tuple(
    ...named('path').map((each) =>
      fc
        .oneof(
          { weight: 7, arbitrary: fc.integer({ min: 1, max: 9 }).map(String) },
          { weight: 3, arbitrary: value(each) },
        )
        .map((text) => [each.name, text] as const),
    ),
  )
  const inQuery = fc.tuple(
    some('query'),
    fc.oneof({ weight: 9, arbitrary: fc.constant([]) }, fc.array(fc.tuple(junk, junk), { maxLength: 1 })),
  )
  const { requestBody } = operation
  const types = Object.entries(requestBody ? resolve(document, requestBody, [])[0].content : {})
  const body: fc.Arbitrary<[string, string] | undefined> =
    types.length === 0
      ? fc.constant(undefined)
      : fc.oneof(
          { weight: 8, arbitrary: fc.oneof(...types.map(([type, { schema }]) => bodyOf(document, type, schema))) },
          { weight: 1, arbitrary: fc.tuple(fc.constantFrom('application/json', 'text/plain', ''), junk) },
          { weight: 1, arbitrary: fc.tuple(fc.constant('application/json'), fc.json()) },
        )

  return fc.tuple(inPath, inQuery, some('header'), body).map(([place, [query, more], headers, sent]) => {
    const filled = place.reduce((text, [name, each]) => text.replace(`{${name}}`, encode(each)), path)
    const pairs = [...query, ...more].map(([name, each]) => `${encode(name)}=${encode(each)}`).join('&')
    return {
      method: method.toUpperCase(),
      path: pairs ? `${filled}?${pairs}` : filled,
      headers: {
        ...Object.fromEntries(headers.map(([name, each]) => [name, each.replaceAll(/[^\x20-\x7e]/g, '').trim()])),
        ...(sent?.[0] && { 'Content-Type': sent[0] }),
      },
      ...(sent && { body: sent[1] }),
    }
  })
}

// A part of a path that is empty, or a dot or two, makes another path.
const encode = (text: string) => encodeURIComponent(text.toWellFormed()).replace(/^\.{1,2}$/, '%2E') || '%20'

/** A body that fits the schema, or that did before something was changed. */
function bodyOf(document: Document, type: string, schema: Schema): fc.Arbitrary<[string, string]> {
  const fields = fitting(document, schema) as fc.Arbitrary<Record<string, unknown>>
  const changed = fc
    .tuple(fields, fc.oneof(fc.constantFrom('id', 'name', 'site_id'), junk), fc.oneof(junk, fc.jsonValue()))
    .map(([body, name, value]) => ({ ...body, [name]: value }))
  const written = (body: Record<string, unknown>): [string, string] => [
    type,
    type === 'application/json'
      ? JSON.stringify(body)
      : Object.entries(body)
          .map(
            ([name, value]) =>
              `${encode(name)}=${value === null ? '' : encode(typeof value === 'object' ? JSON.stringify(value) : String(value))}`,
          )
          .join('&'),
  ]
  return fc.oneof({ weight: 3, arbitrary: fields }, changed).map(written)
}

function fitting(document: Document, given: Schema): fc.Arbitrary<unknown> {
  const [schema] = resolve(document, given, [])
  const options = schema.anyOf ?? schema.oneOf
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (options) return fc.oneof(...options.map((each) => fitting(document, each)))
  if (schema.allOf) {
    const parts = fc.tuple(...schema.allOf.map((each) => fitting(document, each)))
    return parts.map((values) => Object.assign({}, ...values))
  }
  const types = [schema.type ?? 'string'].flat()
  return fc.oneof(...types.map((type) => fittingType(document, schema, type)))
}

function fittingType(document: Document, schema: Schema, type: string): fc.Arbitrary<unknown> {
  const { minimum: min = 0, maximum: max = 2 ** 31, minLength = 0, maxLength = 50 } = schema
  switch (type) {
    case 'null':
      return fc.constant(null)
    case 'boolean':
      return fc.boolean()
    case 'integer':
    case 'number':
      return fc.oneof(fc.integer({ min, max: Math.min(max, min + 10) }), fc.integer({ min, max }))
    case 'array':
      return fc.array(fitting(document, schema.items ?? {}), { maxLength: Math.min(3, schema.maxItems ?? 3) })
    case 'object': {
      const all = Object.entries(schema.properties ?? {})
      const record = Object.fromEntries(all.map(([name, each]) => [name, fitting(document, each)]))
      return fc.record(record, { requiredKeys: schema.required ?? [] })
    }
    default:
      if (schema.pattern) return matching(new RegExp(schema.pattern, 'u'))
      return fc.string({ unit: 'grapheme', minLength, maxLength: Math.min(maxLength, minLength + 50) })
  }
}

/** Text that matches, made to; or, where that can't be made, found. */
function matching(pattern: RegExp): fc.Arbitrary<string> {
  try {
    return fc.stringMatching(pattern)
  } catch {
    return fc.string({ unit: 'grapheme', minLength: 1, maxLength: 50 }).filter((text) => pattern.test(text))
  }
}
