import pg from 'pg'
import { expect } from 'vitest'
import { connect } from '../src/database/connect.ts'
import { testClient } from './client.ts'
import { run } from './postgres.ts'
import { randomNumbers, randomText, whyRefused } from './random_text.ts'

const columns = ['name', 'contact', 'address', 'state_or_region', 'country', 'postcode_or_zip'] as const
type Site = Record<(typeof columns)[number], string | null>

const inTable = 1_000
const atOnce = 20

/**
 * Sends so many random strings as fields of sites, half of the requests as JSON and half as forms. One that has what can't be stored
 * must be refused for just that, and change nothing. Any other must be answered with its strings, and then the table must have them
 * (read with another driver), and the list, and filters that look for them. Returns how many were stored, and how many refused.
 */
export async function sendStrings(
  url: string,
  count: number,
  seed: number,
): Promise<{ stored: number; refused: number }> {
  const random = randomNumbers(seed)
  const sql = connect(url)
  const client = testClient(sql)
  const reader = new pg.Client(url)
  await reader.connect()
  const seen = { stored: 0, refused: 0 }

  /** Returns the row as it must be now, if it was taken. */
  async function send(id: number): Promise<({ id: number } & Site) | undefined> {
    const texts = Object.fromEntries(columns.map((column) => [column, randomText(random)])) as Record<string, string>
    // A form can't hold half of a surrogate pair, and its empty values are null.
    const asForm = random() < 0.5 && Object.values(texts).every((text) => text.isWellFormed())
    const site = Object.fromEntries(columns.map((name) => [name, (asForm && texts[name]) || null])) as Site
    if (!asForm) Object.assign(site, texts)
    const errors = columns.flatMap((field) => {
      const message = whyRefused(site[field], field === 'name')
      return message ? [{ field, message }] : []
    })
    const path = `/site/${id}`
    const answer = await (asForm ? client.form(path, `${new URLSearchParams(texts)}`) : client.post(path, texts))
    const told = `seed ${seed}, ${JSON.stringify(texts).slice(0, 500)}`
    if (errors.length > 0) {
      expect({ status: answer.status, errors: answer.json.errors }, told).toEqual({ status: 400, errors })
      seen.refused += columns.length
      return undefined
    }
    expect({ status: answer.status, ...answer.json }, told).toEqual({ status: 200, id, ...site })
    seen.stored += columns.length
    return { id, ...site }
  }

  try {
    for (let sent = 0, nextId = 1; sent < count; ) {
      await run(url, 'truncate site cascade')
      const rows: ({ id: number } & Site)[] = []
      const end = nextId + inTable
      while (nextId < end && sent < count) {
        const answers = await Promise.all(Array.from({ length: atOnce }, () => send(nextId++)))
        rows.push(...answers.filter((row) => row !== undefined))
        sent += atOnce * columns.length
      }
      const stored = await reader.query(`select id, ${columns} from site order by id`)
      expect(stored.rows, `seed ${seed}`).toEqual(rows)
      expect((await client.get('/sites')).json, `seed ${seed}`).toEqual(rows)
      for (const { id, contact } of rows.filter(({ contact }, i) => contact !== null && i % 50 === 0)) {
        const found = await client.get(`/sites?fields=id,contact&contact=${encodeURIComponent(contact ?? '')}`)
        expect(found.json, `seed ${seed}`).toContainEqual({ id, contact })
      }
    }
  } finally {
    await reader.end()
    await sql.end()
  }
  return seen
}
