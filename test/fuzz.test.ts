import { expect, test } from 'vitest'
import { runScript } from '../src/scripts.ts'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'
import { type Document, fuzz } from './fuzz.ts'

const { sql, url } = await testDatabase()

test('every answer is as /openapi.json describes it, to thousands of valid and invalid requests', async () => {
  await runScript(url, 'mock_data')
  const client = testClient(sql)
  const document: Document = (await client.get('/openapi.json')).json
  const statuses = await fuzz(
    document,
    ({ method, path, headers, body }) => client.request(method, path, { headers, ...(body !== undefined && { body }) }),
    // Change the seed for other requests, and see `npm run fuzz` for more of them.
    { runs: 100, seed: 1 },
  )
  for (const status of [200, 201, 400, 404, 409]) expect(statuses.get(status)).toBeGreaterThan(0)
}, 120_000)
