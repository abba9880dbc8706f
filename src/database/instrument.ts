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
 * Each half reads no more of its (site_id, id) index than the page can need, and the two are merged; only the rows of one
 * site at a time are sorted. They go on after the last row: a computer, and all freezers of its site are still to come; a
 * freezer, and all computers of its site have been.
 */
export async function listInstruments(sql: Sql, { after, offset, limit }: Stretch<Instrument>): Promise<Instrument[]> {
  return await sql<Instrument[]>`
    select
      site_id,
      (select name from site where site.id = instrument.site_id) as site_name,
      case kind when 0 then id end as computer_id,
      case kind when 1 then id end as freezer_id,
      name
    from (
      select site_id, 0 as kind, id, name
      from (
        select site_id, id, name
        from computer
        where (site_id, id) > (${after?.site_id ?? 0}, ${after ? (after.computer_id ?? 2147483647) : 0})
        order by site_id, id
        limit ${offset + limit}
      ) as computer
      union all
      select site_id, 1 as kind, id, name
      from (
        select site_id, id, name
        from freezer
        where (site_id, id) > (${after?.site_id ?? 0}, ${after?.freezer_id ?? 0})
        order by site_id, id
        limit ${offset + limit}
      ) as freezer
      order by site_id, kind, id
      offset ${offset}
      limit ${limit}
    ) as instrument
    order by site_id, kind, id`
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
      (select name from site where site.id = instrument.site_id) as site_name,
      case kind when 0 then id end as computer_id,
      case kind when 1 then id end as freezer_id,
      name
    from (
      select site_id, 0 as kind, id, name
      from (
        select site_id, id, name
        from computer
        where site_id = ${siteId}
          and id > ${after ? (after.computer_id ?? 2147483647) : 0}
        order by id
        limit ${offset + limit}
      ) as computer
      union all
      select site_id, 1 as kind, id, name
      from (
        select site_id, id, name
        from freezer
        where site_id = ${siteId}
          and id > ${after?.freezer_id ?? 0}
        order by id
        limit ${offset + limit}
      ) as freezer
      order by kind, id
      offset ${offset}
      limit ${limit}
    ) as instrument
    order by kind, id`
}
