-- What clicks have in common, and how many of them there were: one row for each app and transaction that stores clicks, written
-- in it, and soon added to the counts and removed. A transaction that stores clicks writes no count any more, so nobody waits for one.
create table click_tallies (
  id text not null primary key,
  app_id text not null,
  tallies text not null
);
-- For the removal of an app.
create index click_tallies_app on click_tallies (app_id);
-- Whoever folds locks this row, so that two never write counts at the same time.
insert into click_tallies (id, app_id, tallies) values ('', '', '[]');

-- Counts have one writer at a time now, so that an app needs no more than one row of each.
drop index click_hours_at;
alter table click_hours rename to sharded_hours;
create table click_hours (
  app_id text not null,
  link_id text not null,
  at bigint not null,
  clicks bigint not null,
  bots bigint not null,
  primary key (app_id, link_id, at)
);
insert into click_hours (app_id, link_id, at, clicks, bots)
  select app_id, link_id, at, cast(sum(clicks) as bigint), cast(sum(bots) as bigint) from sharded_hours group by app_id, link_id, at;
drop table sharded_hours;
create index click_hours_at on click_hours (at);

alter table click_days rename to sharded_days;
create table click_days (
  app_id text not null,
  link_id text not null,
  at bigint not null,
  clicks bigint not null,
  bots bigint not null,
  primary key (app_id, link_id, at)
);
insert into click_days (app_id, link_id, at, clicks, bots)
  select app_id, link_id, at, cast(sum(clicks) as bigint), cast(sum(bots) as bigint) from sharded_days group by app_id, link_id, at;
drop table sharded_days;

alter table click_parts rename to sharded_parts;
create table click_parts (
  app_id text not null,
  link_id text not null,
  dimension text not null,
  at bigint not null,
  value text not null,
  clicks bigint not null,
  primary key (app_id, link_id, dimension, at, value)
);
insert into click_parts (app_id, link_id, dimension, at, value, clicks)
  select app_id, link_id, dimension, at, value, cast(sum(clicks) as bigint) from sharded_parts
  group by app_id, link_id, dimension, at, value;
drop table sharded_parts;
