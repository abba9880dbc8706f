/** All that makes up the schema, as text that can be compared. Names that Postgres 18 gives to "not null" are left out. */
export const catalog = `
  select 'column' as kind, attrelid::regclass || '.' || attname as name,
    concat_ws(' ', attnum, format_type(atttypid, atttypmod), attnotnull, attidentity, attgenerated,
      pg_get_expr(adbin, adrelid), col_description(attrelid, attnum)) as definition
  from pg_attribute
  join pg_class on pg_class.oid = attrelid
  left join pg_attrdef on adrelid = attrelid and adnum = attnum
  where relnamespace = 'public'::regnamespace and attnum > 0
  union all
  select 'relation', oid::regclass::text, concat_ws(' ', relkind, relpersistence, reloptions, obj_description(oid))
  from pg_class
  where relnamespace = 'public'::regnamespace
  union all
  select 'constraint', conrelid::regclass || '.' || conname, pg_get_constraintdef(oid)
  from pg_constraint
  where connamespace = 'public'::regnamespace and contype <> 'n'
  union all
  select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
  from pg_index
  join pg_class on pg_class.oid = indexrelid
  where relnamespace = 'public'::regnamespace
  union all
  select 'sequence', seqrelid::regclass::text,
    concat_ws(' ', seqtypid::regtype, seqstart, seqincrement, seqmax, seqmin, seqcache, seqcycle)
  from pg_sequence
  union all
  select 'function', oid::regprocedure::text, pg_get_functiondef(oid)
  from pg_proc
  where pronamespace = 'public'::regnamespace
  union all
  select 'trigger', tgrelid::regclass || '.' || tgname, pg_get_triggerdef(oid)
  from pg_trigger
  where not tgisinternal
  union all
  select 'type', oid::regtype::text, typtype::text
  from pg_type
  where typnamespace = 'public'::regnamespace
  union all
  select 'extension', extname, extversion
  from pg_extension
  order by kind, name, definition`
