import { readFileSync } from 'node:fs'
import { toJsonSchemaDefs } from '@valibot/to-json-schema'
import {
  type Column,
  type ColumnType,
  computers,
  containers,
  freezers,
  instruments,
  type List,
  sites,
} from '../database/columns.ts'
import { mostFound, searchTypes } from '../database/search.ts'
import { ComputerPatch, NewComputer } from './computer.ts'
import { ContainerPatch, NewContainer } from './container.ts'
import { FreezerPatch, NewFreezer } from './freezer.ts'
import { Id, Mac, MacText, Name, Page, Text, Uuid } from './schema.ts'
import { SearchBody } from './search.ts'
import { NewSite, SitePatch } from './site.ts'

// What requests and answers hold, as JSON Schema. Requests are described by the schemas that check them, answers by the
// columns of the lists. What a check does in JavaScript has no other form that could be read from it, so those few are
// described here by hand, and test/openapi.test.ts compares them with what the checks say.

/** A part of the description: plain data, as it is in the JSON. */
export type Part = { [key: string]: unknown }

/** `Site` for site. */
export const capital = (name: string) => `${name[0]?.toUpperCase()}${name.slice(1)}`

export const lists: List[] = [sites, freezers, computers, containers, instruments]

const maxInt = 2147483647

const Offset = Page.entries.offset
const SearchText = SearchBody.entries.q
const SearchTypes = SearchBody.entries.types.wrapped
const SearchLimit = SearchBody.entries.limit.wrapped

// Whole numbers as text, up to maxInt.
const positive =
  '[1-9]\\d{0,8}|1\\d{9}|20\\d{8}|21[0-3]\\d{7}|214[0-6]\\d{6}|2147[0-3]\\d{5}|21474[0-7]\\d{4}|214748[0-2]\\d{3}|2147483[0-5]\\d{2}|21474836[0-3]\\d|214748364[0-7]'

// Patterns of JSON Schema have no flags: \u is always on, i never. Half a surrogate pair is a character by itself only if the
// other half is not beside it.
const storable = '[^\\u0000\\uD800-\\uDFFF]*'
const storableText = { maxLength: 10_000, pattern: `^${storable}$` }
const notBlank = { pattern: `^(?!\\s*$)${storable}$` }

/** What the pattern in a schema says, without its flag i. */
function patternOf(schema: typeof MacText | typeof Uuid): string {
  const [, { requirement }] = schema.pipe
  return requirement.source.replaceAll('a-f', 'a-fA-F')
}

const asIsWritten = 'A number is kept as it is written: 1.50 stays 1.50.'

/** What the query of a URI compares a column with. */
export const compared: Record<ColumnType, Part> = {
  int: { type: 'integer', minimum: -maxInt - 1, maximum: maxInt },
  text: { type: 'string', ...storableText },
  uuid: { type: 'string', pattern: patternOf(Uuid) },
  macaddr: { type: 'string', pattern: patternOf(MacText) },
}

const leaves = { Id, Offset, Name, Text, Mac, Uuid, SearchText, SearchTypes, SearchLimit }

