-- Who is first of a key, under both names in one, and in words from which nothing follows about `state`: so no other index helps a
-- query that asks with them. PostgreSQL took any index over what is pending for an empty one as long as its statistics were
-- from a time when nothing was, and read the whole backlog for each delivery of a claim.
create index deliveries_first on deliveries
  ((case when state = 'pending' then destination_id || ' ' || order_key end), position)
  where case when state = 'pending' then order_key end is not null;
