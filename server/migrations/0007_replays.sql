-- Replays: what was missed or failed is sent again, walked through by position. A row is all that a replay knows, so that
-- any process goes on with it where another one ended.
create table replays (
  id text primary key,
  destination_id text not null,
  app_id text not null,
  state text not null,
  reason text,
  since bigint not null,
  until bigint not null,
  states text not null,
  -- Null: every type of what has a delivery, and the webhook's own types of what has none; those are kept below.
  events text,
  missing_events text not null,
  link_id text,
  rate_per_second double precision,
  total bigint not null,
  created bigint not null,
  succeeded bigint not null,
  failed bigint not null,
  -- Everything at or before this position has been looked at; nothing at or behind `end_position` is.
  at_position text not null,
  end_position text not null,
  walked integer not null,
  -- Until when the rate is used up.
  paced_at bigint not null,
  -- Attempts from before count for no pause.
  resumed_at bigint not null,
  -- Grows with every change: who changes the row says what it saw.
  revision bigint not null,
  -- When the next step is due; null when none is.
  due_at bigint,
  created_at bigint not null,
  finished_at bigint
);
create index replays_due on replays (due_at) where due_at is not null;
create index replays_destination on replays (destination_id, id);

-- The replay that asked for a delivery and has not counted its result yet, and what the delivery was before ('missing' when
-- there was none). Both are null again when it is counted, so the index holds only what is under way.
alter table deliveries add column replay_id text;
alter table deliveries add column replay_from text;
create index deliveries_replay on deliveries (replay_id, state, failures) where replay_id is not null;

-- What a replay asked for waits while its destination is off, like all that comes by itself.
drop index deliveries_asked;
create index deliveries_asked on deliveries (destination_id, due_at)
  where state = 'pending' and trigger <> 'auto' and trigger <> 'replay';

-- How the attempts of replays have gone lately.
create index attempts_replay on attempts (destination_id, started_at, outcome) where trigger = 'replay';
