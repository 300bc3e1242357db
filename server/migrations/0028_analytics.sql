-- What clicks add up to, written in the transaction that stores them, so that no question ever reads the clicks themselves.
-- A row belongs to a link or, with an empty link_id, to the app as a whole: those are spread over a few shards, for every
-- process writes them with every group of clicks, and holds them until its transaction ends.
-- By the hour for some weeks, removed along `at`.
create table click_hours (
  app_id text not null,
  link_id text not null,
  at bigint not null,
  shard bigint not null,
  clicks bigint not null,
  bots bigint not null,
  primary key (app_id, link_id, at, shard)
);
create index click_hours_at on click_hours (at);

-- By the day, in UTC, as long as there is the link or app.
create table click_days (
  app_id text not null,
  link_id text not null,
  at bigint not null,
  shard bigint not null,
  clicks bigint not null,
  bots bigint not null,
  primary key (app_id, link_id, at, shard)
);

-- The clicks of a day by one of their properties. The empty value is all those together that came when there were as many as
-- are kept apart.
create table click_parts (
  app_id text not null,
  link_id text not null,
  dimension text not null,
  at bigint not null,
  shard bigint not null,
  value text not null,
  clicks bigint not null,
  primary key (app_id, link_id, dimension, at, shard, value)
);
