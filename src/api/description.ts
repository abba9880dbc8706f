import packageJson from '../../package.json' with { type: 'json' }
import type { List } from '../database/columns.ts'
import { mostFound, searchTypes } from '../database/search.ts'
import * as example from './description_examples.ts'
import { answers, fieldsGiven, listAnswer, parameters, problems, responses } from './description_parts.ts'
import { about, capital, lists, type Part, ref, schemas } from './description_schemas.ts'
import { types } from './docs.ts'

// What programs are told of the API, as OpenAPI 3.1 (https://spec.openapis.org/oas/v3.1.1.html) has it. All that can be is
// made from what the server itself works with; test/openapi.test.ts compares the rest with what the server answers.

const tags = [
  { name: 'sites', description: 'Places with an address, where freezers and computers stand.' },
  { name: 'freezers', description: 'Instruments that hold containers.' },
  { name: 'computers', description: 'Instruments with a MAC address.' },
  { name: 'containers', description: 'Boxes, racks, plates or tubes in a freezer, each with a UUID.' },
  { name: 'instruments', description: 'Computers and freezers as one.' },
  { name: 'search', description: 'One box for everything: what is where.' },
  { name: 'summary', description: 'How much there is.' },
  { name: 'description', description: 'What you are reading.' },
  {
    name: 'operations',
    description: 'For those who run the server, and what they watch it with. nginx keeps some to itself.',
  },
]

const description = `- A slash at the end of a path never matters. \`HEAD\` works wherever \`GET\` does, and \`OPTIONS\` everywhere (204, with \`Allow\`).
  Any other method that is not listed for a path is answered with 405, and \`Allow\` says what can be done there.
- Bodies are UTF-8, \`application/json\` or \`application/x-www-form-urlencoded\`, of at most 1 MiB. In a form an empty value
  means null. A field that is left out keeps its value; null clears it. Fields and parameters that are not listed are refused.
- Lists are JSON, newline-delimited JSON or CSV, as \`Accept\` or the parameter \`format\` says. A list that can not be finished
  breaks the connection, so that it never looks complete.
- Every error is \`application/problem+json\` (RFC 9457) and says what to change.
- Every answer has an \`X-Request-Id\`: the client's own, if it sent a sane one.`

/** The whole description, as plain data. */
export function describe(): Part {
  return {
    openapi: '3.1.1',
    info: {
      title: packageJson.name,
      version: packageJson.version,
      summary: packageJson.description,
      description,
      license: { name: 'MIT', identifier: packageJson.license },
    },
    servers: [{ url: '/' }],
    security: [],
    tags,
    paths: paths(),
    components: { schemas, parameters, headers: answers, responses },
  }
}

const rows = lists.filter(({ name }) => name !== 'instrument')

/** Lists within: of whom, by which path. */
const within: { parent: string; child: string }[] = [
  { parent: 'site', child: 'freezer' },
  { parent: 'site', child: 'computer' },
  { parent: 'site', child: 'instrument' },
  { parent: 'freezer', child: 'container' },
]

function paths(): Part {
  return {
    ...Object.assign({}, ...lists.map(listPaths)),
    ...Object.assign({}, ...within.map(nestedPaths)),
    ...Object.assign({}, ...rows.map(rowPaths)),
    '/site/{id}/overview': {
      get: operation('sites', 'readSiteOverview', 'A site with all that stands there', {
        parameters: [ref('parameters', 'id')],
        responses: {
          200: json('The site, its freezers and its computers.', 'SiteOverview', example.overview),
          ...gone,
        },
      }),
    },
    '/container/{id}/location': {
      get: operation('containers', 'readContainerLocation', 'The freezer and the site where a container is', {
        parameters: [ref('parameters', 'id')],
        responses: { 200: json('Where it is.', 'ContainerLocation', example.location), ...gone },
      }),
    },
    '/summary': {
      get: operation('summary', 'readSummary', 'How many rows each table has', {
        responses: { 200: json('The counts, of one moment.', 'Summary', example.summary), ...problems(400) },
      }),
    },
    ...searchPaths(),
    ...documentPaths(),
    ...operationPaths(),
  }
}

const gone = problems(400, 404)

/** An operation that asks the database: it may fail in the ways that all do. */
function operation(
  tag: string,
  operationId: string,
  summary: string,
  { parameters = [], responses, ...rest }: Operation,
) {
  return {
    tags: [tag],
    operationId,
    summary,
    parameters: [...parameters, ref('parameters', 'X-Request-Id')],
    ...rest,
    responses: { ...responses, ...problems(500, 503) },
  }
}

