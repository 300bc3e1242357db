-- A destination that keeps failing is paused: one delivery is tried when `probe_at` has come, with growing gaps.
alter table destination_health add column probe_at bigint;
alter table destination_health add column probes bigint not null default 0;
