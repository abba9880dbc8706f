// express + kysely on pg, written as their documentation shows: express.json(), a Kysely over a PostgresDialect with a
// pg.Pool of 10 (kysely.dev, "Getting started"), .stream() for the list of unknown length (it needs pg-cursor).
// It does not log; NODE_ENV is production.
import { once } from 'node:events'
import express from 'express'
import { Kysely, PostgresDialect, sql } from 'kysely'
import pg from 'pg'
import Cursor from 'pg-cursor'

process.once('disconnect', () => process.exit())

const db = new Kysely({
  dialect: new PostgresDialect({
    pool: new pg.Pool({ connectionString: process.env.DATABASE_URL ?? '', max: 10 }),
    cursor: Cursor,
  }),
})
const app = express()
app.use(express.json())

const siteColumns = ['id', 'name', 'contact', 'address', 'state_or_region', 'country', 'postcode_or_zip']
const containerColumns = ['id', 'uuid', 'description', 'freezer_id']

app.get('/site/:id', async (request, response) => {
  const id = Number(request.params.id)
  const site = await db.selectFrom('site').select(siteColumns).where('id', '=', id).executeTakeFirst()
  if (!site) response.status(404)
  response.json(site ?? { message: `There is no site ${id}.` })
})

app.get('/sites/:offset/:limit', async ({ params }, response) => {
  response.json(
    await db
      .selectFrom('site')
      .select(siteColumns)
      .orderBy('id')
      .offset(Number(params.offset))
      .limit(Number(params.limit))
      .execute(),
  )
})

app.get('/containers/:offset/:limit', async ({ params }, response) => {
  response.json(
    await db
      .selectFrom('container')
      .select(containerColumns)
      .orderBy('id')
      .offset(Number(params.offset))
      .limit(Number(params.limit))
      .execute(),
  )
})

app.get('/containers', async ({ query }, response) => {
  const containers = db.selectFrom('container').select(containerColumns).orderBy('id')
  if (query.uuid) return response.json(await containers.where('uuid', '=', query.uuid).execute())
  response.type('application/json')
  // In pieces of some kilobytes: a chunk for each row would be several times slower.
  let piece = '['
  let comma = ''
  for await (const container of containers.stream(100)) {
    piece += comma + JSON.stringify(container)
    comma = ','
    if (piece.length < 16 * 1024) continue
    if (!response.write(piece)) await once(response, 'drain')
    piece = ''
  }
  response.end(`${piece}]`)
})

app.get('/instruments/:offset/:limit', async ({ params }, response) => {
  const instruments = db
    .selectFrom('computer')
    .select(['site_id', 'id as computer_id', sql`null::int`.as('freezer_id'), 'name'])
    .unionAll(
      db.selectFrom('freezer').select(['site_id', sql`null::int`.as('computer_id'), 'id as freezer_id', 'name']),
    )
    .orderBy('site_id')
    .orderBy('computer_id')
    .orderBy('freezer_id')
    .offset(Number(params.offset))
    .limit(Number(params.limit))
  response.json(
    await db
      .selectFrom(instruments.as('instrument'))
      .innerJoin('site', 'site.id', 'instrument.site_id')
      .select([
        'instrument.site_id',
        'site.name as site_name',
        'instrument.computer_id',
        'instrument.freezer_id',
        'instrument.name',
      ])
      .orderBy('instrument.site_id')
      .orderBy('instrument.computer_id')
      .orderBy('instrument.freezer_id')
      .execute(),
  )
})

app.post('/site/:id', async (request, response) => {
  const { name, contact, address, state_or_region, country, postcode_or_zip } = request.body
  const site = { name, contact, address, state_or_region, country, postcode_or_zip }
  response.json(
    await db
      .insertInto('site')
      .values({ id: Number(request.params.id), ...site })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(site))
      .returning(siteColumns)
      .executeTakeFirstOrThrow(),
  )
})

app.post('/container/:id', async (request, response) => {
  const { uuid, description, freezer_id } = request.body
  const container = { uuid, description, freezer_id }
  response.json(
    await db
      .insertInto('container')
      .values({ id: Number(request.params.id), ...container })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(container))
      .returning(containerColumns)
      .executeTakeFirstOrThrow(),
  )
})

app.listen(Number(process.env.PORT), '127.0.0.1')
