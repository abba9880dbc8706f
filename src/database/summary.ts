import type { Sql } from './connect.ts'

/** How many rows each table has. */
export type Summary = {
  sites: number
  freezers: number
  computers: number
  containers: number
}

export async function readSummary(sql: Sql): Promise<Summary> {
  const [row] = await sql<[Summary]>`
    -- readSummary
    select
      (select count(*) from site)::int as sites,
      (select count(*) from freezer)::int as freezers,
      (select count(*) from computer)::int as computers,
      (select count(*) from container)::int as containers`
  return row
}
