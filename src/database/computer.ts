import type { Sql } from './connect.ts'
import { columns, type Page, type Stretch } from './page.ts'
import { always, type Condition, type Stored } from './version.ts'

export type Computer = {
  id: number
  name: string
  /** As Postgres writes it: `08:00:2b:01:02:03`. */
  mac: string | null
  site_id: number
}

/** Fields to store: one that is left out keeps its value, null clears it. `mac` in any notation that Postgres reads. */
export type ComputerPatch = Partial<Omit<Computer, 'id'>>

export type NewComputer = ComputerPatch & Pick<Computer, 'name' | 'site_id'>

/** The computers with these ids, in their order, as JSON; undefined where there is none. See readSites. */
export async function readComputers(sql: Sql, ids: number[]): Promise<(Stored | undefined)[]> {
  const rows = await sql<(Stored | { version: null; json: null })[]>`
    -- readComputers
    select computer.version, computer.json
    from unnest((select ${ids}::int[])) with ordinality as asked (id, nr)
    left join lateral (
      select computer.xmin::text as version, row_to_json(shown)::text as json
      from computer
      cross join lateral (select id, name, mac, site_id) as shown
      where computer.id = asked.id
      limit 1
    ) as computer on true
    order by nr`
  return rows.map((row) => (row.json === null ? undefined : row))
}

/** The computers with these MAC addresses, in any notation that Postgres reads, in their order, as JSON; null where there is none. See readSites. */
export async function readComputersByMac(sql: Sql, macs: string[]): Promise<(string | null)[]> {
  const rows = await sql<{ json: string | null }[]>`
    -- readComputersByMac
    select row_to_json(computer)::text as json
    from unnest(string_to_array(${macs.join(',')}, ',')::macaddr[]) with ordinality as asked (mac, nr)
    left join lateral (
      select id, name, mac, site_id
      from computer
      where computer.mac = asked.mac
      limit 1
    ) as computer on true
    order by nr`
  return rows.map(({ json }) => json)
}

/** Computers by id. */
export async function listComputers(sql: Sql, stretches: Stretch<number>[]): Promise<Page<number>[]> {
  const { afters, offsets, limits } = columns(stretches, 0)
  return await sql<Page<number>[]>`
    -- listComputers
    select page.json, page.rows, page.last
    from unnest((select ${afters}::int[]), (select ${offsets}::int[]), (select ${limits}::int[]))
      with ordinality as stretch (after, skip, most, nr)
    cross join lateral (
      select string_agg(row_to_json(computer)::text, ',') as json, count(*)::int as rows, max(id) as last
      from (
        select id, name, mac, site_id
        from computer
        where id >= (
          select id
          from computer
          where id > stretch.after
          order by id
          offset stretch.skip
          limit 1
        )
        order by id
        limit stretch.most
      ) as computer
    ) as page
    order by nr`
}

/** Computers of a site, by id. */
export async function listComputersOfSite(
  sql: Sql,
  stretches: (Stretch<number> & { of: number })[],
): Promise<Page<number>[]> {
  const { afters, offsets, limits } = columns(stretches, 0)
  return await sql<Page<number>[]>`
    -- listComputersOfSite
    select page.json, page.rows, page.last
    from unnest(
      (select ${stretches.map(({ of }) => of)}::int[]),
      (select ${afters}::int[]),
      (select ${offsets}::int[]),
      (select ${limits}::int[])
    ) with ordinality as stretch (site_id, after, skip, most, nr)
    cross join lateral (
      select string_agg(row_to_json(computer)::text, ',') as json, count(*)::int as rows, max(id) as last
      from (
        select id, name, mac, site_id
        from computer
        where site_id = stretch.site_id
          and id >= (
            select id
            from computer
            where site_id = stretch.site_id
              and id > stretch.after
            order by id
            offset stretch.skip
            limit 1
          )
        order by id
        limit stretch.most
      ) as computer
    ) as page
    order by nr`
}

/**
 * Creates a computer under the next unused id; see createSite.
 * Throws PostgresError 23503 (computer_site_id_fkey) when there is no such site, 23505 (computer_mac_key) when another
 * computer has the MAC address.
 */
export async function createComputer(sql: Sql, computer: NewComputer): Promise<Stored & { id: number }> {
  const [row] = await sql<(Stored & { id: number })[]>`
    -- createComputer
    with next as materialized (
      select nextval('computer_id_seq'::text::regclass) as id
    ), candidate as (
      select ((next.id + trunc(2 ^ power)::bigint - 1) % 2147483647 + 1)::int as id, power
      from next, generate_series(-1, 30) as power
      order by power
    ), unused as (
      select id, power
      from candidate
      where not exists (select from computer where computer.id = candidate.id offset 0)
      order by power
      limit 1
    )
    insert into computer (id, name, mac, site_id)
    select
      case when power < 0 then id else setval('computer_id_seq'::text::regclass, id)::int end,
      ${computer.name},
      ${computer.mac ?? null},
      ${computer.site_id}
    from unused
    on conflict (id) do nothing
    returning
      id,
      xmin::text as version,
      (select row_to_json(shown)::text from (select id, name, mac, site_id) as shown) as json`
  return row ?? (await createComputer(sql, computer))
}

/**
 * Creates the computer with this id, or updates it; see upsertSite. The lock is for update, because the MAC
 * address is a key: two that had both locked the row to share it would wait for each other to change it.
 * Throws PostgresError 23502 (column name or site_id) when there is no such computer and one of them is not given,
 * 23503 (computer_site_id_fkey) when there is no such site, 23505 (computer_mac_key) when another computer has the MAC.
 */
export async function upsertComputer(
  sql: Sql,
  id: number,
  computer: ComputerPatch,
  { mayCreate, oneOf, noneOf }: Condition = always,
): Promise<Stored | undefined> {
  const [row] = await sql<Stored[]>`
    -- upsertComputer
    insert into computer (id, name, mac, site_id)
    select
      ${id},
      coalesce(${computer.name ?? null}, (select name from computer where id = ${id} for update)),
      ${computer.mac ?? null},
      coalesce(${computer.site_id ?? null}, (select site_id from computer where id = ${id} for update))
    where (select ${mayCreate}::boolean)
      or exists (select from computer where id = ${id} for update)
    on conflict (id) do update set
      name = case when ${computer.name !== undefined} then excluded.name else computer.name end,
      mac = case when ${computer.mac !== undefined} then excluded.mac else computer.mac end,
      site_id = case when ${computer.site_id !== undefined} then excluded.site_id else computer.site_id end
    where coalesce(computer.xmin::text = any(${oneOf}::text[]), true)
      and computer.xmin::text <> all(${noneOf}::text[])
    returning
      xmin::text as version,
      (select row_to_json(shown)::text from (select id, name, mac, site_id) as shown) as json`
  return row
}

/** Deletes the computer; false when there was none, or none that meets the condition. */
export async function deleteComputer(sql: Sql, id: number, { oneOf, noneOf }: Condition = always): Promise<boolean> {
  const deleted = await sql`
    -- deleteComputer
    delete from computer
    where id = ${id}
      and coalesce(xmin::text = any(${oneOf}::text[]), true)
      and xmin::text <> all(${noneOf}::text[])
    returning id`
  return deleted.length === 1
}
