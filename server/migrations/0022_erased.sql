-- When what an event said was erased: its row stays, with an envelope that says nothing. Null as a rule.
alter table events add column erased_at bigint;

-- The same of its deliveries, so that an attempt which ends later keeps no answer. Nothing that is hot asks for it.
alter table deliveries add column erased_at bigint;
