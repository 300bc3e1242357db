-- How long an app keeps its events, and what was sent and answered; in days, null for ever.
alter table apps add column event_retention_days bigint default 395;
alter table apps add column delivery_retention_days bigint default 30;

-- The attempts up to this number have expired: their records are gone, and they are not to be taken for interrupted ones.
alter table deliveries add column expired_attempt bigint;

-- Walks over the keys of events, deliveries and clicks that remove what has expired: up to where each has come.
create table retention_walks (
  kind text not null,
  id text not null,
  at_key text not null,
  began_at bigint not null,
  primary key (kind, id)
);

-- The process that does so at present.
create table retention_lease (
  name text primary key,
  holder text not null,
  held_until bigint not null
);
