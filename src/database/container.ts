import type { Sql } from './connect.ts'
import { columns, type Page, type Stretch } from './page.ts'
import { always, type Condition, type Stored } from './version.ts'

export type Container = {
  id: number
  /** As Postgres writes it: lowercase, with hyphens. */
  uuid: string
  description: string | null
  freezer_id: number
}

/** Fields to store: one that is left out keeps its value, null clears it. `uuid` in any notation that Postgres reads. */
export type ContainerPatch = Partial<Omit<Container, 'id'>>

/** Without a `uuid`, or with null, it gets a random one. */
export type NewContainer = Omit<ContainerPatch, 'uuid'> & Pick<Container, 'freezer_id'> & { uuid?: string | null }

/** The containers with these ids, in their order, as JSON; undefined where there is none. See readSites. */
export async function readContainers(sql: Sql, ids: number[]): Promise<(Stored | undefined)[]> {
  const rows = await sql<(Stored | { version: null; json: null })[]>`
    -- readContainers
    select container.version, container.json
    from unnest((select ${ids}::int[])) with ordinality as asked (id, nr)
    left join lateral (
      select container.xmin::text as version, row_to_json(shown)::text as json
      from container
      cross join lateral (select id, uuid, description, freezer_id) as shown
      where container.id = asked.id
      limit 1
    ) as container on true
    order by nr`
  return rows.map((row) => (row.json === null ? undefined : row))
}

/** Where the containers with these ids are, in their order, as JSON; null where there is no such container. */
export async function readLocations(sql: Sql, ids: number[]): Promise<(string | null)[]> {
  const rows = await sql<{ json: string | null }[]>`
    -- readLocations
    select row_to_json(location)::text as json
    from unnest((select ${ids}::int[])) with ordinality as asked (id, nr)
    left join lateral (
      select
        container.id as container_id,
        container.uuid,
        container.freezer_id,
        freezer.name as freezer_name,
        freezer.site_id,
        site.name as site_name
      from container
      join freezer on freezer.id = container.freezer_id
      join site on site.id = freezer.site_id
      where container.id = asked.id
      limit 1
    ) as location on true
    order by nr`
  return rows.map(({ json }) => json)
}

/** The containers with these UUIDs, in any notation that Postgres reads, in their order, as JSON; null where there is none. See readSites. */
export async function readContainersByUuid(sql: Sql, uuids: string[]): Promise<(string | null)[]> {
  const rows = await sql<{ json: string | null }[]>`
    -- readContainersByUuid
    select row_to_json(container)::text as json
    from unnest(string_to_array(${uuids.join(',')}, ',')::uuid[]) with ordinality as asked (uuid, nr)
    left join lateral (
      select id, uuid, description, freezer_id
      from container
      where container.uuid = asked.uuid
      limit 1
    ) as container on true
    order by nr`
  return rows.map(({ json }) => json)
}

/** Containers by id. */
export async function listContainers(sql: Sql, stretches: Stretch<number>[]): Promise<Page<number>[]> {
  const { afters, offsets, limits } = columns(stretches, 0)
  return await sql<Page<number>[]>`
    -- listContainers
    select page.json, page.rows, page.last
    from unnest((select ${afters}::int[]), (select ${offsets}::int[]), (select ${limits}::int[]))
      with ordinality as stretch (after, skip, most, nr)
    cross join lateral (
      select string_agg(row_to_json(container)::text, ',') as json, count(*)::int as rows, max(id) as last
      from (
        select id, uuid, description, freezer_id
        from container
        where id >= (
          select id
          from container
          where id > stretch.after
          order by id
          offset stretch.skip
          limit 1
        )
        order by id
        limit stretch.most
      ) as container
    ) as page
    order by nr`
}

