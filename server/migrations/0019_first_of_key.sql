-- Who is first of a key, under both names in one: no other index helps a query that asks so. Asked for the two by themselves,
-- PostgreSQL read all that was pending of a destination whenever its statistics were from a time when little was.
create index deliveries_first on deliveries ((destination_id || ' ' || order_key), position)
  where state = 'pending' and order_key is not null;
