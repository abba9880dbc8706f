import { type Scale, uuidOf } from './data.ts'

export type Request = { method: 'GET' | 'POST'; path: string; body?: string }

/** A number from 0 to below `limit`. */
export type Pick = (limit: number) => number

export type Workload = {
  name: string
  /** What the table says it is. */
  title: string
  /** The next request; `serial` counts them, so that no two get the same. */
  request: (scale: Scale, pick: Pick, serial: number) => Request
  /** The same for pgbench, if it is measured too. Prepared once per connection (-M prepared). */
  pgbench?: (scale: Scale) => string
  /** Clients at once; as many as --connections, if it doesn't say. */
  connections?: number
  /** Which contestants besides those that serve everything. */
  also?: ('constant' | 'small' | 'unbatched')[]
  /** This server may not have the route yet; then the row says so. */
  mayBeMissing?: true
  /** Writes, so that there is a checkpoint before. */
  writes?: true
  /** Adds rows, which are removed afterwards; no request may be sent twice. */
  adds?: true
  /** Only for this server: ten streams take all ten connections of a peer's pool, and nothing else is answered. */
  oursOnly?: true
  /** Clients that read the whole list of containers, over and over, at the same time. */
  streams?: number
}

const siteColumns = 'id, name, contact, address, state_or_region, country, postcode_or_zip'
const containerColumns = 'id, uuid, description, freezer_id'

const get = (path: string): Request => ({ method: 'GET', path })
const readSite = (_: Scale, pick: Pick) => get(`/site/${1 + pick(10_000)}`)

const readSiteSql = `
\\set id random(1, 10000)
select ${siteColumns} from site where id = :id;`

const upsertSiteSql = `
\\set id random(1, 10000)
insert into site (${siteColumns})
values (:id, 'Site ' || :id, 'lab' || :id || '@example.org', :id || ' Harbour Street', 'Bavaria', 'Germany', '10007')
on conflict (id) do update set
  name = excluded.name,
  contact = excluded.contact,
  address = excluded.address,
  state_or_region = excluded.state_or_region,
  country = excluded.country,
  postcode_or_zip = excluded.postcode_or_zip
returning ${siteColumns};`

const pageSql = (columns: string, table: string, offset: string, limit: number) => `
\\set offset ${offset}
select ${columns} from ${table} order by id offset :offset limit ${limit};`

// All fields are given, so that a peer needs no rule for those that are not. The values are those in data.sql: the rows
// are written, and stay the same.
function upsertSite(id: number): Request {
  const body = {
    name: `Site ${id}`,
    contact: `lab${id}@example.org`,
    address: `${id} Harbour Street`,
    state_or_region: ['Bavaria', 'Michigan', 'Ontario', 'Normandy'][id % 4],
    country: ['Germany', 'USA', 'Canada', 'France'][id % 4],
    postcode_or_zip: String(10_000 + id),
  }
  return { method: 'POST', path: `/site/${id}`, body: JSON.stringify(body) }
}

export const workloads: Workload[] = [
  {
    name: 'point',
    title: 'point read, `/site/{id}`, 10,000 ids',
    request: readSite,
    pgbench: () => readSiteSql,
    also: ['constant'],
  },
  {
    name: 'hot',
    title: 'hot page of 10, `/sites/0/10`',
    request: () => get('/sites/0/10'),
    pgbench: () => pageSql(siteColumns, 'site', '0', 10),
    also: ['constant'],
  },
  {
    name: 'page10',
    title: 'page of 10, `/sites/{0…1999}/10`',
    request: (_, pick) => get(`/sites/${pick(2_000)}/10`),
    pgbench: () => pageSql(siteColumns, 'site', 'random(0, 1999)', 10),
  },
  {
    name: 'page100',
    title: 'page of 100, `/sites/{0…1999}/100`',
    request: (_, pick) => get(`/sites/${pick(2_000)}/100`),
    pgbench: () => pageSql(siteColumns, 'site', 'random(0, 1999)', 100),
  },
  {
    name: 'instruments',
    title: 'instruments page, `/instruments/0/10`',
    request: () => get('/instruments/0/10'),
    also: ['small'],
  },
  {
    name: 'deep',
    title: 'deep page of 10, `/containers/{offset}/10`, 8 clients',
    // With more of them, one round of answers would outlast a measurement.
    connections: 8,
    request: ({ containers }, pick) => get(`/containers/${deep(containers) + pick(1_000)}/10`),
    pgbench: ({ containers }) =>
      pageSql(containerColumns, 'container', `random(${deep(containers)}, ${deep(containers) + 999})`, 10),
  },
  {
    name: 'uuid',
    title: 'lookup by uuid, `/containers?uuid={uuid}`',
    request: ({ containers }, pick) => get(`/containers?uuid=${uuidOf(1 + pick(containers))}`),
    pgbench: ({ containers }) => `
\\set id random(1, ${containers})
select ${containerColumns} from container where uuid = md5('container ' || :id)::uuid;`,
    also: ['small'],
    mayBeMissing: true,
  },
  {
    name: 'upsert',
    title: 'upsert of an existing row, `POST /site/{id}`',
    request: (_, pick) => upsertSite(1 + pick(10_000)),
    pgbench: () => upsertSiteSql,
    writes: true,
  },
  {
    name: 'insert',
    title: 'upsert of a new row, `POST /container/{id}`',
    request({ containers, freezers }, pick, serial) {
      const id = containers + 1 + serial
      const body = { uuid: uuidOf(id), description: `Serum ${id}`, freezer_id: 1 + pick(freezers) }
      return { method: 'POST', path: `/container/${id}`, body: JSON.stringify(body) }
    },
    pgbench: ({ containers, freezers }) => `
\\set id random(${containers + 1}, 2000000000)
\\set freezer_id random(1, ${freezers})
insert into container (${containerColumns})
values (:id, md5('container ' || :id)::uuid, 'Serum ' || :id, :freezer_id)
on conflict (id) do update set
  uuid = excluded.uuid,
  description = excluded.description,
  freezer_id = excluded.freezer_id
returning ${containerColumns};`,
    writes: true,
    adds: true,
  },
  {
    name: 'mixed',
    title: 'mixed, 90 % point reads and 10 % upserts',
    request: (scale, pick) => (pick(10) === 0 ? upsertSite(1 + pick(10_000)) : readSite(scale, pick)),
    writes: true,
  },
  {
    name: 'lone',
    title: 'point read by a lone client',
    request: readSite,
    connections: 1,
    also: ['unbatched'],
  },
  {
    name: 'besides',
    title: 'point read while 10 clients stream `/containers`',
    request: readSite,
    streams: 10,
    oursOnly: true,
  },
]

/** Two workloads are no list of requests: one client reading the whole table, and the time to the first answer. */
export const workloadNames = [...workloads.map(({ name }) => name), 'stream', 'start']

// 900,000 in a million.
const deep = (containers: number) => Math.floor(containers * 0.9)
