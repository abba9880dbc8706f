import { readFile } from 'node:fs/promises'
import { openClient } from './client.ts'

/** Runs one of the files that admins run with `psql -f`. */
export async function runScript(databaseUrl: string, name: 'create_tables' | 'mock_data'): Promise<void> {
  const client = await openClient(databaseUrl, { application_name: `lab-inventory ${name}` })
  try {
    await client.query(await readFile(new URL(`../postgres_scripts/${name}.sql`, import.meta.url), 'utf8'))
  } finally {
    await client.end()
  }
}

/** Whether the tables are there and have no rows. */
export async function isEmpty(databaseUrl: string): Promise<boolean> {
  const client = await openClient(databaseUrl)
  try {
    const { rowCount } = await client.query(`
      select from site
      union all
      select from freezer
      union all
      select from computer
      union all
      select from container
      limit 1`)
    return rowCount === 0
  } finally {
    await client.end()
  }
}
