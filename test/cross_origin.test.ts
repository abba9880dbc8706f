import { expect, test } from 'vitest'
import { testClient } from './client.ts'
import { testDatabase } from './database.ts'

const { sql } = await testDatabase()
const client = testClient(sql)

const form = 'application/x-www-form-urlencoded'

/** A form that a page sends: without a question to the server before, unlike JSON or DELETE. */
const send = (headers: Record<string, string>, method = 'POST') =>
  client.request(method, '/site/1', {
    headers: { Host: 'inventory.example', 'Content-Type': form, ...headers },
    ...(method === 'POST' && { body: 'name=Site 1' }),
  })

test.each<Record<string, string>>([
  { Origin: 'https://elsewhere.example' },
  { Origin: 'http://inventory.example:8080' },
  { Origin: 'http://inventory.example.elsewhere.example' },
  { Origin: 'null' },
  { Origin: 'inventory.example' },
  { 'Sec-Fetch-Site': 'cross-site' },
  { 'Sec-Fetch-Site': 'same-site' },
  { 'Sec-Fetch-Site': 'cross-site', Origin: 'http://inventory.example' },
  { 'Sec-Fetch-Site': '' },
])('a page of another origin can neither write nor delete: %j', async (headers) => {
  for (const method of ['POST', 'DELETE']) {
    const answer = await send(headers, method)
    expect(answer.status).toBe(403)
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
  }
  expect((await client.get('/sites')).json).toEqual([])
})

test.each<Record<string, string>>([
  { Origin: 'http://inventory.example' },
  { Origin: 'https://inventory.example' },
  { Origin: 'https://inventory.example', Host: 'web:5000', 'X-Forwarded-Host': 'inventory.example' },
  { 'Sec-Fetch-Site': 'same-origin', Origin: 'http://localhost:5173' },
  { 'Sec-Fetch-Site': 'none' },
  {},
])('a page of the same origin can, and so can a program: %j', async (headers) => {
  expect((await send(headers)).status).toBe(200)
  expect((await send(headers, 'DELETE')).status).toBe(200)
})

test('what a page of another origin reads is not refused, but the browser does not hand it over', async () => {
  const headers = { Host: 'inventory.example', Origin: 'https://elsewhere.example', 'Sec-Fetch-Site': 'cross-site' }
  for (const method of ['GET', 'OPTIONS']) {
    const answer = await client.request(method, '/sites', { headers })
    expect(answer.status).toBe(method === 'GET' ? 200 : 204)
    expect(answer.headers.get('access-control-allow-origin')).toBeNull()
  }
})
