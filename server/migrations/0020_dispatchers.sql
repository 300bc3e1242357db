-- Dispatchers that run, so that they can share what a webhook may be sent. A row that does not change any more is of a process
-- that ended without a word; the others remove it. A single process on SQLite leaves the table empty.
create table dispatchers (
  id text primary key,
  seen_at bigint not null
);