const byHand: Record<keyof typeof leaves, Part> = {
  Id: {
    description: 'The id of a row: a whole number, written without fraction or exponent; in quotes too.',
    anyOf: [
      { type: 'integer', minimum: 1, maximum: maxInt },
      { type: 'string', pattern: `^(${positive})$` },
    ],
  },
  Offset: {
    description: 'A whole number from 0; in quotes too.',
    anyOf: [
      { type: 'integer', minimum: 0, maximum: maxInt },
      { type: 'string', pattern: `^(0|${positive})$` },
    ],
  },
  Name: {
    description: `Text that is not blank. ${asIsWritten}`,
    type: ['string', 'number'],
    ...storableText,
    ...notBlank,
  },
  Text: {
    description: `Text, or null for none: no NUL, no half surrogate pairs. ${asIsWritten}`,
    type: ['string', 'number', 'null'],
    ...storableText,
  },
  Mac: {
    description:
      'A MAC address in any notation that Postgres reads, or null for none. It is answered as 08:00:2b:01:02:03.',
    type: ['string', 'null'],
    pattern: patternOf(MacText),
  },
  Uuid: {
    description: 'A UUID in any notation that Postgres reads. It is answered as 0f8fad5b-d9cb-469f-a165-70867728950e.',
    type: 'string',
    pattern: patternOf(Uuid),
  },
  SearchText: {
    description:
      'Any part of a name, contact, address or description, accents and case aside; an id; the whole or the start of a UUID or of a MAC address, in any notation.',
    type: ['string', 'number'],
    maxLength: 200,
    ...notBlank,
  },
  SearchTypes: {
    description: 'What to look for, as a list or as text with commas between; without it, all.',
    anyOf: [
      { type: 'array', items: { type: 'string', enum: searchTypes }, minItems: 1 },
      { type: 'string', pattern: `^(${searchTypes.join('|')})(,(${searchTypes.join('|')}))*$` },
    ],
  },
  SearchLimit: {
    description: `How many results to answer at most: a whole number from 1 to ${mostFound}; in quotes too.`,
    anyOf: [
      { type: 'integer', minimum: 1, maximum: mostFound },
      { type: 'string', pattern: `^([1-9]\\d?|[1-4]\\d\\d|${mostFound})$` },
    ],
  },
}

/** The bodies of requests, as they are checked. Each field is one of the above, perhaps null. */
export const bodies = {
  NewSite,
  SitePatch,
  NewFreezer,
  FreezerPatch,
  NewComputer,
  ComputerPatch,
  NewContainer,
  ContainerPatch,
  SearchBody,
}

const converted: object = toJsonSchemaDefs(
  { ...leaves, ...bodies },
  {
    target: 'draft-2020-12',
    typeMode: 'input',
    // What can't be converted is in `leaves`.
    errorMode: 'ignore',
    // Defaults are text, as all numbers are when they arrive; people write numbers.
    overrideSchema: ({ jsonSchema }) =>
      typeof jsonSchema.default === 'string' ? { ...jsonSchema, default: Number(jsonSchema.default) } : undefined,
    overrideRef: ({ referenceId }) => `#/components/schemas/${referenceId}`,
  },
)
const uncommented: Record<string, Part> = { ...(converted as Record<string, Part>), ...byHand }

// What psql shows of a column is what there is to say about it here.
const sql = readFileSync(new URL('../../postgres_scripts/create_tables.sql', import.meta.url), 'utf8')
const comments = new Map(
  [...sql.matchAll(/^comment on [a-z]+ ([a-z_.]+) is '(.*)';$/gm)].map(([, name = '', text = '']) => [
    name,
    text.replaceAll("''", "'"),
  ]),
)
const instrumentComments: Record<string, string> = {
  'instrument.site_id': 'The site where it stands.',
  'instrument.site_name': 'The name of that site.',
  'instrument.computer_id': 'The id of the computer, or null if it is a freezer.',
  'instrument.freezer_id': 'The id of the freezer, or null if it is a computer.',
  'instrument.name': 'The name of the computer or freezer.',
}

/** What there is to say about a table, or about a column of it. */
export const about = (name: string) => comments.get(name) ?? instrumentComments[name]

/** A body whose fields say what psql says of the columns. */
function withComments(schema: Part, table: string): Part {
  const properties = Object.entries(schema.properties as Record<string, Part>).map(([field, property]) => {
    const description = about(`${table}.${field}`)
    return [field, description ? { ...property, description } : property]
  })
  return { ...schema, properties: Object.fromEntries(properties) }
}

const requests: Record<string, Part> = {
  ...uncommented,
  ...Object.fromEntries(
    lists.flatMap(({ name }) =>
      [`New${capital(name)}`, `${capital(name)}Patch`].flatMap((body) => {
        const schema = uncommented[body]
        return schema ? [[body, withComments(schema, name)]] : []
      }),
    ),
  ),
}

const stored: Record<ColumnType, Part> = {
  int: { type: 'integer', minimum: 1, maximum: maxInt },
  text: { type: 'string', maxLength: 10_000 },
  uuid: { type: 'string', format: 'uuid' },
  macaddr: { type: 'string', pattern: '^[\\da-f]{2}(:[\\da-f]{2}){5}$' },
}

