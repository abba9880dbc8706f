import pg from 'pg'
import { tlsOf } from './database/tls.ts'

/**
 * A connection for what admins do: migrations, scripts. Not of the driver that the server uses, which has no transactions that are
 * safe (src/database/connection.ts), but encrypted as that has it: what `sslmode` means to pg is something else (all modes are
 * verify-full), and it knows no `prefer`, for which it is asked twice here. Rejects if it can't be opened, and when the
 * certificates that the URL names can't be read.
 */
export async function openClient(url: string, options: pg.ClientConfig = {}): Promise<pg.Client> {
  const { url: connectionString, ssl, optional } = tlsOf(url)
  try {
    return await open({ ...options, connectionString, ssl: ssl ?? false })
  } catch (error) {
    if (!optional || (error as Error).message !== 'The server does not support SSL connections') throw error
    return await open({ ...options, connectionString, ssl: false })
  }
}

async function open(options: pg.ClientConfig) {
  const client = new pg.Client(options)
  // If Postgres goes first, what is asked then fails; without this, the error would be thrown outside of every promise too.
  client.on('error', () => {})
  try {
    await client.connect()
    return client
  } catch (error) {
    client.end().catch(() => {})
    throw error
  }
}
