-- Operator notices: an outbox. A notice is written in the transaction of what it tells, and sent by whoever claims it.
create table notices (
  -- A UUID version 7, so that the newest is the last of the index.
  id text primary key,
  type text not null,
  severity text not null,
  app_id text,
  destination_id text,
  message text not null,
  data text not null,
  created_at bigint not null
);

-- One row for each way out of a notice. `attempts` is the fencing token too.
create table notice_sends (
  notice_id text not null,
  channel text not null,
  state text not null,
  attempts bigint not null,
  -- When the next attempt is due, or the lease of the one under way ends; null when it has ended.
  due_at bigint,
  sent_at bigint,
  error text,
  primary key (notice_id, channel)
);
create index notice_sends_due on notice_sends (due_at) where due_at is not null;

-- What holds at the moment and was announced, so that it is announced once, however many processes see it.
create table notice_conditions (
  kind text not null,
  subject text not null,
  opened_at bigint not null,
  seen_at bigint not null,
  primary key (kind, subject)
);
