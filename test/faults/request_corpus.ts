import { operators } from '../../src/api/query.ts'
import { computers, containers, freezers, instruments, type List, sites } from '../../src/database/columns.ts'
import { randomNumbers, randomText } from '../random_text.ts'

export type Asked = {
  method: string
  path: string
  body?: string
  type?: string
  headers?: Record<string, string>
  /** The headers are to have the ETag that this path has at the moment. */
  ifMatch?: string
}

const random = randomNumbers(5)
const texts = [
  'Zürich',
  'ZURICH',
  'zurich',
  'Straße',
  'STRASSE',
  'İstanbul',
  'istanbul',
  'ΣΊΣΥΦΟΣ',
  'σίσυφος',
  'Ærø',
  'Łódź',
  'naïve café',
]
texts.push(
  'e\u0301cole',
  'École',
  'ﬁsh',
  'ŉ',
  'Ǆ',
  '𐐀',
  'Ꭰ',
  'ꭰ',
  '№ 5',
  '½',
  'x²',
  '한국',
  '漢字',
  '🧪 lab',
  'O’Brien',
  "O'Brien",
  '"quoted"',
)
texts.push(
  '100%',
  'a_b',
  'a\\b',
  'a,b',
  '=1+1',
  '-5',
  '+5',
  '@x',
  "'x",
  ' lead',
  'trail ',
  'two\r\nlines',
  '\t',
  '\u00a0',
  '\u2028',
  '',
  'ß',
  'ẞ',
)
const text = (n: number) =>
  n % 3 === 0
    ? randomText(random, Number.POSITIVE_INFINITY).slice(0, 300).toWellFormed()
    : (texts[n % texts.length] as string)
const name = (n: number) => (text(n).trim() === '' ? `Name ${n}` : text(n))
const uuid = (n: number) => `0f8fad5b-d9cb-469f-${(n % 7) + 1000}-${String(n * 7919).padStart(12, '0')}`
const mac = (n: number) =>
  `08:00:2b:${n % 2 ? '0a' : 'ff'}:${String(n % 60).padStart(2, '0')}:${(n * 37 + 16).toString(16).slice(-2)}`

const get = (path: string, headers: Record<string, string> = {}): Asked => ({ method: 'GET', path, headers })
const post = (path: string, fields: unknown): Asked => ({
  method: 'POST',
  path,
  body: typeof fields === 'string' ? fields : JSON.stringify(fields),
  type: 'application/json',
})
const form = (path: string, body: string): Asked => ({
  method: 'POST',
  path,
  body,
  type: 'application/x-www-form-urlencoded',
})
const range = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

const writes: Asked[] = [
  ...range(60).map((n) =>
    post(`/site/${n}`, {
      name: name(n),
      contact: n % 4 ? text(n + 1) : null,
      address: text(n + 2),
      ...(n % 5 && { state_or_region: text(n + 3), country: text(n + 4) }),
      postcode_or_zip: n * 1000.5,
    }),
  ),
  ...range(80).map((n) => post(`/freezer/${n}`, { name: name(n + 7), site_id: 1 + (n % 40) })),
  ...range(80).map((n) =>
    post(`/computer/${n}`, { name: name(n + 11), site_id: 1 + (n % 45), mac: n % 3 ? mac(n) : null }),
  ),
  ...range(400).map((n) =>
    post(`/container/${n}`, { freezer_id: 1 + (n % 70), uuid: uuid(n), description: n % 6 ? text(n) : null }),
  ),
  post('/site', { name: 'by the sequence' }),
  post('/freezer', { name: 'by the sequence', site_id: 1 }),
  form('/site/3', 'contact=&name=Form+%C3%BC&country=CH'),
  post('/site/4', { contact: null }),
]

const refusals: Asked[] = [
  ...[
    '{',
    '[]',
    '1',
    '{"name": 1, "name": 2}',
    '{"name": "\\u0000"}',
    '{"name": "\\ud800"}',
    '{"name": ""}',
    '{"colour": 1}',
  ].map((body) => post('/site/1', body)),
  post('/freezer/999', { name: 'x' }),
  post('/freezer/1', { site_id: 999 }),
  post('/container/1', { freezer_id: 999 }),
  post('/container/1', { uuid: uuid(2) }),
  post('/computer/1', { mac: mac(2) }),
  post('/computer', { name: 'x', site_id: 1, mac: mac(4) }),
  post('/site/1', { id: 2 }),
  post('/site/2147483648', { name: 'x' }),
  post('/computer/1', { mac: '08:00' }),
  form('/site/1', 'name=a&name=b'),
  form('/site/1', 'name=%ff'),
  { method: 'POST', path: '/site/1', body: 'x', type: 'text/plain' },
  ...[
    '/site/0',
    '/site/999',
    '/site/x',
    '/nowhere',
    '/site/999/freezers',
    '/container/999/location',
    '/freezer/999/containers',
  ].map((path) => get(path)),
  ...[
    '/sites?x=1',
    '/sites?id=x',
    '/sites?id__contains=1',
    '/sites?sort=x',
    '/sites?fields=x',
    '/sites?limit=0',
    '/sites?cursor=x&limit=1',
  ]
    .concat([
      '/sites?format=xml',
      '/sites?count=all',
      '/summary?x=1',
      '/search',
      '/search?q=',
      '/containers?uuid=1',
      '/computers?mac=x',
    ])
    .map((path) => get(path)),
  { method: 'PUT', path: '/site/1' },
  { method: 'OPTIONS', path: '/site/1' },
  { method: 'HEAD', path: '/sites' },
  { method: 'DELETE', path: '/site/1' },
  { method: 'DELETE', path: '/freezer/1' },
  { method: 'DELETE', path: '/site/999' },
  { method: 'DELETE', path: '/site/1', headers: { 'If-Match': '"1"' } },
  { ...post('/site/1', { name: 'x' }), headers: { 'If-None-Match': '*' } },
  { ...post('/site/1', { contact: 'matched' }), ifMatch: '/site/1' },
]

