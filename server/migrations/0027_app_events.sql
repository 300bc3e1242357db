-- What apps report of themselves, for analytics: every type but `open`, which is an event of its own. Ids begin with the
-- time, so rows are appended at the end of an app's part and read from there.
create table app_events (
  app_id text not null,
  id text not null,
  type text not null,
  platform text not null,
  cid text,
  link_id text,
  user_id text,
  -- JSON text, as the SDK sent it.
  detail text,
  -- The client's clock, in seconds; created_at is the server's, in milliseconds.
  client_time bigint,
  created_at bigint not null,
  primary key (app_id, id)
);
