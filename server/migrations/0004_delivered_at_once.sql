-- An automatic attempt that delivers its event at once is kept in the delivery's own row; every other attempt has a row in
-- `attempts`. Most deliveries end at once, so most events cost a row, an index entry and a fifth of the disk less.
alter table deliveries add column first_started_at bigint;
alter table deliveries add column first_duration_ms bigint;
alter table deliveries add column first_status_code bigint;
alter table deliveries add column first_response_headers text;
alter table deliveries add column first_response_snippet text;
alter table deliveries add column first_response_truncated bigint;

-- All attempts, wherever they are kept.
create view attempt_history as
  select destination_id, position, number, trigger, started_at, duration_ms, outcome, status_code, error,
    response_headers, response_snippet, response_truncated
  from attempts
  union all
  select destination_id, position, 1, 'auto', first_started_at, first_duration_ms, 'accepted', first_status_code, null,
    first_response_headers, first_response_snippet, first_response_truncated
  from deliveries where first_started_at is not null;
