-- Which events of its types a destination takes: JSON text; null is all of them. In its history too, for events of then.
alter table destinations add column filter text;
alter table destination_history add column filter text;

-- The last time that it was off or disabled: from, and until when it was turned on again; null while it is still stopped.
alter table destinations add column stopped_at bigint;
alter table destinations add column restarted_at bigint;

update destinations set stopped_at = (
  -- The first entry after the last one that was none of a stop, of those up to the last one that was.
  select min(h.at) from destination_history as h where h.destination_id = destinations.id
    and h.state in ('off', 'disabled') and h.at > coalesce((
      select max(r.at) from destination_history as r where r.destination_id = destinations.id
        and r.state not in ('off', 'disabled') and r.at < (
          select max(s.at) from destination_history as s where s.destination_id = destinations.id
            and s.state in ('off', 'disabled'))), -1));

update destinations set restarted_at = (
  select min(h.at) from destination_history as h where h.destination_id = destinations.id
    and h.state not in ('off', 'disabled') and h.at > destinations.stopped_at)
  where stopped_at is not null;
