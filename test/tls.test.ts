import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { tlsOf } from '../src/database/tls.ts'

const folder = mkdtempSync(join(tmpdir(), 'lab-inventory-tls-'))
afterAll(() => rmSync(folder, { recursive: true }))
const [ca, key] = ['ca.pem', 'key.pem'].map((name) => {
  writeFileSync(join(folder, name), name)
  return join(folder, name)
})

test('a URL without certificates is left to the driver', () => {
  for (const query of ['', '?sslmode=require', '?sslmode=disable']) {
    expect(tlsOf(`postgresql://db.example/lab${query}`)).toEqual({ url: `postgresql://db.example/lab${query}` })
  }
})

test('with a root certificate the one of the server has to come from it, and may be for any host', () => {
  const { url, ssl } = tlsOf(`postgresql://db.example/lab?sslmode=require&sslrootcert=${ca}&x=1`)
  expect(url).toBe('postgresql://db.example/lab?x=1')
  expect(ssl).toMatchObject({ ca: Buffer.from('ca.pem'), rejectUnauthorized: true })
  expect(ssl?.checkServerIdentity?.('other.example', {} as never)).toBeUndefined()
})

test.each([
  ['db.example', 'db.example'],
  ['127.0.0.1', '127.0.0.1'],
  ['[::1]', '::1'],
])('with verify-full it has to be for %s', (host, name) => {
  const { url, ssl } = tlsOf(`postgresql://${host}/lab?sslmode=verify-full`)
  expect(url).toBe(`postgresql://${host}/lab`)
  expect(ssl).toEqual({ rejectUnauthorized: true, host: name })
})

test('a key of the client without a root certificate asks for nothing of the server', () => {
  const { ssl } = tlsOf(`postgresql://db.example/lab?sslkey=${key}&sslcert=${ca}`)
  expect(ssl).toMatchObject({ cert: Buffer.from('ca.pem'), key: Buffer.from('key.pem'), rejectUnauthorized: false })
})

test('a file that can not be read is an error that names it', () => {
  expect(() => tlsOf('postgresql://db.example/lab?sslrootcert=/nowhere.pem')).toThrow('/nowhere.pem')
})
