// This server with two routes more. One always answers the same site: the ceiling. The other reads its site by a query of its
// own, which shares nothing with other requests. The app is the real one, with all its middleware.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { found, sendJson } from '../../src/api/answer.ts'
import { ById } from '../../src/api/schema.ts'
import { param } from '../../src/api/validated.ts'
import { createApp } from '../../src/app.ts'
import { connect } from '../../src/database/connect.ts'
import { readSites } from '../../src/database/site.ts'

process.once('disconnect', () => process.exit())

// From the project's own packages, not from those of bench/.
const fromProject = createRequire(new URL('../../package.json', import.meta.url))
const { pino } = fromProject('pino') as typeof import('../../node_modules/pino/pino.js')
const { getRequestListener } = fromProject(
  '@hono/node-server',
) as typeof import('../../node_modules/@hono/node-server/dist/index.mjs')

const sql = connect(process.env.DATABASE_URL ?? '')
const app = createApp({
  sql,
  log: pino({ level: process.env.LOG_LEVEL ?? 'warn' }),
})

const site = {
  id: 7,
  name: 'Site 7',
  contact: 'lab7@example.org',
  address: '7 Harbour Street',
  state_or_region: 'Bavaria',
  country: 'Germany',
  postcode_or_zip: '10007',
}
app.get('/constant', (c) => c.json(site))
app.get('/unbatched/:id', param(ById), async (c) => {
  const { id } = c.req.valid('param')
  return sendJson(c, found((await readSites(sql, [id]))[0], 'site', id).json)
})

createServer({ requireHostHeader: false }, getRequestListener(app.fetch)).listen(Number(process.env.PORT), '127.0.0.1')
