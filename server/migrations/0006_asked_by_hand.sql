-- What a person asked for is sent even while its destination is off: found here beside a backlog of any size.
create index deliveries_asked on deliveries (destination_id, due_at) where state = 'pending' and trigger <> 'auto';
