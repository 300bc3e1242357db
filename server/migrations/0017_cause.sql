-- Why an attempt got no answer, as a word: what to do about it follows from that.
alter table attempts add column cause text;
drop view attempt_history;
create view attempt_history as
  select destination_id, position, number, trigger, started_at, duration_ms, outcome, status_code, error, cause,
    response_headers, response_snippet, response_truncated
  from attempts
  union all
  select destination_id, position, 1, 'auto', first_started_at, first_duration_ms, 'accepted', first_status_code, null,
    null, first_response_headers, first_response_snippet, first_response_truncated
  from deliveries where first_started_at is not null;
