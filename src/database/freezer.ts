import type { Sql } from './connect.ts'
import { columns, type Page, type Stretch } from './page.ts'
import { always, type Condition, type Stored } from './version.ts'

export type Freezer = {
  id: number
  name: string
  site_id: number
}

/** Fields to store: one that is left out keeps its value. */
export type FreezerPatch = Partial<Omit<Freezer, 'id'>>

export type NewFreezer = Omit<Freezer, 'id'>

/** The freezers with these ids, in their order, as JSON; undefined where there is none. See readSites. */
export async function readFreezers(sql: Sql, ids: number[]): Promise<(Stored | undefined)[]> {
  const rows = await sql<(Stored | { version: null; json: null })[]>`
    -- readFreezers
    select freezer.version, freezer.json
    from unnest((select ${ids}::int[])) with ordinality as asked (id, nr)
    left join lateral (
      select freezer.xmin::text as version, row_to_json(shown)::text as json
      from freezer
      cross join lateral (select id, name, site_id) as shown
      where freezer.id = asked.id
      limit 1
    ) as freezer on true
    order by nr`
  return rows.map((row) => (row.json === null ? undefined : row))
}

/** Freezers by id. */
export async function listFreezers(sql: Sql, stretches: Stretch<number>[]): Promise<Page<number>[]> {
  const { afters, offsets, limits } = columns(stretches, 0)
  return await sql<Page<number>[]>`
    -- listFreezers
    select page.json, page.rows, page.last
    from unnest((select ${afters}::int[]), (select ${offsets}::int[]), (select ${limits}::int[]))
      with ordinality as stretch (after, skip, most, nr)
    cross join lateral (
      select string_agg(row_to_json(freezer)::text, ',') as json, count(*)::int as rows, max(id) as last
      from (
        select id, name, site_id
        from freezer
        where id >= (
          select id
          from freezer
          where id > stretch.after
          order by id
          offset stretch.skip
          limit 1
        )
        order by id
        limit stretch.most
      ) as freezer
    ) as page
    order by nr`
}

/** Freezers of a site, by id. */
export async function listFreezersOfSite(
  sql: Sql,
  stretches: (Stretch<number> & { of: number })[],
): Promise<Page<number>[]> {
  const { afters, offsets, limits } = columns(stretches, 0)
  return await sql<Page<number>[]>`
    -- listFreezersOfSite
    select page.json, page.rows, page.last
    from unnest(
      (select ${stretches.map(({ of }) => of)}::int[]),
      (select ${afters}::int[]),
      (select ${offsets}::int[]),
      (select ${limits}::int[])
    ) with ordinality as stretch (site_id, after, skip, most, nr)
    cross join lateral (
      select string_agg(row_to_json(freezer)::text, ',') as json, count(*)::int as rows, max(id) as last
      from (
        select id, name, site_id
        from freezer
        where site_id = stretch.site_id
          and id >= (
            select id
            from freezer
            where site_id = stretch.site_id
              and id > stretch.after
            order by id
            offset stretch.skip
            limit 1
          )
        order by id
        limit stretch.most
      ) as freezer
    ) as page
    order by nr`
}

/**
 * Creates a freezer under the next unused id; see createSite.
 * Throws PostgresError 23503 (freezer_site_id_fkey) when there is no such site.
 */
export async function createFreezer(sql: Sql, freezer: NewFreezer): Promise<Stored & { id: number }> {
  const [row] = await sql<(Stored & { id: number })[]>`
    -- createFreezer
    with next as materialized (
      select nextval('freezer_id_seq'::text::regclass) as id
    ), candidate as (
      select ((next.id + trunc(2 ^ power)::bigint - 1) % 2147483647 + 1)::int as id, power
      from next, generate_series(-1, 30) as power
      order by power
    ), unused as (
      select id, power
      from candidate
      where not exists (select from freezer where freezer.id = candidate.id offset 0)
      order by power
      limit 1
    )
    insert into freezer (id, name, site_id)
    select
      case when power < 0 then id else setval('freezer_id_seq'::text::regclass, id)::int end,
      ${freezer.name},
      ${freezer.site_id}
    from unused
    on conflict (id) do nothing
    returning
      id,
      xmin::text as version,
      (select row_to_json(shown)::text from (select id, name, site_id) as shown) as json`
  return row ?? (await createFreezer(sql, freezer))
}

/**
 * Creates the freezer with this id, or updates it; see upsertSite.
 * Throws PostgresError 23502 (column name or site_id) when there is no such freezer and one of them is not given,
 * 23503 (freezer_site_id_fkey) when there is no such site.
 */
export async function upsertFreezer(
  sql: Sql,
  id: number,
  freezer: FreezerPatch,
  { mayCreate, oneOf, noneOf }: Condition = always,
): Promise<Stored | undefined> {
  const [row] = await sql<Stored[]>`
    -- upsertFreezer
    insert into freezer (id, name, site_id)
    select
      ${id},
      coalesce(${freezer.name ?? null}, (select name from freezer where id = ${id} for key share)),
      coalesce(${freezer.site_id ?? null}, (select site_id from freezer where id = ${id} for key share))
    where (select ${mayCreate}::boolean)
      or exists (select from freezer where id = ${id} for key share)
    on conflict (id) do update set
      name = case when ${freezer.name !== undefined} then excluded.name else freezer.name end,
      site_id = case when ${freezer.site_id !== undefined} then excluded.site_id else freezer.site_id end
    where coalesce(freezer.xmin::text = any(${oneOf}::text[]), true)
      and freezer.xmin::text <> all(${noneOf}::text[])
    returning
      xmin::text as version,
      (select row_to_json(shown)::text from (select id, name, site_id) as shown) as json`
  return row
}

/**
 * Deletes the freezer if it is empty, and tells what is in it: zero means deleted; undefined, that there was
 * no such freezer, or that it does not meet the condition; see deleteSite.
 * Throws PostgresError 23503 when something was put into it while the statement ran.
 */
export async function deleteFreezer(
  sql: Sql,
  id: number,
  { oneOf, noneOf }: Condition = always,
): Promise<{ containers: number } | undefined> {
  const [row] = await sql<{ containers: number }[]>`
    -- deleteFreezer
    with held as materialized (
      select (select count(*) from container where freezer_id = freezer.id)::int as containers
      from freezer
      where id = ${id}
        and coalesce(xmin::text = any(${oneOf}::text[]), true)
        and xmin::text <> all(${noneOf}::text[])
    ), deleted as (
      delete from freezer
      using held
      where freezer.id = ${id}
        and held.containers = 0
        and coalesce(freezer.xmin::text = any(${oneOf}::text[]), true)
        and freezer.xmin::text <> all(${noneOf}::text[])
      returning freezer.id
    )
    select containers
    from held
    where containers > 0
      or exists (select from deleted)`
  return row
}
