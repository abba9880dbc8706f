/**
 * Begins a query with "contents": `kind` and `name` of all that is in a database besides what comes with Postgres and with
 * extensions, and what goes with something else in it. Schemas that have an extension are left out: an admin made them for that.
 */
export const contents = `
  with everything as (
    select case relkind when 'v' then 'view' when 'm' then 'materialized view' when 'S' then 'sequence'
        when 'f' then 'foreign table' else 'table' end as kind,
      oid::regclass::text as name, relnamespace as schema, tableoid as catalog, oid
    from pg_class
    where relkind in ('r', 'p', 'v', 'm', 'S', 'f')
    union all
    select case prokind when 'a' then 'aggregate' when 'p' then 'procedure' else 'function' end,
      oid::regprocedure::text, pronamespace, tableoid, oid
    from pg_proc
    union all
    select case typtype when 'd' then 'domain' else 'type' end, oid::regtype::text, typnamespace, tableoid, oid
    from pg_type
    where typtype in ('e', 'd', 'r')
      or typrelid in (select oid from pg_class where relkind = 'c')
    union all
    select 'schema', quote_ident(nspname), oid, tableoid, oid
    from pg_namespace
    where nspname <> 'public'
      and oid not in (select extnamespace from pg_extension)
  ), contents as (
    select kind, name
    from everything
    join pg_namespace on pg_namespace.oid = schema
    where nspname !~ '^pg_'
      and nspname <> 'information_schema'
      and not exists (
        select from pg_depend
        where classid = catalog and objid = everything.oid and deptype in ('e', 'i', 'a')
      )
  )`

/** Drops all of that. The names are read first, because to drop one thing may take others along. */
export const drop = `
  do $$
  declare
    thing text;
  begin
    foreach thing in array array(${contents} select kind || ' if exists ' || name || ' cascade' from contents) loop
      execute 'drop ' || thing;
    end loop;
  end
  $$;
`
