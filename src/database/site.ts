import type { Sql } from './connect.ts'
import { columns, type Page, type Stretch } from './page.ts'

export type Site = {
  id: number
  name: string
  contact: string | null
  address: string | null
  state_or_region: string | null
  country: string | null
  postcode_or_zip: string | null
}

/** Fields to store: one that is left out keeps its value, null clears it. */
export type SitePatch = Partial<Omit<Site, 'id'>>

export type NewSite = SitePatch & Pick<Site, 'name'>

/** A site with all that is there; `containers` counts those in the freezer. Freezers and computers by id. */
export type SiteOverview = {
  site: Site
  freezers: { id: number; name: string; containers: number }[]
  computers: { id: number; name: string; mac: string | null }[]
}

/**
 * The sites with these ids, in their order, as JSON; null where there is none. "limit 1" keeps it a look-up in the index for
 * each id: as a join, a table might be read whole for ten of its rows.
 */
export async function readSites(sql: Sql, ids: number[]): Promise<(string | null)[]> {
  const rows = await sql<{ json: string | null }[]>`
    select row_to_json(site)::text as json
    from unnest((select ${ids}::int[])) with ordinality as asked (id, nr)
    left join lateral (
      select id, name, contact, address, state_or_region, country, postcode_or_zip
      from site
      where site.id = asked.id
      limit 1
    ) as site on true
    order by nr`
  return rows.map(({ json }) => json)
}

export async function readSiteOverview(sql: Sql, id: number): Promise<SiteOverview | undefined> {
  const [row] = await sql<SiteOverview[]>`
    select
      json_build_object(
        'id', site.id,
        'name', site.name,
        'contact', site.contact,
        'address', site.address,
        'state_or_region', site.state_or_region,
        'country', site.country,
        'postcode_or_zip', site.postcode_or_zip
      ) as site,
      coalesce((
        select json_agg(json_build_object(
          'id', freezer.id,
          'name', freezer.name,
          'containers', (select count(*) from container where container.freezer_id = freezer.id)
        ) order by freezer.id)
        from freezer
        where freezer.site_id = site.id
      ), '[]') as freezers,
      coalesce((
        select json_agg(json_build_object(
          'id', computer.id,
          'name', computer.name,
          'mac', computer.mac
        ) order by computer.id)
        from computer
        where computer.site_id = site.id
      ), '[]') as computers
    from site
    where id = ${id}`
  return row
}

/** Sites by id. */
export async function listSites(sql: Sql, stretches: Stretch<number>[]): Promise<Page<number>[]> {
  const { afters, offsets, limits } = columns(stretches, 0)
  return await sql<Page<number>[]>`
    select page.json, page.rows, page.last
    from unnest((select ${afters}::int[]), (select ${offsets}::int[]), (select ${limits}::int[]))
      with ordinality as stretch (after, skip, most, nr)
    cross join lateral (
      select string_agg(row_to_json(site)::text, ',') as json, count(*)::int as rows, max(id) as last
      from (
        select id, name, contact, address, state_or_region, country, postcode_or_zip
        from site
        where id >= (
          select id
          from site
          where id > stretch.after
          order by id
          offset stretch.skip
          limit 1
        )
        order by id
        limit stretch.most
      ) as site
    ) as page
    order by nr`
}

/**
 * Creates a site under the next id of the sequence that no row has. Where the next one is taken, it tries 1, 2, 4 …
 * 2 ** 30 further on, around the end: at most 32 look-ups in the index, however long the run of taken ids is. The sequence
 * goes on from there, so that an id that was given out and deleted does not come back before 2147483647. "offset 0"
 * keeps the planner from making them a join with the whole table. The sequence is looked up by name each time (::text): a
 * prepared plan may keep the number of one that create_tables.sql has dropped meanwhile, and would fail from then on.
 * Two such statements may come upon the same id; the one that comes late stores nothing and is run again.
 */
export async function createSite(sql: Sql, site: NewSite): Promise<Site> {
  const [row] = await sql<Site[]>`
    with next as materialized (
      select nextval('site_id_seq'::text::regclass) as id
    ), candidate as (
      select ((next.id + trunc(2 ^ power)::bigint - 1) % 2147483647 + 1)::int as id, power
      from next, generate_series(-1, 30) as power
      order by power
    ), unused as (
      select id, power
      from candidate
      where not exists (select from site where site.id = candidate.id offset 0)
      order by power
      limit 1
    )
    insert into site (id, name, contact, address, state_or_region, country, postcode_or_zip)
    select
      case when power < 0 then id else setval('site_id_seq'::text::regclass, id)::int end,
      ${site.name},
      ${site.contact ?? null},
      ${site.address ?? null},
      ${site.state_or_region ?? null},
      ${site.country ?? null},
      ${site.postcode_or_zip ?? null}
    from unused
    on conflict (id) do nothing
    returning id, name, contact, address, state_or_region, country, postcode_or_zip`
  return row ?? (await createSite(sql, site))
}

/**
 * Creates the site with this id, or updates it. Returns the stored row.
 * Throws PostgresError 23502 (column name) when there is no such site and no name for it.
 *
 * Postgres checks "not null" before "on conflict", so an update without a name has to insert the name that the row has.
 * It is locked while it is read: a site that is deleted meanwhile does not come back under its old name.
 */
export async function upsertSite(sql: Sql, id: number, site: SitePatch): Promise<Site> {
  const [row] = await sql<[Site]>`
    insert into site (id, name, contact, address, state_or_region, country, postcode_or_zip)
    values (
      ${id},
      coalesce(${site.name ?? null}, (select name from site where id = ${id} for key share)),
      ${site.contact ?? null},
      ${site.address ?? null},
      ${site.state_or_region ?? null},
      ${site.country ?? null},
      ${site.postcode_or_zip ?? null}
    )
    on conflict (id) do update set
      name = case when ${site.name !== undefined} then excluded.name else site.name end,
      contact = case when ${site.contact !== undefined} then excluded.contact else site.contact end,
      address = case when ${site.address !== undefined} then excluded.address else site.address end,
      state_or_region = case
        when ${site.state_or_region !== undefined} then excluded.state_or_region else site.state_or_region end,
      country = case when ${site.country !== undefined} then excluded.country else site.country end,
      postcode_or_zip = case
        when ${site.postcode_or_zip !== undefined} then excluded.postcode_or_zip else site.postcode_or_zip end
    returning id, name, contact, address, state_or_region, country, postcode_or_zip`
  return row
}

/**
 * Deletes the site if nothing is there, and tells what is: all zero means deleted; undefined, that there was no such site.
 * Throws PostgresError 23503 when something was put there while the statement ran.
 */
export async function deleteSite(sql: Sql, id: number): Promise<{ freezers: number; computers: number } | undefined> {
  const [row] = await sql<{ freezers: number; computers: number }[]>`
    with held as materialized (
      select
        (select count(*) from freezer where site_id = ${id})::int as freezers,
        (select count(*) from computer where site_id = ${id})::int as computers
    ), deleted as (
      delete from site
      using held
      where site.id = ${id}
        and held.freezers + held.computers = 0
      returning site.id
    )
    select freezers, computers
    from held
    where freezers + computers > 0
      or exists (select from deleted)`
  return row
}
