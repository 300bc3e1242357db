-- Visitors and users have agreed to analytics: only then anything below is read and kept.
alter table apps add column analytics_consent integer not null default 0;

-- What Google Analytics had stored in the visitor's browser, as JSON text.
alter table clicks add column ga text;

-- Whose it is, as far as its claim, or what an app reported of it, has told: the app's own name of a user, and a keyed hash of
-- the device's id.
alter table clicks add column user_id text;
alter table clicks add column device text;
alter table app_events add column device text;
alter table app_events add column first_cid text;

-- What is known of a device or a user of an app: the first click that led there. Written by claims and opens; expires when
-- nothing has been heard for as long as the app keeps its events.
create table identities (
  app_id text not null,
  -- 'device' or 'user'.
  kind text not null,
  -- Of a device a keyed hash, of a user the app's own name.
  key text not null,
  first_cid text,
  -- The user who was seen last on a device; is_shared says that there were others.
  user_id text,
  is_shared integer not null,
  ga text,
  seen_at bigint not null,
  primary key (app_id, kind, key)
);
