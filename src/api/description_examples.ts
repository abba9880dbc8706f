import { STATUS_CODES } from 'node:http'
import type { Part } from './description_schemas.ts'

// Answers to the requests that the description shows, on the mock data and one container in freezer 1;
// test/openapi.test.ts asks for each.

const nothing = { contact: null, address: null, state_or_region: null, country: null, postcode_or_zip: null }
const site = {
  id: 1,
  name: 'Site 1',
  contact: 'John Smith',
  address: '123 Muffin Lane, Ann Arbor',
  state_or_region: 'MI',
  country: 'USA',
  postcode_or_zip: '48103',
}
const freezer = { id: 1, name: '-20C', site_id: 1 }
const computer = { id: 1, name: 'Computer 1', mac: null, site_id: 1 }
const container = {
  id: 1,
  uuid: '0f8fad5b-d9cb-469f-a165-70867728950e',
  description: 'Plasmid prep',
  freezer_id: 1,
}

const freezers = [freezer, { id: 2, name: '-40C', site_id: 1 }]
const computers = [computer, { id: 2, name: 'Computer 2', mac: null, site_id: 1 }]
const instrument = { site_id: 1, site_name: 'Site 1', computer_id: null, freezer_id: null }

/** The rows of each list. */
export const rows: Record<string, Part[]> = {
  site: [site, { id: 2, name: 'Site 2', ...nothing }, { id: 3, name: 'Site 3', ...nothing }],
  freezer: freezers,
  computer: computers,
  container: [container],
  instrument: [
    ...computers.map(({ id, name }) => ({ ...instrument, computer_id: id, name })),
    ...freezers.map(({ id, name }) => ({ ...instrument, freezer_id: id, name })),
  ],
}

/** Of each resource: the row that is read, what creates one, what changes one, and the rows that are answered. */
export const written = {
  site: {
    row: site,
    sent: { name: 'Site 4', country: 'Ghana', postcode_or_zip: '00233' },
    made: { id: 4, name: 'Site 4', ...nothing, country: 'Ghana', postcode_or_zip: '00233' },
    patch: { contact: 'Ada' },
    patched: { ...site, contact: 'Ada' },
  },
  freezer: {
    row: freezer,
    sent: { name: '-80C', site_id: 1 },
    made: { id: 3, name: '-80C', site_id: 1 },
    patch: { site_id: 2 },
    patched: { ...freezer, site_id: 2 },
  },
  computer: {
    row: computer,
    sent: { name: 'Scale PC', mac: '08-00-2B-01-02-03', site_id: 1 },
    made: { id: 3, name: 'Scale PC', mac: '08:00:2b:01:02:03', site_id: 1 },
    patch: { mac: '0800.2b01.0203' },
    patched: { ...computer, mac: '08:00:2b:01:02:03' },
  },
  container: {
    row: container,
    sent: { uuid: '7C9E6679742540DE944BE07FC1F90AE7', description: 'Antibodies', freezer_id: 2 },
    made: { id: 2, uuid: '7c9e6679-7425-40de-944b-e07fc1f90ae7', description: 'Antibodies', freezer_id: 2 },
    patch: { freezer_id: 2 },
    patched: { ...container, freezer_id: 2 },
  },
}

/** The rows that may be deleted where 1 still holds something. */
export const deletedId: Record<string, number> = { site: 2, freezer: 2 }

export const overview = {
  site,
  freezers: freezers.map(({ id, name }) => ({ id, name, containers: id === 1 ? 1 : 0 })),
  computers: computers.map(({ id, name, mac }) => ({ id, name, mac })),
}

export const location = {
  container_id: 1,
  uuid: container.uuid,
  freezer_id: 1,
  freezer_name: '-20C',
  site_id: 1,
  site_name: 'Site 1',
}

export const summary = { sites: 3, freezers: 2, computers: 2, containers: 1 }

export const search = {
  results: [
    {
      type: 'container',
      id: 1,
      label: 'Plasmid prep',
      site_id: 1,
      site_name: 'Site 1',
      freezer_id: 1,
      freezer_name: '-20C',
    },
  ],
  pagination: { offset: 0, limit: 20, total: 1 },
}

export const ndjson = (shown: Part[]) => shown.map((row) => `${JSON.stringify(row)}\n`).join('')

/** The mark of UTF-8, a line of names, and a line for each row; a cell that a spreadsheet would compute begins with '. */
export function csv(shown: Part[]): string {
  const cell = (value: unknown) => {
    const text = String(value ?? '').replace(/^[-=+@']/, "'$&")
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
  }
  const lines = [Object.keys(shown[0] ?? {}), ...shown.map((row) => Object.values(row).map(cell))]
  return `\ufeff${lines.map((line) => `${line.join(',')}\r\n`).join('')}`
}

function problem(status: number, detail: string, errors: { field: string; message: string }[] = []) {
  return { type: 'about:blank', title: STATUS_CODES[status], status, detail, errors }
}

const fields = (status: number, errors: { field: string; message: string }[]) =>
  problem(status, errors.map(({ field, message }) => `${field}: ${message}`).join('; '), errors)

/** A problem or two for each status; the names of the requests that they answer are for people. */
export const problems: Record<number, Record<string, ReturnType<typeof problem>>> = {
  400: {
    'GET /site/0': fields(400, [{ field: 'id', message: 'must be a whole number from 1 to 2147483647' }]),
    'GET /summary?colour=red': fields(400, [{ field: 'colour', message: 'is not a parameter here' }]),
    'POST /site/1 {"name":null,"colour":"red"}': fields(400, [
      { field: 'name', message: 'must have a value' },
      { field: 'colour', message: 'is not a field here' },
    ]),
  },
  403: {
    'POST /site Sec-Fetch-Site: cross-site {"name":"Site 4"}': problem(
      403,
      'A page of another origin can not change anything here. Send it from a page of this one, or by a program.',
    ),
  },
  404: { 'GET /site/4': problem(404, 'There is no site 4.') },
  409: {
    'DELETE /site/1': problem(409, 'site 1 still has 2 freezers and 2 computers'),
    'POST /freezer {"name":"-20C","site_id":999}': fields(409, [
      { field: 'site_id', message: 'there is no site with this id' },
    ]),
  },
  412: {
    'POST /site If-Match: "747" {"name":"Site 4"}': problem(
      412,
      'If-Match is about a row that is there. To create one, leave it out.',
    ),
    'DELETE /site/2 If-Match: "0"': problem(
      412,
      'site 2 has changed since, or is gone. GET it again, and use the ETag it has now.',
    ),
  },
  413: { 'POST /site, with more than 1 MiB': problem(413, 'The body must have at most 1048576 bytes.') },
  415: {
    'POST /site': problem(
      415,
      'Send the fields as application/json or application/x-www-form-urlencoded, and say so in Content-Type.',
    ),
  },
  500: { 'A bug': problem(500, 'Something went wrong in the server, not in the request. It has been logged.') },
  503: {
    'No connection to the database': problem(503, 'The database can not answer at the moment. Try again soon.'),
  },
}
