import type { Sql } from './connect.ts'
import { columns, type Page, type Stretch } from './page.ts'

// An instrument is a computer or a freezer: site_id, site_name, computer_id and freezer_id, of which one is null, and name.

/** The place of an instrument in the list: its site, whether it is a computer (0) or a freezer (1), and its id. */
export type InstrumentKey = [siteId: number, kind: number, id: number]

const start: InstrumentKey = [0, 0, 0]

/**
 * Computers and freezers as one list: by site, computers before freezers, then by id.
 *
 * Each half reads no more of its (site_id, id) index than the page can need, and nothing but that; the two are merged, only
 * the entries of one site at a time are sorted, and only the rows of the page are fetched. They go on after the last row: a computer, and all freezers of its site are still to come; a
 * freezer, and all computers of its site have been.
 */
export async function listInstruments(sql: Sql, stretches: Stretch<InstrumentKey>[]): Promise<Page<InstrumentKey>[]> {
  const { afters, offsets, limits } = columns(stretches, start)
  return await sql<Page<InstrumentKey>[]>`
    -- listInstruments
    select page.json, page.rows, page.last
    from unnest(
      (select ${afters.map(([siteId]) => siteId)}::int[]),
      (select ${afters.map(([_, kind, id]) => (kind === 0 ? id : 2147483647))}::int[]),
      (select ${afters.map(([_, kind, id]) => (kind === 1 ? id : 0))}::int[]),
      (select ${offsets}::int[]),
      (select ${limits}::int[])
    ) with ordinality as stretch (site_id, computer_id, freezer_id, skip, most, nr)
    cross join lateral (
      select
        string_agg(row_to_json(instrument)::text, ',') as json,
        count(*)::int as rows,
        to_json(max(array[site_id, num_nonnulls(freezer_id), coalesce(freezer_id, computer_id)])) as last
      from (
        select
          site_id,
          (select name from site where site.id = merged.site_id) as site_name,
          case kind when 0 then id end as computer_id,
          case kind when 1 then id end as freezer_id,
          case kind
            when 0 then (select name from computer where computer.id = merged.id)
            when 1 then (select name from freezer where freezer.id = merged.id)
          end as name
        from (
          select site_id, 0 as kind, id
          from (
            select site_id, id
            from computer
            where (site_id, id) > (stretch.site_id, stretch.computer_id)
            order by site_id, id
            limit stretch.skip::bigint + stretch.most
          ) as computer
          union all
          select site_id, 1 as kind, id
          from (
            select site_id, id
            from freezer
            where (site_id, id) > (stretch.site_id, stretch.freezer_id)
            order by site_id, id
            limit stretch.skip::bigint + stretch.most
          ) as freezer
          order by site_id, kind, id
          offset stretch.skip
          limit stretch.most
        ) as merged
        order by site_id, kind, id
      ) as instrument
    ) as page
    order by nr`
}

/** Computers and freezers of a site as one list: computers before freezers, then by id. */
export async function listInstrumentsOfSite(
  sql: Sql,
  stretches: (Stretch<InstrumentKey> & { of: number })[],
): Promise<Page<InstrumentKey>[]> {
  const { afters, offsets, limits } = columns(stretches, start)
  return await sql<Page<InstrumentKey>[]>`
    -- listInstrumentsOfSite
    select page.json, page.rows, page.last
    from unnest(
      (select ${stretches.map(({ of }) => of)}::int[]),
      (select ${afters.map(([_, kind, id]) => (kind === 0 ? id : 2147483647))}::int[]),
      (select ${afters.map(([_, kind, id]) => (kind === 1 ? id : 0))}::int[]),
      (select ${offsets}::int[]),
      (select ${limits}::int[])
    ) with ordinality as stretch (site_id, computer_id, freezer_id, skip, most, nr)
    cross join lateral (
      select
        string_agg(row_to_json(instrument)::text, ',') as json,
        count(*)::int as rows,
        to_json(max(array[site_id, num_nonnulls(freezer_id), coalesce(freezer_id, computer_id)])) as last
      from (
        select
          site_id,
          (select name from site where site.id = merged.site_id) as site_name,
          case kind when 0 then id end as computer_id,
          case kind when 1 then id end as freezer_id,
          case kind
            when 0 then (select name from computer where computer.id = merged.id)
            when 1 then (select name from freezer where freezer.id = merged.id)
          end as name
        from (
          select site_id, 0 as kind, id
          from (
            select site_id, id
            from computer
            where site_id = stretch.site_id
              and id > stretch.computer_id
            order by id
            limit stretch.skip::bigint + stretch.most
          ) as computer
          union all
          select site_id, 1 as kind, id
          from (
            select site_id, id
            from freezer
            where site_id = stretch.site_id
              and id > stretch.freezer_id
            order by id
            limit stretch.skip::bigint + stretch.most
          ) as freezer
          order by kind, id
          offset stretch.skip
          limit stretch.most
        ) as merged
        order by kind, id
      ) as instrument
    ) as page
    order by nr`
}
