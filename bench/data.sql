-- The rows to measure on, the same on every machine: how many is in the settings bench.sites, bench.freezers,
-- bench.computers and bench.containers. A hash of the id takes the place of chance; a power of it makes the skew, so that
-- the first hundredth of the freezers holds about a third of the containers, and most hold few or none.

insert into site (id, name, contact, address, state_or_region, country, postcode_or_zip)
select
  id,
  'Site ' || id,
  'lab' || id || '@example.org',
  id || ' Harbour Street',
  (array['Bavaria', 'Michigan', 'Ontario', 'Normandy'])[1 + id % 4],
  (array['Germany', 'USA', 'Canada', 'France'])[1 + id % 4],
  (10000 + id)::text
from generate_series(1, current_setting('bench.sites')::int) as id;

insert into freezer (id, name, site_id)
select
  id,
  (array['-80C ', '-20C ', 'Nitrogen tank ', 'Cold room '])[1 + id % 4] || id,
  1 + floor(current_setting('bench.sites')::int * power((hashint4(id) & 2147483647) / 2147483648::float8, 2))::int
from generate_series(1, current_setting('bench.freezers')::int) as id;

insert into computer (id, name, mac, site_id)
select
  id,
  (array['Scanner ', 'Sequencer ', 'Microscope ', 'Label printer '])[1 + id % 4] || id,
  ('02' || lpad(to_hex(id), 10, '0'))::macaddr,
  1 + floor(current_setting('bench.sites')::int * power((hashint4(-id) & 2147483647) / 2147483648::float8, 2))::int
from generate_series(1, current_setting('bench.computers')::int) as id;

insert into container (id, uuid, description, freezer_id)
select
  id,
  md5('container ' || id)::uuid,
  case when id % 10 < 8
    then (array['Plasmid prep ', 'Serum ', 'Cell line HEK293, passage ', 'Tissue block '])[1 + id % 4] || id
      || (array[', glycerol stock', ', aliquot of 0.5 ml', '', ', 10 % DMSO'])[1 + id % 3]
  end,
  1 + floor(current_setting('bench.freezers')::int * power((hashint4(id) & 2147483647) / 2147483648::float8, 4))::int
from generate_series(1, current_setting('bench.containers')::int) as id;

select
  setval('site_id_seq', current_setting('bench.sites')::int),
  setval('freezer_id_seq', current_setting('bench.freezers')::int),
  setval('computer_id_seq', current_setting('bench.computers')::int),
  setval('container_id_seq', current_setting('bench.containers')::int);
