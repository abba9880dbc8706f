import { mkdirSync, writeFileSync } from 'node:fs'
import { describe } from '../src/api/description.ts'

// Writes .data/client_types.ts: what the description says, as the types that openapi-fetch takes. `npm run typecheck` does so
// before it checks, so that a client that no longer fits the server doesn't compile.

/** What the description has of JSON Schema; `typeOf` must know all of it. */
type Schema = {
  $ref?: string
  type?: string | string[]
  const?: unknown
  enum?: unknown[]
  anyOf?: Schema[]
  items?: Schema
  properties?: Record<string, Schema>
  required?: string[]
}
type Content = Record<string, { schema?: Schema }>
type Parameter = { name: string; in: string; required?: boolean; schema: Schema; description: string }
type Answer = { headers?: Record<string, unknown>; content?: Content }
type Operation = {
  summary: string
  parameters?: (Parameter | { $ref: string })[]
  requestBody?: { content: Content }
  responses: Record<string, Answer | { $ref: string }>
}

const document = describe() as unknown as {
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, Schema>
    parameters: Record<string, Parameter>
    responses: Record<string, Answer>
  }
}
const { paths, components } = document

const quoted = (name: string) => JSON.stringify(name)
const nameOf = (ref: string) => ref.replace(/.*\//, '')
const object = (lines: string[]) => `{ ${lines.join('; ')} }`

function typeOf({ $ref, type, const: only, enum: some, anyOf, items, properties, required = [] }: Schema): string {
  if ($ref) return `schemas[${quoted(nameOf($ref))}]`
  if (only !== undefined) return JSON.stringify(only)
  if (some) return some.map((value) => JSON.stringify(value)).join(' | ')
  if (anyOf) return anyOf.map(typeOf).join(' | ')
  if (items) return `(${typeOf(items)})[]`
  if (properties) {
    const fields = Object.entries(properties)
    return object(fields.map(([name, each]) => `${quoted(name)}${required.includes(name) ? '' : '?'}: ${typeOf(each)}`))
  }
  const names = { integer: 'number', object: 'Record<string, unknown>' } as Record<string, string>
  return [type ?? 'unknown']
    .flat()
    .map((name) => names[name] ?? name)
    .join(' | ')
}

const contentOf = (content: Content = {}) =>
  object(Object.entries(content).map(([type, { schema = {} }]) => `${quoted(type)}: ${typeOf(schema)}`))

function parametersOf(operation: Operation): string {
  const all = (operation.parameters ?? []).map((each) => {
    return '$ref' in each ? (components.parameters[nameOf(each.$ref)] as Parameter) : each
  })
  const places = ['query', 'header', 'path'].map((place) => {
    const here = all.filter((parameter) => parameter.in === place)
    if (here.length === 0) return `${place}?: never`
    const fields = here.map(({ name, required, schema, description }) => {
      return `/** ${description} */ ${quoted(name)}${required ? '' : '?'}: ${typeOf(schema)}`
    })
    return `${place}${here.some(({ required }) => required) ? '' : '?'}: ${object(fields)}`
  })
  return object([...places, 'cookie?: never'])
}

function operationOf(operation: Operation): string {
  const { requestBody, responses } = operation
  const answers = Object.entries(responses).map(([status, each]) => {
    const answer = '$ref' in each ? (components.responses[nameOf(each.$ref)] as Answer) : each
    const content = answer.content ? `content: ${contentOf(answer.content)}` : 'content?: never'
    return `${status}: { headers: Record<string, unknown>; ${content} }`
  })
  return object([
    `parameters: ${parametersOf(operation)}`,
    requestBody ? `requestBody: { content: ${contentOf(requestBody.content)} }` : 'requestBody?: never',
    `responses: ${object(answers)}`,
  ])
}

const methods = ['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace']
const lines = [
  '// Made by test/client_types.ts from what /openapi.json says.',
  'export type schemas = {',
  ...Object.entries(components.schemas).map(([name, schema]) => `  ${name}: ${typeOf(schema)}`),
  '}',
  'export type paths = {',
  ...Object.entries(paths).flatMap(([path, operations]) => [
    `  ${quoted(path)}: {`,
    ...methods.flatMap((method) => {
      const operation = operations[method]
      return operation
        ? [`    /** ${operation.summary} */`, `    ${method}: ${operationOf(operation)}`]
        : [`    ${method}?: never`]
    }),
    '  }',
  ]),
  '}',
]

const folder = new URL('../.data/', import.meta.url)
mkdirSync(folder, { recursive: true })
writeFileSync(new URL('client_types.ts', folder), `${lines.join('\n')}\n`)
