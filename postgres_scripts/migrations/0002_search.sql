-- Up Migration

-- Search needs two extensions that come with Postgres. Whoever may create things in the database may create them; if not, an
-- admin has to. Where they are there already, nothing is created and no right is needed.
do $$
begin
  create extension if not exists pg_trgm;
  create extension if not exists unaccent;
exception when insufficient_privilege or feature_not_supported or undefined_file then
  raise exception using message = format(
    'Search needs two extensions, and the role %s can''t create them (%s). An admin must run this once in the database %s: '
    || 'create extension pg_trgm; create extension unaccent; -- and then: npm run db:migrate',
    current_user, sqlerrm, current_database()
  );
end
$$;

-- Text as search compares it. The function unaccent() can't be used in an index, because somebody may change its rules: whoever
-- does has to reindex. The body names the schemas, wherever the extension is, so that it is the same in every session. It is
-- plpgsql because that calls it in half the time that sql takes.
do $$
declare
  unaccent_schema text := (select extnamespace::regnamespace from pg_extension where extname = 'unaccent');
  trgm_schema text := (select extnamespace::regnamespace from pg_extension where extname = 'pg_trgm');
begin
  execute format(
    $create$
      create function search_text(text) returns text
      language plpgsql immutable parallel safe strict
      as $body$ begin return lower(%1$s.unaccent('%1$s.unaccent'::regdictionary, $1)); end $body$
    $create$,
    unaccent_schema
  );
  -- For gin_trgm_ops below, which may be in a schema of its own.
  perform set_config('search_path', concat_ws(', ', current_setting('search_path'), trgm_schema), true);
end
$$;

comment on function search_text(text) is 'Text without accents and in lower case, as search compares it.';

-- Serve any part of a text. Rows that were written last wait in a list that every search reads, so that is kept short.
create index site_name_search_idx on site
using gin (search_text(name) gin_trgm_ops) with (gin_pending_list_limit = 256);
create index site_text_search_idx on site
using gin (
  search_text(
    name
    || ' ' || coalesce(contact, '')
    || ' ' || coalesce(address, '')
    || ' ' || coalesce(state_or_region, '')
    || ' ' || coalesce(country, '')
    || ' ' || coalesce(postcode_or_zip, '')
  ) gin_trgm_ops
) with (gin_pending_list_limit = 256);
create index freezer_name_search_idx on freezer
using gin (search_text(name) gin_trgm_ops) with (gin_pending_list_limit = 256);
create index computer_name_search_idx on computer
using gin (search_text(name) gin_trgm_ops) with (gin_pending_list_limit = 256);
create index container_description_search_idx on container
using gin (search_text(description) gin_trgm_ops) with (gin_pending_list_limit = 256);

-- Serve the beginning of a text, in order, however many begin so. An entry of such an index has at most 2,704 bytes.
create index site_name_begin_idx on site (left(search_text(name), 64) text_pattern_ops);
create index freezer_name_begin_idx on freezer (left(search_text(name), 64) text_pattern_ops);
create index computer_name_begin_idx on computer (left(search_text(name), 64) text_pattern_ops);
create index container_description_begin_idx on container (left(search_text(description), 64) text_pattern_ops);

-- Down Migration

-- The extensions stay: they may have been there before, and others may use them.
drop index
  site_name_search_idx,
  site_text_search_idx,
  freezer_name_search_idx,
  computer_name_search_idx,
  container_description_search_idx,
  site_name_begin_idx,
  freezer_name_begin_idx,
  computer_name_begin_idx,
  container_description_begin_idx;
drop function search_text(text);
