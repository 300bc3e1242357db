-- The tables of the core. Portable SQL: text, integer and bigint only. Times are milliseconds since 1970.
-- Hot tables carry no foreign keys: their rows are written together, in one transaction, by one function each.

create table apps (
  id text primary key,
  name text not null,
  ios_bundle_id text,
  ios_team_id text,
  ios_store_url text,
  ios_enable_pasteboard integer not null,
  android_package text,
  android_sha256 text not null,
  android_store_url text,
  web_fallback_url text,
  require_api_key integer not null,
  match_window_seconds bigint not null,
  -- Raised by every change of a destination: fan-out checks it in its own transaction, so that no cache can be stale.
  destinations_version bigint not null,
  created_at bigint not null,
  updated_at bigint not null
);

create table api_keys (
  id text primary key,
  app_id text not null references apps (id) on delete cascade,
  kind text not null,
  label text not null,
  key_hash text not null unique,
  key_hint text not null,
  can_read integer not null,
  can_write integer not null,
  expires_at bigint,
  created_at bigint not null
);
create index api_keys_app on api_keys (app_id, created_at);

create table domains (
  id text primary key,
  app_id text not null references apps (id) on delete cascade,
  hostname text not null unique,
  created_at bigint not null
);
create index domains_app on domains (app_id, created_at);

-- Apps and destinations that were deleted, until their rows in the hot tables are gone too, step by step.
create table removals (
  kind text not null,
  id text not null,
  removed_at bigint not null,
  primary key (kind, id)
);

create table links (
  id text primary key,
  app_id text not null references apps (id) on delete cascade,
  slug text not null unique,
  domain_id text,
  deep_link_path text,
  deep_link_params text,
  ios_custom_url text,
  android_custom_url text,
  ios_store_url text,
  android_store_url text,
  web_fallback_url text,
  og_title text,
  og_description text,
  og_image_url text,
  utm text,
  utm_override text,
  custom_data text,
  allow_param_passthrough integer not null,
  force_redirect_web integer not null,
  enabled integer not null,
  internal integer not null,
  click_count bigint not null,
  last_click_at bigint,
  created_at bigint not null,
  updated_at bigint not null
);
create index links_app on links (app_id, created_at, id);

-- A click and its token are one row. cid begins with the time, so rows are appended at the end of the index.
create table clicks (
  cid text primary key,
  app_id text not null,
  link_id text not null,
  platform text not null,
  dest_url text not null,
  utm text,
  params text,
  os_version text,
  locale text,
  -- Keyed hashes, set to null when the match window has passed.
  ip_hash text,
  ua_hash text,
  created_at bigint not null,
  expires_at bigint not null,
  claimed_at bigint,
  claim_type text
);
create index clicks_match on clicks (app_id, ip_hash, created_at) where ip_hash is not null;

create table destinations (
  id text primary key,
  app_id text not null references apps (id) on delete cascade,
  type text not null,
  config text not null,
  secrets text not null,
  events text not null,
  description text not null,
  enabled integer not null,
  state text not null,
  state_reason text,
  state_changed_at bigint not null,
  retry_schedule text not null,
  timeout_ms bigint not null,
  max_in_flight bigint not null,
  rate_per_second bigint,
  retry_on text not null,
  created_at bigint not null,
  updated_at bigint not null
);
create index destinations_app on destinations (app_id, created_at);

-- What a destination was set to at any time: explains events for which it has no delivery.
create table destination_history (
  destination_id text not null,
  at bigint not null,
  state text not null,
  events text not null,
  cause text not null,
  primary key (destination_id, at)
);

create table destination_health (
  destination_id text primary key,
  last_success_at bigint,
  last_failure_at bigint,
  consecutive_failures bigint not null,
  failing_since bigint
);

-- Attempts by hour, result and latency class, so that a day's figures never scan the attempts.
create table destination_hours (
  destination_id text not null,
  hour bigint not null,
  succeeded integer not null,
  latency_class integer not null,
  attempts bigint not null,
  primary key (destination_id, hour, succeeded, latency_class)
);

-- position orders an app's events by acceptance: the event id itself when the server made it, else a fresh UUIDv7.
create table events (
  app_id text not null,
  position text not null,
  id text not null,
  event text not null,
  link_id text,
  -- Set on test events: the only destination that they are meant for.
  target_id text,
  created_at bigint not null,
  -- The envelope, byte for byte as it is sent.
  body text not null,
  primary key (app_id, position)
);
-- Ids that callers gave. Ids that the server made are positions, and unique as such.
create unique index events_given_id on events (id, app_id) where id <> position;

-- The queue and the ledger: one row for each event and destination.
create table deliveries (
  destination_id text not null,
  position text not null,
  app_id text not null,
  event text not null,
  state text not null,
  reason text,
  -- The fencing token: how often the delivery was claimed.
  attempt bigint not null,
  -- Failed attempts that count against the retry schedule.
  failures bigint not null,
  -- 1 from claim to settle; due_at is then the end of the lease.
  leased integer not null,
  due_at bigint,
  trigger text not null,
  -- A manual attempt that fails puts these back.
  resume_state text,
  resume_at bigint,
  created_at bigint not null,
  settled_at bigint,
  primary key (destination_id, position)
);
create index deliveries_due on deliveries (destination_id, due_at) where state = 'pending';
create index deliveries_unhappy on deliveries (destination_id, state, position) where state in ('failed', 'canceled', 'skipped');

create table attempts (
  destination_id text not null,
  position text not null,
  number bigint not null,
  trigger text not null,
  started_at bigint not null,
  duration_ms bigint not null,
  outcome text not null,
  status_code bigint,
  error text,
  response_headers text not null,
  response_snippet text not null,
  response_truncated integer not null,
  primary key (destination_id, position, number)
);
