-- Who made a change: `operator`, `key:<id> (…)` or `system`. Null: nobody kept it then.
alter table destination_history add column actor text;
-- 0: it explains nothing about an event, for it changed the secrets of a destination that was stopped.
alter table destination_history add column explains integer not null default 1;

-- How far the probes of a paused destination have come: the delivery that was tried last of those that wait longest.
alter table destination_health add column probe_after_due bigint;
alter table destination_health add column probe_after_created bigint;
alter table destination_health add column probe_after_position text;
