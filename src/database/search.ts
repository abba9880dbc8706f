import type { Sql } from './connect.ts'
import type { Statement } from './statement.ts'

/** What a search finds, in the order in which equally good results are answered. */
export const searchTypes = ['site', 'freezer', 'computer', 'container'] as const

export type SearchType = (typeof searchTypes)[number]

/** A thing and where it is. `label` is its name; that of a container is its description, or else its UUID. */
export type SearchResult = {
  type: SearchType
  id: number
  label: string
  site_id: number
  site_name: string
  freezer_id: number | null
  freezer_name: string | null
}

/** A search finds no more than this many things; the statement below says so too. */
export const mostFound = 500

/**
 * The things that match `q`, best first; `total` is how many were found, at most `mostFound`.
 *
 * An index over trigrams names all rows that have a word before the first can be fetched, which takes long for a word that a
 * quarter of a million rows have. So each table is asked in turn, and only while fewer than `mostFound` are known, for
 * 1. texts that begin with `q`, in the order of an index: the best there are, whatever else there is;
 * 2. matches in a few of its pages, if of the rows in fewer of them a twentieth match, or if no word has three letters or digits in
 *    a row, which a trigram needs. In a table of few pages these are all;
 * 3. all matches, by trigrams of the three longest words.
 * What is looked for is read as (select … from asked), so that Postgres plans without seeing it: one plan fits all.
 */
export async function search(
  sql: Sql,
  { q, types, offset, limit }: { q: string; types: readonly SearchType[]; offset: number; limit: number },
): Promise<{ results: SearchResult[]; total: number }> {
  const { id, uuid, mac } = identifiersIn(q)

  const patterns = sql`(select patterns from asked)::text[]`
  // Looked up by name each time, because create_tables.sql may have put another table in its place.
  const pages = (table: string, count: Fragment) => sql`
    tablesample system ((
      select least(
        100,
        100.0 * ${count} * current_setting('block_size')::int / greatest(1, pg_relation_size(${table}::text::regclass))
      )
    )) repeatable (0)`

  /** `text` is what the words are looked for in, `label` what may begin with them. */
  const within = (type: SearchType, columns: Fragment, label: Fragment, text: Fragment) => {
    const table = sql(type)
    const wanted = sql`(select text <> '' and ${searchTypes.indexOf(type) + 1} = any(types) from asked)`
    const step = (name: string) => sql(`${type}_${name}`)
    const [begin, common, some, all] = [step('begin'), step('common'), step('some'), step('all')]
    return sql`
      ${begin} as materialized (
        select ${columns}
        from (
          select *
          from ${table}
          where ${wanted}
            and left(${label}, 64) ~>=~ (select left(text, 64) from asked)
            and left(${label}, 64) ~<~ (select left(text, 64) || chr(1114111) from asked)
          order by left(${label}, 64) using ~<~
          limit 500
        ) as ${table}
        where ${label} like all (${patterns})
      ), ${common} as materialized (
        select 20 * count(*) filter (where ${text} like all (${patterns})) >= count(*) as yes
        from ${table} ${pages(type, sql`8`)}
        where ${wanted}
          and (select indexed <> '{}' from asked)
          and (select count(*) from ${begin}) < 500
      ), ${some} as materialized (
        select ${columns}
        from ${table} ${pages(type, sql`(select case when indexed = '{}' then 24 else 128 end from asked)`)}
        where ${wanted}
          and ((select indexed = '{}' from asked) or (select yes from ${common}))
          and (select count(*) from ${begin}) < 500
          and ${text} like all (${patterns})
        limit 500
      ), ${all} as materialized (
        select ${columns}
        from ${table}
        where ${wanted}
          and (select indexed <> '{}' from asked)
          and (select count(*) from ${begin}) < 500
          and (select count(*) from ${some}) < 500
          and ${text} like (select indexed[1] from asked)
          and ${text} like (select coalesce(indexed[2], indexed[1]) from asked)
          and ${text} like (select coalesce(indexed[3], indexed[1]) from asked)
          and ${text} like all (${patterns})
        limit 500
      ), ${step('text')} as (
        select * from ${begin}
        union all
        select * from ${some}
        union all
        select * from ${all}
      )`
  }

  const site = sql`1 as nr, id, name as label, id as site_id, null::int as freezer_id`
  const freezer = sql`2 as nr, id, name as label, site_id, id as freezer_id`
  const computer = sql`3 as nr, id, name as label, site_id, null::int as freezer_id`
  const container = sql`4 as nr, id, coalesce(description, uuid::text) as label, null::int as site_id, freezer_id`
  const name = sql`search_text(name)`
  const description = sql`search_text(description)`
  // As in site_text_search_idx.
  const siteText = sql`search_text(
    name
    || ' ' || coalesce(contact, '')
    || ' ' || coalesce(address, '')
    || ' ' || coalesce(state_or_region, '')
    || ' ' || coalesce(country, '')
    || ' ' || coalesce(postcode_or_zip, '')
  )`

  const [row] = await sql<[{ results: SearchResult[]; total: number }]>`
    -- search
    with word as materialized (
      select word, regexp_replace(word, '([\\\\%_])', '\\\\\\1', 'g') as escaped
      from regexp_split_to_table(search_text(${q}), '\\s+') as word
      where word <> ''
    ), asked as materialized (
      select
        ${id ?? null}::int as id,
        ${uuid?.first ?? null}::uuid as first_uuid,
        ${uuid?.last ?? null}::uuid as last_uuid,
        ${mac?.first ?? null}::macaddr as first_mac,
        ${mac?.last ?? null}::macaddr as last_mac,
        ${uuid?.rank ?? null}::int as uuid_rank,
        ${mac?.rank ?? null}::int as mac_rank,
        ${types.map((type) => searchTypes.indexOf(type) + 1)}::int[] as types,
        coalesce((select string_agg(word, ' ') from word), '') as text,
        array(select '%' || escaped || '%' from word) as patterns,
        array(select '% ' || escaped || '%' from word) as beginnings,
        array(
          select '%' || escaped || '%'
          from word
          where word ~ '[[:alnum:]]{3}'
          order by length(word) desc, word
          limit 3
        ) as indexed
    ), ${within('site', site, name, siteText)},
    ${within('freezer', freezer, name, name)},
    ${within('computer', computer, name, name)},
    ${within('container', container, description, description)},
    by_id as (
      select ${site} from site where id = (select id from asked)
      union all
      select ${freezer} from freezer where id = (select id from asked)
      union all
      select ${computer} from computer where id = (select id from asked)
      union all
      select ${container} from container where id = (select id from asked)
    ), by_mac as (
      select ${computer}
      from computer
      where mac between (select first_mac from asked) and (select last_mac from asked)
      order by mac
      limit 500
    ), by_uuid as (
      select ${container}
      from container
      where uuid between (select first_uuid from asked) and (select last_uuid from asked)
      order by uuid
      limit 500
    ), candidate as (
      select 0 as rank, * from by_id
      union all
      select mac_rank, by_mac.* from by_mac, asked
      union all
      select uuid_rank, by_uuid.* from by_uuid, asked
      union all
      select 6, * from site_text
      union all
      select 6, * from freezer_text
      union all
      select 6, * from computer_text
      union all
      select 6, * from container_text
    ), ranked as (
      select distinct on (nr, candidate.id)
        nr,
        candidate.id,
        label,
        site_id,
        freezer_id,
        case
          when rank = 0 then 0
          when label_text = text then 1
          when starts_with(label_text, text) then 2
          when rank = 3 then 3
          when ' ' || label_text like all (beginnings) then 4
          when label_text like all (patterns) then 5
          else rank
        end as rank,
        -- Of equally good ones the shorter is the better match, but of those that have the same id the order is by type.
        case when rank > 0 then label_text end collate "C" as label_text
      from candidate, asked, lateral (select search_text(label) as label_text offset 0) as label_text
      where nr = any(types)
      order by nr, candidate.id, rank
    ), best as (
      select row_number() over (order by rank, length(label_text), label_text, nr, id) as place, *
      from ranked
      order by place
      limit 500
    )
    select
      (select count(*)::int from best) as total,
      coalesce(json_agg(json_build_object(
        'type', (array['site', 'freezer', 'computer', 'container'])[nr],
        'id', page.id,
        'label', label,
        'site_id', site.id,
        'site_name', site.name,
        'freezer_id', freezer.id,
        'freezer_name', freezer.name
      ) order by place), '[]') as results
    from (select * from best order by place offset ${offset} limit ${limit}) as page
    left join freezer on freezer.id = page.freezer_id
    join site on site.id = coalesce(page.site_id, freezer.site_id)`
  return row
}

