import pino from 'pino'
import { createApp } from '../src/app.ts'
import type { Pool } from '../src/database/connect.ts'

// biome-ignore lint/suspicious/noExplicitAny: what an answer holds is what the tests are about.
type Answer = { status: number; headers: Headers; bytes: Uint8Array; text: string; json: any }

/** The app on a database, without a socket between: each call is one request. `lines` is its log, a parsed line each. */
export function testClient(sql: Pool, longSql = sql) {
  const lines: Record<string, unknown>[] = []
  const log = pino({ level: 'info' }, { write: (line: string) => lines.push(JSON.parse(line)) })
  const app = createApp({ sql, longSql, log })

  async function request(method: string, path: string, init: RequestInit = {}): Promise<Answer> {
    const response = await app.request(path, { ...init, method })
    const bytes = new Uint8Array(await response.arrayBuffer())
    const text = new TextDecoder().decode(bytes)
    const isJson = /\/(problem\+)?json/.test(response.headers.get('content-type') ?? '') && text !== ''
    return {
      status: response.status,
      headers: response.headers,
      bytes,
      text,
      json: isJson ? JSON.parse(text) : undefined,
    }
  }

  return {
    lines,
    request,
    get: (path: string) => request('GET', path),
    delete: (path: string) => request('DELETE', path),
    post: (path: string, fields: unknown) =>
      request('POST', path, { body: JSON.stringify(fields), headers: { 'Content-Type': 'application/json' } }),
    form: (path: string, fields: string) =>
      request('POST', path, { body: fields, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }),
  }
}