type Operation = { parameters?: Part[]; responses: Part; requestBody?: Part; description?: string }

/** An answer of one JSON object. */
function json(description: string, schema: string, value: unknown, headers: string[] = []): Part {
  return {
    description,
    headers: fieldsGiven(...headers),
    content: { 'application/json': { schema: ref('schemas', schema), example: value } },
  }
}

function listPaths(list: List): Part {
  const many = `${list.name}s`
  const shown = example.rows[list.name] ?? []
  return {
    [`/${many}`]: { get: listOperation(list, `list${capital(many)}`, `All ${many}`, [], shown) },
    [`/${many}/{offset}/{limit}`]: {
      get: listOperation(
        list,
        `list${capital(many)}Page`,
        `A page of all ${many}`,
        ['offset', 'pageLimit'],
        shown.slice(0, 2),
      ),
    },
  }
}

function nestedPaths({ parent, child }: { parent: string; child: string }): Part {
  const list = lists.find(({ name }) => name === child) as List
  const many = `${child}s`
  const of = `${capital(many)}Of${capital(parent)}`
  const shown = example.rows[child] ?? []
  return {
    [`/${parent}/{id}/${many}`]: {
      get: listOperation(list, `list${of}`, `The ${many} of a ${parent}`, ['id'], shown),
    },
    [`/${parent}/{id}/${many}/{offset}/{limit}`]: {
      get: listOperation(
        list,
        `list${of}Page`,
        `A page of the ${many} of a ${parent}`,
        ['id', 'offset', 'pageLimit'],
        shown.slice(0, 2),
      ),
    },
  }
}

function listOperation(list: List, operationId: string, summary: string, inPath: string[], shown: Part[]) {
  const isPage = inPath.includes('offset')
  const asked = Object.keys(parameters).filter((name) => name.startsWith(`${list.name}.`))
  const controls = isPage ? ['count', 'format'] : ['limit', 'cursor', 'count', 'format']
  return operation(`${list.name}s`, operationId, summary, {
    parameters: [...inPath, ...controls, ...asked].map((name) => ref('parameters', name)),
    responses: { 200: listAnswer(list, shown), ...(inPath.includes('id') ? gone : problems(400)) },
  })
}

function rowPaths({ name }: List): Part {
  const tag = `${name}s`
  const Row = capital(name)
  const { row, sent, made, patch, patched } = example.written[name as keyof typeof example.written]
  const conditions = [ref('parameters', 'If-Match'), ref('parameters', 'If-None-Match')]
  // A site refers to nothing and nobody else may have its name, so that writing one meets no other row.
  const conflict = name === 'site' ? [] : [409 as const]
  const held = name === 'site' || name === 'freezer' ? [409 as const] : []
  return {
    [`/${name}`]: {
      post: operation(tag, `create${Row}`, `Creates a ${name} under an id that is free`, {
        parameters: conditions,
        requestBody: bodyOf(`New${Row}`, sent),
        responses: {
          201: json(`The ${name}, as it is stored.`, Row, made, ['Location', 'ETag']),
          ...problems(400, 403, ...conflict, 412, 413, 415),
        },
      }),
    },
    [`/${name}/{id}`]: {
      get: operation(tag, `read${Row}`, `One ${name}`, {
        parameters: [
          ...['id', `${name}.fields`, `${name}.X-Fields`].map((parameter) => ref('parameters', parameter)),
          ...conditions,
        ],
        responses: {
          200: json(about(name) ?? '', `${Row}Fields`, row, ['ETag', 'Vary']),
          304: ref('responses', 'Unchanged'),
          ...problems(400, 404, 412),
        },
      }),
      post: operation(tag, `upsert${Row}`, `Creates the ${name} with this id, or updates it`, {
        description: `Fields that are left out keep their value, null clears them. To create one, give what \`POST /${name}\` needs.`,
        parameters: [ref('parameters', 'id'), ...conditions],
        requestBody: bodyOf(`${Row}Patch`, patch),
        responses: {
          200: json(`The ${name}, as it is stored.`, Row, patched, ['ETag']),
          ...problems(400, 403, ...conflict, 412, 413, 415),
        },
      }),
      delete: operation(tag, `delete${Row}`, `Deletes a ${name}`, {
        ...(held.length > 0 ? { description: `Not while it holds something: then 409, with what and how many.` } : {}),
        parameters: [ref('parameters', 'id'), ...conditions],
        responses: {
          200: json('It is deleted.', 'Deleted', { message: `${Row} deleted: ${example.deletedId[name] ?? 1}` }),
          ...problems(400, 403, 404, ...held, 412),
        },
      }),
    },
  }
}

