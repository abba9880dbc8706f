// fastify + pg, written as their documentation shows: JSON schemas for parameters, bodies and answers (fastify.dev,
// "Validation and Serialization"), a pg.Pool of the default size (10), named prepared statements (node-postgres.com,
// "Queries"), pg-query-stream for the list of unknown length. It does not log.
import { Readable } from 'node:stream'
import fastify from 'fastify'
import pg from 'pg'
import QueryStream from 'pg-query-stream'

process.once('disconnect', () => process.exit())

const pool = new pg.Pool({ connectionString: process.env.DATABASE_URL ?? '' })
const app = fastify()

const id = { type: 'integer', minimum: 1, maximum: 2147483647 }
const count = { type: 'integer', minimum: 0, maximum: 2147483647 }
const text = { type: 'string', nullable: true }
const siteFields = {
  name: { type: 'string' },
  contact: text,
  address: text,
  state_or_region: text,
  country: text,
  postcode_or_zip: text,
}
const Site = { type: 'object', properties: { id, ...siteFields } }
const Container = {
  type: 'object',
  properties: { id, uuid: { type: 'string' }, description: text, freezer_id: id },
}
const Instrument = {
  type: 'object',
  properties: {
    site_id: id,
    site_name: { type: 'string' },
    computer_id: { ...id, nullable: true },
    freezer_id: { ...id, nullable: true },
    name: { type: 'string' },
  },
}

const byId = { type: 'object', properties: { id }, required: ['id'] }
const page = { type: 'object', properties: { offset: count, limit: count }, required: ['offset', 'limit'] }
const list = (items: object) => ({ type: 'array', items })

app.get('/site/:id', { schema: { params: byId, response: { 200: Site } } }, async (request, reply) => {
  const { rows } = await pool.query({
    name: 'read-site',
    text: `
      select id, name, contact, address, state_or_region, country, postcode_or_zip
      from site
      where id = $1`,
    values: [request.params.id],
  })
  if (rows.length === 0) return reply.code(404).send({ message: 'There is no such site.' })
  return rows[0]
})

app.get('/sites/:offset/:limit', { schema: { params: page, response: { 200: list(Site) } } }, async (request) => {
  const { rows } = await pool.query({
    name: 'list-sites',
    text: `
      select id, name, contact, address, state_or_region, country, postcode_or_zip
      from site
      order by id
      offset $1
      limit $2`,
    values: [request.params.offset, request.params.limit],
  })
  return rows
})

app.get(
  '/containers/:offset/:limit',
  { schema: { params: page, response: { 200: list(Container) } } },
  async (request) => {
    const { rows } = await pool.query({
      name: 'list-containers',
      text: `
        select id, uuid, description, freezer_id
        from container
        order by id
        offset $1
        limit $2`,
      values: [request.params.offset, request.params.limit],
    })
    return rows
  },
)

app.get(
  '/containers',
  {
    schema: {
      querystring: { type: 'object', properties: { uuid: { type: 'string', format: 'uuid' } } },
      response: { 200: list(Container) },
    },
  },
  async (request, reply) => {
    if (!request.query.uuid) return reply.type('application/json').send(Readable.from(allContainers()))
    const { rows } = await pool.query({
      name: 'list-containers-by-uuid',
      text: `
        select id, uuid, description, freezer_id
        from container
        where uuid = $1
        order by id`,
      values: [request.query.uuid],
    })
    return rows
  },
)

async function* allContainers() {
  const client = await pool.connect()
  try {
    const rows = client.query(
      new QueryStream('select id, uuid, description, freezer_id from container order by id', []),
    )
    // In pieces of some kilobytes: a chunk for each row would be several times slower.
    let piece = '['
    let comma = ''
    for await (const row of rows) {
      piece += comma + JSON.stringify(row)
      comma = ','
      if (piece.length < 16 * 1024) continue
      yield piece
      piece = ''
    }
    yield `${piece}]`
  } finally {
    client.release()
  }
}

app.get(
  '/instruments/:offset/:limit',
  { schema: { params: page, response: { 200: list(Instrument) } } },
  async (request) => {
    const { rows } = await pool.query({
      name: 'list-instruments',
      text: `
        select instrument.site_id, site.name as site_name, computer_id, freezer_id, instrument.name
        from (
          select site_id, id as computer_id, null::int as freezer_id, name
          from computer
          union all
          select site_id, null::int as computer_id, id as freezer_id, name
          from freezer
          order by site_id, computer_id nulls last, freezer_id
          offset $1
          limit $2
        ) as instrument
        join site on site.id = instrument.site_id
        order by instrument.site_id, computer_id nulls last, freezer_id`,
      values: [request.params.offset, request.params.limit],
    })
    return rows
  },
)

app.post(
  '/site/:id',
  {
    schema: {
      params: byId,
      body: { type: 'object', properties: siteFields, required: ['name'], additionalProperties: false },
      response: { 200: Site },
    },
  },
  async (request) => {
    const site = request.body as { [field: string]: string | null }
    const { rows } = await pool.query({
      name: 'upsert-site',
      text: `
        insert into site (id, name, contact, address, state_or_region, country, postcode_or_zip)
        values ($1, $2, $3, $4, $5, $6, $7)
        on conflict (id) do update set
          name = excluded.name,
          contact = excluded.contact,
          address = excluded.address,
          state_or_region = excluded.state_or_region,
          country = excluded.country,
          postcode_or_zip = excluded.postcode_or_zip
        returning id, name, contact, address, state_or_region, country, postcode_or_zip`,
      values: [
        request.params.id,
        site.name,
        site.contact,
        site.address,
        site.state_or_region,
        site.country,
        site.postcode_or_zip,
      ],
    })
    return rows[0]
  },
)

app.post(
  '/container/:id',
  {
    schema: {
      params: byId,
      body: {
        type: 'object',
        properties: { uuid: { type: 'string', format: 'uuid' }, description: text, freezer_id: id },
        required: ['uuid', 'freezer_id'],
        additionalProperties: false,
      },
      response: { 200: Container },
    },
  },
  async (request) => {
    const container = request.body as { uuid: string; description: string | null; freezer_id: number }
    const { rows } = await pool.query({
      name: 'upsert-container',
      text: `
        insert into container (id, uuid, description, freezer_id)
        values ($1, $2, $3, $4)
        on conflict (id) do update set
          uuid = excluded.uuid,
          description = excluded.description,
          freezer_id = excluded.freezer_id
        returning id, uuid, description, freezer_id`,
      values: [request.params.id, container.uuid, container.description, container.freezer_id],
    })
    return rows[0]
  },
)

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