const lists: [path: string, list: List][] = [
  ['/sites', sites],
  ['/freezers', freezers],
  ['/computers', computers],
  ['/containers', containers],
  ['/instruments', instruments],
  ['/site/2/freezers', freezers],
  ['/site/2/computers', computers],
  ['/site/2/instruments', instruments],
  ['/freezer/2/containers', containers],
]

/** Every filter there is, with some values; every order; some of fields, pages, counts and formats. */
function asked(path: string, list: List): Asked[] {
  const values = {
    int: ['2', '-1', '40'],
    text: ['zurich', 'É', 'ß', 'a', '%', 'İ', 'σ'],
    uuid: [uuid(3), uuid(50)],
    macaddr: [mac(4), mac(5)],
  }
  const filters = Object.entries(list.columns).flatMap(([column, { type }]) =>
    ['', ...operators[type].map((operator) => `__${operator}`)].flatMap((operator) => {
      const some =
        operator === '__isnull' ? ['true', 'false'] : operator === '__in' ? [values[type].join()] : values[type]
      return some.map((value) => `${column}${operator}=${encodeURIComponent(value)}`)
    }),
  )
  const orders = Object.keys(list.columns).flatMap((column) => [column, `-${column}`])
  const [first = '', second = ''] = Object.keys(list.columns)
  return [
    ...filters.map((filter) => `?${filter}`),
    ...orders.flatMap((order) => [`?sort=${order}`, `?sort=${order}&limit=3`]),
    ...[
      '',
      '/',
      '/0/0',
      '/0/1',
      '/3/5',
      '/1000/10',
      '?limit=1000&count=exact',
      '?count=exact',
      '?format=ndjson',
      '?format=csv',
    ],
    `?fields=${second},${first}&limit=2`,
    `?sort=-${second},${first}&format=csv&fields=${first},${second}`,
    `?${filters[0]}&${filters[1]}&sort=-${second}&format=ndjson`,
  ].map((query) => get(path + query))
}

const searches = [
  'zurich',
  'ZÜRICH',
  'strasse',
  'straße',
  'istanbul',
  'σισυφος',
  'aero',
  'lodz',
  'cafe naive',
  'ecole',
  'fish',
  'lab',
  '한국',
]
searches.push(
  '漢',
  '🧪',
  '100%',
  'a_b',
  "o'brien",
  'quoted',
  '0f8fad5b',
  uuid(5),
  '08002b',
  mac(5),
  '0800.2b0a',
  '5',
  '12',
  'name',
  'x',
  'two lines',
  'ﬁ',
)

/** Some hundred requests of all kinds, in their order; those to read leave the rows as they are. */
export const requests: Asked[] = [
  ...writes,
  ...refusals,
  get('/summary'),
  ...['site', 'freezer', 'computer', 'container'].flatMap((one) => [1, 2, 3, 4, 30].map((id) => get(`/${one}/${id}`))),
  get('/site/1?fields=name,id'),
  get('/site/1', { 'X-Fields': 'country' }),
  get('/sites', { Accept: 'text/csv' }),
  ...range(6).flatMap((id) => [get(`/site/${id}/overview`), get(`/container/${id}/location`)]),
  ...lists.flatMap(([path, list]) => asked(path, list)),
  ...searches.flatMap((q) => [
    get(`/search?q=${encodeURIComponent(q)}`),
    get(`/search/2/3?q=${encodeURIComponent(q)}&types=site,container`),
  ]),
  post('/search', { q: 'zürich', types: ['site'], limit: 5 }),
  form('/search', 'q=zurich&types=freezer'),
  get('/openapi.json'),
  get('/docs'),
  ...range(20).map((n): Asked => ({ method: 'DELETE', path: `/container/${n}` })),
  { method: 'DELETE', path: '/computer/3' },
  get('/summary'),
]
