-- A question of ninety days reads up to 90,000 counts of the parts, each found by its key. They lie in the key now, in its
-- order, in place of wherever the day on which each came first had room.
alter table click_parts rename to unordered_parts;
create table click_parts (
  app_id text not null,
  link_id text not null,
  dimension text not null,
  at bigint not null,
  value text not null,
  clicks bigint not null,
  primary key (app_id, link_id, dimension, at, value) /* counts in key */
) /* in key order */;
insert into click_parts (app_id, link_id, dimension, at, value, clicks)
  select app_id, link_id, dimension, at, value, clicks from unordered_parts order by app_id, link_id, dimension, at, value;
drop table unordered_parts;