function bodyOf(schema: string, value: Part): Part {
  const content = { schema: ref('schemas', schema), example: value }
  return {
    required: true,
    content: { 'application/json': content, 'application/x-www-form-urlencoded': content },
  }
}

function searchPaths(): Part {
  const answer = json('What was found.', 'SearchAnswer', example.search)
  const asked = [ref('parameters', 'q'), ref('parameters', 'types')]
  const summary = 'Finds sites, freezers, computers and containers'
  return {
    '/search': {
      get: operation('search', 'search', summary, { parameters: asked, responses: { 200: answer, ...problems(400) } }),
      post: operation('search', 'searchByBody', `${summary}, asked in a body`, {
        requestBody: bodyOf('SearchBody', { q: 'plasmid', types: searchTypes, offset: 0, limit: 20 }),
        responses: { 200: answer, ...problems(400, 403, 413, 415) },
      }),
    },
    '/search/{offset}/{limit}': {
      get: operation('search', 'searchPage', `${summary}: a page of them, of at most ${mostFound}`, {
        parameters: [ref('parameters', 'offset'), ref('parameters', 'searchLimit'), ...asked],
        responses: { 200: answer, ...problems(400) },
      }),
    },
  }
}

function documentPaths(): Part {
  const read = (operationId: string, summary: string, content: Part, parameters: Part[] = []) => ({
    get: {
      tags: ['description'],
      operationId,
      summary,
      parameters: [...parameters, ref('parameters', 'If-None-Match'), ref('parameters', 'X-Request-Id')],
      responses: {
        200: { description: 'The file.', headers: fieldsGiven('ETag'), content },
        304: ref('responses', 'Unchanged'),
        ...(parameters.length > 0 ? gone : problems(400)),
        ...problems(500),
      },
    },
  })
  const text = { schema: { type: 'string' } }
  const file = {
    name: 'file',
    in: 'path',
    required: true,
    description: 'The name of the file.',
    schema: { type: 'string', enum: Object.keys(types) },
    example: 'start.js',
  }
  return {
    '/openapi.json': read('readDescription', 'This description', {
      'application/json': { schema: { type: 'object' } },
    }),
    '/docs': read('readDocs', 'This description as a page to read, and to try requests on', { 'text/html': text }),
    '/docs/{file}': read(
      'readDocsFile',
      'What that page is made of',
      // A picture has no schema: in OpenAPI 3.1 that is what bytes are.
      Object.fromEntries(
        Object.values(types).map((type) => [type.replace(/;.*/, ''), type.startsWith('text/') ? text : {}]),
      ),
      [file],
    ),
  }
}

function operationPaths(): Part {
  const read = (operationId: string, summary: string, content: Part, statuses: Part) => ({
    get: {
      tags: ['operations'],
      operationId,
      summary,
      parameters: [ref('parameters', 'X-Request-Id')],
      responses: {
        200: { description: 'So it is.', headers: fieldsGiven(), content },
        ...problems(400, 500),
        ...statuses,
      },
    },
  })
  const only = (status: string) => ({
    'application/json': {
      schema: { type: 'object', required: ['status'], properties: { status: { const: status } } },
      example: { status },
    },
  })
  const orNull = (type: string, description: string) => ({ type: [type, 'null'], description })
  const status = {
    name: { type: 'string' },
    version: { type: 'string', description: 'Of the server.' },
    node: { type: 'string', description: 'The version of Node.' },
    uptime_seconds: { type: 'integer', minimum: 0 },
    workers: { type: 'integer', minimum: 1, description: 'Processes that answer requests.' },
    postgres: orNull('string', 'The version of Postgres; null while it does not answer.'),
    last_migration: orNull('string', 'The migration that was applied last; null while Postgres does not answer.'),
  }
  return {
    '/healthz': read('readHealth', 'Whether the server is alive; the database is not asked', only('ok'), {}),
    '/readyz': read(
      'readReadiness',
      'Whether the server can do its work: the database can be used and has all migrations, and the server is not about to end',
      only('ready'),
      problems(503),
    ),
    '/status': read(
      'readStatus',
      'What runs here, and since when',
      { 'application/json': { schema: { type: 'object', required: Object.keys(status), properties: status } } },
      {},
    ),
    '/metrics': read(
      'readMetrics',
      'Figures of all workers for Prometheus, in its text format',
      { 'text/plain': { schema: { type: 'string' } } },
      {},
    ),
  }
}
