-- Fills the tables with a little invented data, to look at and to try things on. Run it with
--   psql "$DATABASE_URL" -f postgres_scripts/mock_data.sql
-- It is all or nothing, it leaves rows alone that are there already, and it may run while the server does.

begin;

insert into site (id, name, contact, address, state_or_region, country, postcode_or_zip)
values
  (1, 'Site 1', 'John Smith', '123 Muffin Lane, Ann Arbor', 'MI', 'USA', '48103'),
  (2, 'Site 2', null, null, null, null, null),
  (3, 'Site 3', null, null, null, null, null)
on conflict (id) do nothing;

insert into freezer (id, name, site_id)
values
  (1, '-20C', 1),
  (2, '-40C', 1)
on conflict (id) do nothing;

insert into computer (id, name, site_id)
values
  (1, 'Computer 1', 1),
  (2, 'Computer 2', 1)
on conflict (id) do nothing;

-- Ids given by hand do not move the sequences; from here on these do not give them out again.
do $$
begin
  perform setval('site_id_seq', greatest(3, nextval('site_id_seq') - 1));
  perform setval('freezer_id_seq', greatest(2, nextval('freezer_id_seq') - 1));
  perform setval('computer_id_seq', greatest(2, nextval('computer_id_seq') - 1));
end
$$;

commit;