type Fragment = Statement

/** All identifiers that begin with certain digits; `rank` is how good a match that is, as in the statement above. */
type Range = { first: string; last: string; rank: number }

/** What `q` may be besides text: an id, a UUID or a MAC, or how one begins, in any notation. */
function identifiersIn(q: string): { id: number | undefined; uuid: Range | undefined; mac: Range | undefined } {
  const id = /^[1-9]\d{0,9}$/.test(q) && Number(q) <= 2147483647 ? Number(q) : undefined
  const uuidDigits = q.replaceAll(/^urn:uuid:|[{}\s-]/gi, '')
  // A group may leave out its leading zero; the last of an unfinished MAC may be unfinished as well, and stays as it is.
  const groups = q.split(/[:\s-]/)
  const macDigits = groups
    .map((group, i) => (group.length === 1 && (i < groups.length - 1 || i === 5) ? `0${group}` : group))
    .join('')
    .replaceAll('.', '')
  return { id, uuid: range(uuidDigits, 32), mac: range(macDigits, 12) }
}

function range(digits: string, length: number): Range | undefined {
  if (!/^[\da-f]+$/i.test(digits) || digits.length > length) return undefined
  // Fewer than four digits begin too many identifiers, and too many words look like them.
  const rank = digits.length === length ? 0 : digits.length >= 4 ? 3 : 7
  return { first: digits.padEnd(length, '0'), last: digits.padEnd(length, 'f'), rank }
}