function answered({ type, nullable }: Column, description?: string): Part {
  const schema = stored[type]
  return {
    ...(description ? { description } : {}),
    ...schema,
    ...(nullable ? { type: [schema.type, 'null'] } : {}),
  }
}

const propertiesOf = ({ name, columns }: List) =>
  Object.fromEntries(
    Object.entries(columns).map(([column, kind]) => [column, answered(kind, about(`${name}.${column}`))]),
  )

/** An object that has all of these, and nothing else. */
function exactly(properties: Part, description?: string): Part {
  return {
    ...(description ? { description } : {}),
    type: 'object',
    properties,
    required: Object.keys(properties),
    additionalProperties: false,
  }
}

export const ref = (kind: 'schemas' | 'parameters' | 'responses' | 'headers' | 'examples', name: string) => ({
  $ref: `#/components/${kind}/${name}`,
})

const arrayOf = (items: Part) => ({ type: 'array', items })
const { id: rowId, name: rowName } = propertiesOf(freezers)
const count = { type: 'integer', minimum: 0 }

export const schemas: Part = {
  ...Object.fromEntries(
    lists.flatMap((list) => {
      const properties = propertiesOf(list)
      const some = `What GET answers of a ${list.name}: all of it, or what \`fields\` or X-Fields names.`
      return [
        // Only lists have instruments.
        ...(list.name === 'instrument' ? [] : [[capital(list.name), exactly(properties, about(list.name))]]),
        [
          `${capital(list.name)}Fields`,
          { description: some, type: 'object', properties, additionalProperties: false, minProperties: 1 },
        ],
      ]
    }),
  ),
  ...requests,
  SiteOverview: exactly(
    {
      site: ref('schemas', 'Site'),
      freezers: arrayOf(exactly({ id: rowId, name: rowName, containers: { ...count, description: 'How many.' } })),
      computers: arrayOf(
        exactly({
          id: rowId,
          name: rowName,
          mac: answered({ type: 'macaddr', nullable: true }, about('computer.mac')),
        }),
      ),
    },
    'A site with its freezers and computers, each by id.',
  ),
  ContainerLocation: exactly(
    {
      container_id: stored.int,
      uuid: stored.uuid,
      freezer_id: stored.int,
      freezer_name: stored.text,
      site_id: stored.int,
      site_name: stored.text,
    },
    'Where a container is.',
  ),
  Summary: exactly({ sites: count, freezers: count, computers: count, containers: count }, 'How many there are.'),
  SearchResult: exactly(
    {
      type: { type: 'string', enum: searchTypes },
      id: stored.int,
      label: { ...stored.text, description: 'The name; of a container its description, or else its UUID.' },
      site_id: stored.int,
      site_name: stored.text,
      freezer_id: { ...stored.int, type: ['integer', 'null'] },
      freezer_name: { ...stored.text, type: ['string', 'null'] },
    },
    'What was found, and where it is.',
  ),
  SearchAnswer: exactly(
    {
      results: { ...arrayOf(ref('schemas', 'SearchResult')), maxItems: mostFound, description: 'The best first.' },
      pagination: exactly({
        offset: count,
        limit: { type: 'integer', minimum: 1, maximum: mostFound },
        total: { ...count, maximum: mostFound, description: `How many were found; ${mostFound} may be more.` },
      }),
    },
    'A page of what was found.',
  ),
  Deleted: exactly({ message: { type: 'string' } }, 'What was deleted.'),
  Problem: exactly(
    {
      type: { const: 'about:blank' },
      title: { type: 'string', description: 'What the status is called.' },
      status: { type: 'integer', description: 'The status of the answer.' },
      detail: { type: 'string', description: 'For people: what is wrong, and what to change.' },
      errors: {
        ...arrayOf(exactly({ field: { type: 'string' }, message: { type: 'string' } })),
        description: 'The fields or parameters that can not be taken as they are.',
      },
    },
    'Why it was not done, as RFC 9457 has it.',
  ),
}