/** Containers in a freezer, by id. */
export async function listContainersOfFreezer(
  sql: Sql,
  stretches: (Stretch<number> & { of: number })[],
): Promise<Page<number>[]> {
  const { afters, offsets, limits } = columns(stretches, 0)
  return await sql<Page<number>[]>`
    -- listContainersOfFreezer
    select page.json, page.rows, page.last
    from unnest(
      (select ${stretches.map(({ of }) => of)}::int[]),
      (select ${afters}::int[]),
      (select ${offsets}::int[]),
      (select ${limits}::int[])
    ) with ordinality as stretch (freezer_id, after, skip, most, nr)
    cross join lateral (
      select string_agg(row_to_json(container)::text, ',') as json, count(*)::int as rows, max(id) as last
      from (
        select id, uuid, description, freezer_id
        from container
        where freezer_id = stretch.freezer_id
          and id >= (
            select id
            from container
            where freezer_id = stretch.freezer_id
              and id > stretch.after
            order by id
            offset stretch.skip
            limit 1
          )
        order by id
        limit stretch.most
      ) as container
    ) as page
    order by nr`
}

/**
 * Creates a container under the next unused id; see createSite.
 * Throws PostgresError 23503 (container_freezer_id_fkey) when there is no such freezer, 23505 (container_uuid_key) when
 * another container has the UUID.
 */
export async function createContainer(sql: Sql, container: NewContainer): Promise<Stored & { id: number }> {
  const [row] = await sql<(Stored & { id: number })[]>`
    -- createContainer
    with next as materialized (
      select nextval('container_id_seq'::text::regclass) as id
    ), candidate as (
      select ((next.id + trunc(2 ^ power)::bigint - 1) % 2147483647 + 1)::int as id, power
      from next, generate_series(-1, 30) as power
      order by power
    ), unused as (
      select id, power
      from candidate
      where not exists (select from container where container.id = candidate.id offset 0)
      order by power
      limit 1
    )
    insert into container (id, uuid, description, freezer_id)
    select
      case when power < 0 then id else setval('container_id_seq'::text::regclass, id)::int end,
      coalesce(${container.uuid ?? null}, gen_random_uuid()),
      ${container.description ?? null},
      ${container.freezer_id}
    from unused
    on conflict (id) do nothing
    returning
      id,
      xmin::text as version,
      (select row_to_json(shown)::text from (select id, uuid, description, freezer_id) as shown) as json`
  return row ?? (await createContainer(sql, container))
}

/**
 * Creates the container with this id, or updates it; see upsertSite and upsertComputer.
 * Throws PostgresError 23502 (column freezer_id) when there is no such container and no freezer for it,
 * 23503 (container_freezer_id_fkey) when there is no such freezer, 23505 (container_uuid_key) when another has the UUID.
 */
export async function upsertContainer(
  sql: Sql,
  id: number,
  container: ContainerPatch,
  { mayCreate, oneOf, noneOf }: Condition = always,
): Promise<Stored | undefined> {
  const [row] = await sql<Stored[]>`
    -- upsertContainer
    insert into container (id, uuid, description, freezer_id)
    select
      ${id},
      coalesce(${container.uuid ?? null}, gen_random_uuid()),
      ${container.description ?? null},
      coalesce(${container.freezer_id ?? null}, (select freezer_id from container where id = ${id} for update))
    where (select ${mayCreate}::boolean)
      or exists (select from container where id = ${id} for update)
    on conflict (id) do update set
      uuid = case when ${container.uuid !== undefined} then excluded.uuid else container.uuid end,
      description = case when ${container.description !== undefined} then excluded.description else container.description end,
      freezer_id = case when ${container.freezer_id !== undefined} then excluded.freezer_id else container.freezer_id end
    where coalesce(container.xmin::text = any(${oneOf}::text[]), true)
      and container.xmin::text <> all(${noneOf}::text[])
    returning
      xmin::text as version,
      (select row_to_json(shown)::text from (select id, uuid, description, freezer_id) as shown) as json`
  return row
}

/** Deletes the container; false when there was none, or none that meets the condition. */
export async function deleteContainer(sql: Sql, id: number, { oneOf, noneOf }: Condition = always): Promise<boolean> {
  const deleted = await sql`
    -- deleteContainer
    delete from container
    where id = ${id}
      and coalesce(xmin::text = any(${oneOf}::text[]), true)
      and xmin::text <> all(${noneOf}::text[])
    returning id`
  return deleted.length === 1
}
