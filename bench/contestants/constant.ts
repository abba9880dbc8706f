// The ceiling: this server without its database. The app is the real one, with all its middleware, and gets one route more
// that always answers the same site.
import { createServer } from 'node:http'
import { createRequire } from 'node:module'
import { createApp } from '../../src/app.ts'
import { connect } from '../../src/database/connect.ts'

process.once('disconnect', () => process.exit())

// From the project's own packages, not from those of bench/.
const fromProject = createRequire(new URL('../../package.json', import.meta.url))
const { pino } = fromProject('pino') as typeof import('../../node_modules/pino/pino.js')
const { getRequestListener } = fromProject(
  '@hono/node-server',
) as typeof import('../../node_modules/@hono/node-server/dist/index.mjs')

const app = createApp({
  // No connection is opened before the first query, and there is none.
  sql: connect('postgresql://nobody@127.0.0.1:1/none'),
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

createServer({ requireHostHeader: false }, getRequestListener(app.fetch)).listen(Number(process.env.PORT), '127.0.0.1')
