-- Whom an event is about, so that a person's events are found without reading them. Not set on what a click makes: that is
-- found by the time in its token.
alter table events add column cid text;
alter table events add column user_id text;
alter table events add column device text;
create index events_cid on events (app_id, cid, position) where cid is not null;
create index events_user on events (app_id, user_id, position) where user_id is not null;
create index events_device on events (app_id, device, position) where device is not null;

create index app_events_cid on app_events (app_id, cid, id) where cid is not null;
create index app_events_user on app_events (app_id, user_id, id) where user_id is not null;
create index app_events_device on app_events (app_id, device, id) where device is not null;

create index clicks_user on clicks (app_id, user_id, cid) where user_id is not null;
create index clicks_device on clicks (app_id, device, cid) where device is not null;

create index identities_user on identities (app_id, user_id, key) where user_id is not null;
create index identities_first on identities (app_id, first_cid) where first_cid is not null;

-- What is or was erased of a person.
create table erasures (
  id text primary key,
  app_id text not null references apps (id) on delete cascade,
  -- Whom: 'user', 'cid' or 'device', and which one; nobody is named any more when it is done.
  kind text not null,
  value text,
  passes bigint not null,
  events bigint not null,
  clicks bigint not null,
  app_events bigint not null,
  identities bigint not null,
  -- The process that carries it on, and until when nobody else does.
  holder text,
  held_until bigint not null,
  created_at bigint not null,
  finished_at bigint
);
create index erasures_app on erasures (app_id, created_at, id);
create index erasures_open on erasures (created_at, id) where finished_at is null;

-- All under which that person is known, as far as it has been found; goes when the erasure is done.
create table erasure_keys (
  erasure_id text not null references erasures (id) on delete cascade,
  kind text not null,
  value text not null,
  primary key (erasure_id, kind, value)
);
