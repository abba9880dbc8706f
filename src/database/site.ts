import type { Sql } from './connect.ts'
import { columns, type Page, type Stretch } from './page.ts'
import { always, type Condition, type Stored } from './version.ts'

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
 * The sites with these ids, in their order, as JSON; undefined where there is none. "limit 1" keeps it a look-up in the index for
 * each id: as a join, a table might be read whole for ten of its rows.
 */
export async function readSites(sql: Sql, ids: number[]): Promise<(Stored | undefined)[]> {
  const rows = await sql<(Stored | { version: null; json: null })[]>`
    -- readSites
    select site.version, site.json
    from unnest((select ${ids}::int[])) with ordinality as asked (id, nr)
    left join lateral (
      select site.xmin::text as version, row_to_json(shown)::text as json
      from site
      cross join lateral (select id, name, contact, address, state_or_region, country, postcode_or_zip) as shown
      where site.id = asked.id
      limit 1
    ) as site on true
    order by nr`
  return rows.map((row) => (row.json === null ? undefined : row))
}

export async function readSiteOverview(sql: Sql, id: number): Promise<SiteOverview | undefined> {
  const [row] = await sql<SiteOverview[]>`
    -- readSiteOverview
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
    -- listSites
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
export async function createSite(sql: Sql, site: NewSite): Promise<Stored & { id: number }> {
  const [row] = await sql<(Stored & { id: number })[]>`
    -- createSite
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
    returning
      id,
      xmin::text as version,
      (
        select row_to_json(shown)::text
        from (select id, name, contact, address, state_or_region, country, postcode_or_zip) as shown
      ) as json`
  return row ?? (await createSite(sql, site))
}

/**
 * Creates the site with this id, or updates it. Returns the stored row; undefined when it, or that there is none, does not meet
 * the condition: then nothing is stored.
 * Throws PostgresError 23502 (column name) when there is no such site and no name for it.
 *
 * Postgres checks "not null" before "on conflict", so an update without a name has to insert the name that the row has.
 * It is locked while it is read: a site that is deleted meanwhile does not come back under its old name. So it is where a
 * condition needs a row; and of those who come with one version at once, each waits for the one before, and then "on conflict"
 * compares with what that has left. "(select …)" hides mayCreate from the planner, which would plan anew for each value.
 */
export async function upsertSite(
  sql: Sql,
  id: number,
  site: SitePatch,
  { mayCreate, oneOf, noneOf }: Condition = always,
): Promise<Stored | undefined> {
  const [row] = await sql<Stored[]>`
    -- upsertSite
    insert into site (id, name, contact, address, state_or_region, country, postcode_or_zip)
    select
      ${id},
      coalesce(${site.name ?? null}, (select name from site where id = ${id} for key share)),
      ${site.contact ?? null},
      ${site.address ?? null},
      ${site.state_or_region ?? null},
      ${site.country ?? null},
      ${site.postcode_or_zip ?? null}
    where (select ${mayCreate}::boolean)
      or exists (select from site where id = ${id} for key share)
    on conflict (id) do update set
      name = case when ${site.name !== undefined} then excluded.name else site.name end,
      contact = case when ${site.contact !== undefined} then excluded.contact else site.contact end,
      address = case when ${site.address !== undefined} then excluded.address else site.address end,
      state_or_region = case
        when ${site.state_or_region !== undefined} then excluded.state_or_region else site.state_or_region end,
      country = case when ${site.country !== undefined} then excluded.country else site.country end,
      postcode_or_zip = case
        when ${site.postcode_or_zip !== undefined} then excluded.postcode_or_zip else site.postcode_or_zip end
    where coalesce(site.xmin::text = any(${oneOf}::text[]), true)
      and site.xmin::text <> all(${noneOf}::text[])
    returning
      xmin::text as version,
      (
        select row_to_json(shown)::text
        from (select id, name, contact, address, state_or_region, country, postcode_or_zip) as shown
      ) as json`
  return row
}

/**
 * Deletes the site if nothing is there, and tells what is: all zero means deleted; undefined, that there was no such site, or
 * that it does not meet the condition. That is looked at twice: the delete waits for a transaction that is changing the site,
 * and then has the row as that left it, while what else is read is as it was when the statement began.
 * Throws PostgresError 23503 when something was put there while the statement ran.
 */
export async function deleteSite(
  sql: Sql,
  id: number,
  { oneOf, noneOf }: Condition = always,
): Promise<{ freezers: number; computers: number } | undefined> {
  const [row] = await sql<{ freezers: number; computers: number }[]>`
    -- deleteSite
    with held as materialized (
      select
        (select count(*) from freezer where site_id = site.id)::int as freezers,
        (select count(*) from computer where site_id = site.id)::int as computers
      from site
      where id = ${id}
        and coalesce(xmin::text = any(${oneOf}::text[]), true)
        and xmin::text <> all(${noneOf}::text[])
    ), deleted as (
      delete from site
      using held
      where site.id = ${id}
        and held.freezers + held.computers = 0
        and coalesce(site.xmin::text = any(${oneOf}::text[]), true)
        and site.xmin::text <> all(${noneOf}::text[])
      returning site.id
    )
    select freezers, computers
    from held
    where freezers + computers > 0
      or exists (select from deleted)`
  return row
}
