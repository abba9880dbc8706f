import type { Sql } from './connect.ts'

/** The version of Postgres, such as "18.4". */
export async function readPostgresVersion(sql: Sql): Promise<string | undefined> {
  const [row] = await sql<{ version: string }[]>`
    -- readPostgresVersion
    select split_part(current_setting('server_version'), ' ', 1) as version`
  return row?.version
}

/** The migration that was applied last. Throws PostgresError 42P01 when the database has had none. */
export async function readLastMigration(sql: Sql): Promise<string | undefined> {
  const [row] = await sql<{ name: string }[]>`
    -- readLastMigration
    select name
    from pgmigrations
    order by id desc
    limit 1`
  return row?.name
}
