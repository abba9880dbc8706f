-- Up Migration

-- Serve lists in the order of these columns, and a value of one of them. An entry of such an index has at most 2,704 bytes, so
-- text is ordered by its first 600 characters.
create index site_name_id_idx on site (left(name, 600), id);
create index site_country_id_idx on site (left(country, 600), id);
create index freezer_name_id_idx on freezer (left(name, 600), id);
create index computer_name_id_idx on computer (left(name, 600), id);
create index computer_mac_id_idx on computer (mac, id);

-- Down Migration

drop index
  site_name_id_idx,
  site_country_id_idx,
  freezer_name_id_idx,
  computer_name_id_idx,
  computer_mac_id_idx;
