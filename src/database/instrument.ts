import type { Sql, Stretch } from './connect.ts'

/** A computer or a freezer: the other one's id is null. */
export type Instrument = {
  site_id: number
  site_name: string
  computer_id: number | null
  freezer_id: number | null
  name: string
}

/**
 * Computers and freezers as one list: by site, computers before freezers, then by id.
 *
 * Each half reads no more of its (site_id, id) index than the page can need. They go on after the last row: a computer,
 * and all freezers of its site are still to come; a freezer, and all computers of its site have been.
 */
export async function listInstruments(sql: Sql, { after, offset, limit }: Stretch<Instrument>): Promise<Instrument[]> {
  return await sql<Instrument[]>`
    select
      site_id,
      (select name from site where site.id = site_id) as site_name,
      computer_id,
      freezer_id,
      name
    from (
      select site_id, id as computer_id, null::int as freezer_id, name
      from (
        select site_id, id, name
        from computer
        where (site_id, id) > (${after?.site_id ?? 0}, ${after ? (after.computer_id ?? 2147483647) : 0})
        order by site_id, id
        limit ${offset + limit}
      ) as computer
      union all
      select site_id, null::int as computer_id, id as freezer_id, name
      from (
        select site_id, id, name
        from freezer
        where (site_id, id) > (${after?.site_id ?? 0}, ${after?.freezer_id ?? 0})
        order by site_id, id
        limit ${offset + limit}
      ) as freezer
      order by site_id, computer_id nulls last, freezer_id
      offset ${offset}
      limit ${limit}
    ) as instrument
    order by site_id, computer_id nulls last, freezer_id`
}

/** Computers and freezers of a site as one list: computers before freezers, then by id. */
export async function listInstrumentsOfSite(
  sql: Sql,
  siteId: number,
  { after, offset, limit }: Stretch<Instrument>,
): Promise<Instrument[]> {
  return await sql<Instrument[]>`
    select
      site_id,
      (select name from site where site.id = site_id) as site_name,
      computer_id,
      freezer_id,
      name
    from (
      select site_id, id as computer_id, null::int as freezer_id, name
      from (
        select site_id, id, name
        from computer
        where site_id = ${siteId}
          and id > ${after ? (after.computer_id ?? 2147483647) : 0}
        order by id
        limit ${offset + limit}
      ) as computer
      union all
      select site_id, null::int as computer_id, id as freezer_id, name
      from (
        select site_id, id, name
        from freezer
        where site_id = ${siteId}
          and id > ${after?.freezer_id ?? 0}
        order by id
        limit ${offset + limit}
      ) as freezer
      order by computer_id nulls last, freezer_id
      offset ${offset}
      limit ${limit}
    ) as instrument
    order by computer_id nulls last, freezer_id`
}
