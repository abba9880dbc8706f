import type { Sql } from './connect.ts'

/** Those of these migrations that the database has not had, in their order. */
export async function readMissingMigrations(sql: Sql, names: string[]): Promise<string[]> {
  return await readMissing(sql, names).catch((error) => {
    // When it has had none, it lacks the table that would tell (SQLSTATE 42P01).
    if (error.code === '42P01') return names
    throw error
  })
}

async function readMissing(sql: Sql, names: string[]): Promise<string[]> {
  const rows = await sql<{ name: string }[]>`
    -- readMissing
    select name
    from unnest(${names}::text[]) with ordinality as known (name, nr)
    where name not in (select name from pgmigrations)
    order by nr`
  return rows.map(({ name }) => name)
}
